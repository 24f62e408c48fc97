import { mintTokens, pressBuy } from '../load/closed-loop.ts';
import { countDatabaseWork } from '../measure/database-usage.ts';
import { measureCpu } from '../measure/process-usage.ts';
import { percentile, sum } from '../report/statistics.ts';
import { type Side, waitUntilDone } from '../systems/sides.ts';
import { endBenchSale, openBenchSale } from '../systems/testbed.ts';

export interface RefusalsOptions {
  rounds: number;
  presses: number;
  buyers: number;
  connections: number;
}

export interface Round {
  /** CPU microseconds for one press, of all processes but the load generator, until its order is settled and broadcast. */
  acceptanceMicros: number;
  refusalMicros: number;
  /** The same, when one press in a hundred is accepted. */
  flashSaleMicros: number;
  /** MongoDB operations and jobs that 1,000 refusals caused. */
  mongoOperations: number;
  jobs: number;
  /** p99 of a tenth of the connections, which buy at another sale: alone, and while all the others press. */
  aloneP99Ms: number;
  besideRefusedP99Ms: number;
  besideAcceptedP99Ms: number;
}

const deadlineSeconds = 120;
const pressesForEachUnit = 100;

/** Measures what refusals cost, and how they affect buyers of another sale. */
export function openRefusalMeter(side: Side, options: RefusalsOptions) {
  const { system, url, secret, processes } = side.testbed;
  const { presses, connections } = options;
  const few = Math.max(1, Math.floor(connections / 10));
  const tokens = mintTokens(options.buyers, secret);

  const load = (saleId: string, presses: number, connections: number) =>
    pressBuy({ url, tokens, saleId, presses, connections, deadlineSeconds });

  /** Opens a sale and creates its gate, which the first press does by reading MongoDB. */
  async function openSale(stock: number): Promise<string> {
    const saleId = await openBenchSale(system, { name: 'Bench: refusals', stock, limitPerBuyer: presses });
    await load(saleId, 1, 1);
    return saleId;
  }

  async function end(...saleIds: string[]): Promise<void> {
    await waitUntilDone(side, deadlineSeconds);
    for (const saleId of saleIds) await endBenchSale(system, saleId);
  }

  /** All connections press at a sale of so many units. */
  async function press(stock: number) {
    const saleId = await openSale(stock);
    await waitUntilDone(side, deadlineSeconds);
    const cpuSince = measureCpu(processes);
    const workSince = await countDatabaseWork(system);
    await load(saleId, presses, connections);
    const { mongoOperations, jobs } = await workSince();
    await waitUntilDone(side, deadlineSeconds);
    const { load: _load, ...cpu } = cpuSince();
    await end(saleId);
    const micros = (sum(cpu) * 1e6) / presses;
    return { micros, mongoOperations, jobs };
  }

  /** Measures each kind once, in an order that changes with the round. */
  async function costs(turn: number) {
    const units = { all: presses + 1, few: Math.ceil(presses / pressesForEachUnit), none: 0 };
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

  /** p99 of a few buyers of one sale while all others press at another one, of so many units. */
  async function p99Beside(busyStock: number): Promise<number> {
    const [quiet, busy] = [await openSale(presses), await openSale(busyStock)];
    const [own] = await Promise.all([
      load(quiet, Math.ceil(presses / 10), few),
      load(busy, presses, connections - few),
    ]);
    await end(quiet, busy);
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
