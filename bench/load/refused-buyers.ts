import { watchWork } from '../measure/meters.ts';
import { watchCpu } from '../measure/usage.ts';
import { percentile, sum } from '../report/statistics.ts';
import { type Side, waitUntilDone } from '../systems/sides.ts';
import { endBenchSale, openBenchSale } from '../systems/stage.ts';
import { mintTokens, pressBuy } from './closed-loop.ts';

export interface RefusalsOptions {
  rounds: number;
  presses: number;
  buyers: number;
  connections: number;
}

export interface Round {
  /** CPU microseconds of every process but the load generator for one press, until what it led to is settled and told. */
  acceptanceMicros: number;
  refusalMicros: number;
  /** The same where one press in a hundred is accepted. */
  flashSaleMicros: number;
  /** What 1,000 refusals asked of MongoDB, and left in the queue. */
  mongoOperations: number;
  jobs: number;
  /** p99 of a tenth of the connections, which buy another sale: alone, and beside all the others. */
  aloneP99Ms: number;
  besideRefusedP99Ms: number;
  besideAcceptedP99Ms: number;
}

const deadlineSeconds = 120;
const pressesPerUnit = 100;

/** Crowds that are refused, and those who buy beside them. */
export function openRefusedCrowd(side: Side, options: RefusalsOptions) {
  const { system, url, secret, processes } = side.stage;
  const { presses, connections } = options;
  const few = Math.max(1, Math.floor(connections / 10));
  const tokens = mintTokens(options.buyers, secret);

  const load = (saleId: string, presses: number, connections: number) =>
    pressBuy({ url, tokens, saleId, presses, connections, deadlineSeconds });

  /** A sale whose gate stands: the first press makes it, with a look into MongoDB. */
  async function openSale(stock: number): Promise<string> {
    const saleId = await openBenchSale(system, { name: 'Bench: refusals', stock, limitPerBuyer: presses });
    await load(saleId, 1, 1);
    return saleId;
  }

  async function end(...saleIds: string[]): Promise<void> {
    await waitUntilDone(side, deadlineSeconds);
    for (const saleId of saleIds) await endBenchSale(system, saleId);
  }

  /** The whole crowd presses on a sale of so many units. */
  async function press(stock: number) {
    const saleId = await openSale(stock);
    await waitUntilDone(side, deadlineSeconds);
    const cpuSince = watchCpu(processes);
    const workSince = await watchWork(system);
    await load(saleId, presses, connections);
    const { mongoOperations, jobs } = await workSince();
    await waitUntilDone(side, deadlineSeconds);
    const { load: _load, ...cpu } = cpuSince();
    await end(saleId);
    const micros = (sum(cpu) * 1e6) / presses;
    return { micros, mongoOperations, jobs };
  }

  /** Each kind of crowd once; the order turns with the rounds. */
  async function costs(turn: number) {
    const units = { all: presses + 1, few: Math.ceil(presses / pressesPerUnit), none: 0 };
    const kinds = ['all', 'few', 'none'] as const;
    const found: Partial<Record<keyof typeof units, Awaited<ReturnType<typeof press>>>> = {};
    for (let n = 0; n < kinds.length; n++) {
      const kind = kinds[(n + turn) % kinds.length] as keyof typeof units;
      found[kind] = await press(units[kind]);
    }
    const thousands = presses / 1_000;
    return {
      acceptanceMicros: found.all?.micros ?? Number.NaN,
      refusalMicros: found.none?.micros ?? Number.NaN,
      flashSaleMicros: found.few?.micros ?? Number.NaN,
      mongoOperations: (found.none?.mongoOperations ?? Number.NaN) / thousands,
      jobs: (found.none?.jobs ?? Number.NaN) / thousands,
    };
  }

  /** How long a few buyers of one sale wait while the others crowd another one, of so many units. */
  async function p99Beside(crowdStock: number): Promise<number> {
    const [quiet, crowded] = [await openSale(presses), await openSale(crowdStock)];
    const [own] = await Promise.all([
      load(quiet, Math.ceil(presses / 10), few),
      load(crowded, presses, connections - few),
    ]);
    await end(quiet, crowded);
    return percentile(own.acceptedMs, 99);
  }

  async function p99Alone(): Promise<number> {
    const quiet = await openSale(presses);
    const own = await load(quiet, Math.ceil(presses / 10), few);
    await end(quiet);
    return percentile(own.acceptedMs, 99);
  }

  async function waits() {
    const besideRefusedP99Ms = await p99Beside(0);
    const besideAcceptedP99Ms = await p99Beside(presses + 1);
    return { aloneP99Ms: await p99Alone(), besideRefusedP99Ms, besideAcceptedP99Ms };
  }
  return { press, costs, waits };
}
