import { mintTokens, pressBuy } from '../load/closed-loop.ts';
import { drainBacklog } from '../measure/drain.ts';
import { measureCpu } from '../measure/process-usage.ts';
import { printProfile, profileDuring, profiledEntries } from '../measure/profile.ts';
import { settleWithoutQueue } from '../measure/transactions.ts';
import { saveResult } from '../report/results.ts';
import { spreadsOf, sum } from '../report/statistics.ts';
import { printTable, spread } from '../report/table.ts';
import { judge, printVerdicts } from '../report/targets.ts';
import { type Side, stampedeOn, waitUntilDone } from '../systems/sides.ts';
import {
  auditTestbed,
  endBenchSale,
  type OwnTestbed,
  openBenchSale,
  openOwnTestbed,
  waitUntilSettled,
} from '../systems/testbed.ts';

export interface LadderOptions {
  rounds: number;
  presses: number;
  buyers: number;
  connections: number;
  backlog: number;
  profile: boolean;
}

/** From bare HTTP to the whole path: the difference between two neighbours is the cost of a layer. */
const layers = {
  'bare Node HTTP': { entry: 'bench/systems/layers/bare.ts', workers: 0 },
  'Express, JSON, JWT': { entry: 'bench/systems/layers/express.ts', workers: 0 },
  'our app, admitting all': { entry: 'bench/systems/layers/app.ts', workers: 0 },
  '+ flush to Redis': { entry: 'bench/systems/layers/flush.ts', workers: 0 },
  '+ Bull': { entry: 'server/main.ts', workers: 0 },
  '+ settlement': { entry: 'server/main.ts', workers: 1 },
};
const deadlineSeconds = 120;
type Layer = keyof typeof layers;
const names = Object.keys(layers) as Layer[];

interface LayerCost {
  acceptedPerSecond: number;
  /** CPU microseconds for each purchase: of the two servers, and of all processes but the load generator. */
  serverMicros: number;
  allMicros: number;
}

/** Measures the cost of each layer in one run. @returns whether every target is met. */
export async function ladder(options: LadderOptions): Promise<boolean> {
  const testbeds = new Map<Layer, OwnTestbed>();
  try {
    for (const name of names) testbeds.set(name, await openLayer(name));
    const whole = testbeds.get('+ settlement') as OwnTestbed;
    const side = stampedeOn(whole);
    testbeds.set('+ settlement', { ...whole, close: side.close });
    const results = await measureLayers(testbeds, side, options);
    const transactions = [];
    for (let n = 0; n < options.rounds; n++) {
      const alonePerSecond = await settleWithoutQueue(whole, options);
      await waitUntilDone(side, deadlineSeconds);
      const drain = await drainBacklog(side, { ...options, freshWorker: false });
      await waitUntilDone(side, deadlineSeconds);
      transactions.push({ alonePerSecond, fromQueuePerSecond: drain.drainedPerSecond });
    }
    if (options.profile) await profileBoth(whole, options);
    const ok = await auditTestbed(whole.system);

    const steps = (name: Layer) => results[name].map(({ acceptedPerSecond }) => acceptedPerSecond);
    const base = steps('Express, JSON, JWT');
    const wholeOfBase = steps('+ settlement').map((rate, n) => rate / (base[n] ?? Number.NaN));
    const settledOfAlone = transactions.map((rate) => rate.fromQueuePerSecond / rate.alonePerSecond);
    const verdicts = [
      judge("accepted/s of the whole path, of Express' with a JWT", wholeOfBase, 'at least', 0.6),
      judge("settled/s from the queue, of the transactions' alone", settledOfAlone, 'at least', 0.7),
      judge('broken invariants', [ok ? 0 : 1], 'below', 1),
    ];
    print(results, spreadsOf(transactions));
    printVerdicts(verdicts);
    const saved = saveResult('ladder', { options, layers: results, transactions, verdicts });
    console.log(`\nWritten to ${saved}`);
    return verdicts.every(({ pass }) => pass);
  } finally {
    for (const testbed of testbeds.values()) await testbed.close();
  }
}

/** Only the whole path can be profiled: its entry point adds nothing but a signal handler to the real one. */
function openLayer(name: Layer): Promise<OwnTestbed> {
  const { entry, workers } = layers[name];
  const own = workers > 0 ? profiledEntries : { server: entry, worker: '' };
  return openOwnTestbed({ workers, entries: own });
}

async function measureLayers(
  testbeds: Map<Layer, OwnTestbed>,
  whole: Side,
  { rounds, ...load }: LadderOptions,
) {
  const results = Object.fromEntries(names.map((name) => [name, [] as LayerCost[]])) as Record<
    Layer,
    LayerCost[]
  >;
  for (const [name, testbed] of testbeds)
    await measureLayer(testbed, name, { ...load, presses: load.presses / 5 });
  await waitUntilDone(whole, deadlineSeconds);
  for (let n = 0; n < rounds; n++) {
    // Each round begins with another layer.
    for (const name of [...names.slice(n % names.length), ...names.slice(0, n % names.length)]) {
      results[name].push(await measureLayer(testbeds.get(name) as OwnTestbed, name, load));
      // Work that follows an order, such as its events, must not be counted as the next layer's.
      await waitUntilDone(whole, deadlineSeconds);
    }
    console.log(`round ${n + 1}/${rounds} is done`);
  }
  return results;
}

type Load = Pick<LadderOptions, 'presses' | 'buyers' | 'connections'>;

async function measureLayer(
  testbed: OwnTestbed,
  name: Layer,
  { presses, buyers, connections }: Load,
): Promise<LayerCost> {
  const { system, url, secret, processes } = testbed;
  const tokens = mintTokens(buyers, secret);
  const sale = { name: 'Bench: ladder', stock: presses, limitPerBuyer: presses };
  const saleId = await openBenchSale(system, sale);
  const cpuSince = measureCpu(processes);
  const answers = await pressBuy({ url, tokens, saleId, presses, connections, deadlineSeconds });
  if (layers[name].workers > 0) await waitUntilSettled(system, deadlineSeconds);
  const { load, ...cpu } = cpuSince();
  await endBenchSale(system, saleId);
  if (answers.accepted.length !== presses) throw new Error(`${name}: ${JSON.stringify(answers.failed)}`);
  const servers = Object.entries(cpu).filter(([part]) => part.startsWith('server'));
  return {
    acceptedPerSecond: presses / answers.seconds,
    serverMicros: (sum(Object.fromEntries(servers)) * 1e6) / presses,
    allMicros: (sum(cpu) * 1e6) / presses,
  };
}

async function profileBoth(testbed: OwnTestbed, options: LadderOptions): Promise<void> {
  const own = testbed.processes().filter(({ name }) => /^(server|worker)-1$/.test(name));
  await profileDuring(own, () => measureLayer(testbed, '+ settlement', options));
  for (const { name } of own) printProfile(name);
}

function print(
  results: Record<Layer, LayerCost[]>,
  transactions: Record<string, Parameters<typeof spread>[0]>,
): void {
  console.log('\nEach behind nginx with two servers: median (range)\n');
  const head = ['', 'accepted/s', 'CPU µs a purchase: servers', 'all'];
  const rows = names.map((name) => {
    const { acceptedPerSecond, serverMicros, allMicros } = spreadsOf(results[name]);
    return [name, spread(acceptedPerSecond), spread(serverMicros), spread(allMicros)];
  });
  printTable(head, rows);
  for (const [name, rates] of Object.entries(transactions)) console.log(`${name}: ${spread(rates)}`);
  console.log();
}
