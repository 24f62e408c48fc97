import { mintTokens, pressBuy } from '../load/closed-loop.ts';
import { drainBacklog } from '../measure/drain.ts';
import { printProfile, profileDuring, profiledEntries } from '../measure/profile.ts';
import { settleAlone } from '../measure/transactions.ts';
import { watchCpu } from '../measure/usage.ts';
import { saveResult } from '../report/results.ts';
import { spreadsOf, sum } from '../report/statistics.ts';
import { printTable, spread } from '../report/table.ts';
import { judge, printVerdicts } from '../report/targets.ts';
import { type Side, stampedeOn, waitUntilDone } from '../systems/sides.ts';
import {
  auditStage,
  endBenchSale,
  type OwnStage,
  openBenchSale,
  openOwnStage,
  waitForQuiet,
} from '../systems/stage.ts';

export interface LadderOptions {
  rounds: number;
  presses: number;
  buyers: number;
  connections: number;
  backlog: number;
  profile: boolean;
}

/** From the lowest to the whole path: what one adds to the one before is what its layer costs. */
const rungs = {
  'bare Node HTTP': { entry: 'bench/systems/rungs/bare.ts', workers: 0 },
  'Express, JSON, JWT': { entry: 'bench/systems/rungs/express.ts', workers: 0 },
  'our app, admitting all': { entry: 'bench/systems/rungs/app.ts', workers: 0 },
  '+ flush to Redis': { entry: 'bench/systems/rungs/flush.ts', workers: 0 },
  '+ Bull': { entry: 'server/main.ts', workers: 0 },
  '+ settlement': { entry: 'server/main.ts', workers: 1 },
};
const deadlineSeconds = 120;
type Rung = keyof typeof rungs;
const names = Object.keys(rungs) as Rung[];

interface Step {
  acceptedPerSecond: number;
  /** CPU microseconds for each purchase: the two servers, and everything but the load generator. */
  serverMicros: number;
  allMicros: number;
}

/** What each layer costs alone, in one run. @returns whether every target is met. */
export async function ladder(options: LadderOptions): Promise<boolean> {
  const stages = new Map<Rung, OwnStage>();
  try {
    for (const name of names) stages.set(name, await openRung(name));
    const whole = stages.get('+ settlement') as OwnStage;
    const side = stampedeOn(whole);
    stages.set('+ settlement', { ...whole, close: side.close });
    const climbed = await climb(stages, side, options);
    const transactions = [];
    for (let n = 0; n < options.rounds; n++) {
      const alonePerSecond = await settleAlone(whole, options);
      await waitUntilDone(side, deadlineSeconds);
      const drain = await drainBacklog(side, { ...options, freshWorker: false });
      await waitUntilDone(side, deadlineSeconds);
      transactions.push({ alonePerSecond, fromQueuePerSecond: drain.drainedPerSecond });
    }
    if (options.profile) await profileBoth(whole, options);
    const ok = await auditStage(whole.system);

    const steps = (name: Rung) => climbed[name].map(({ acceptedPerSecond }) => acceptedPerSecond);
    const base = steps('Express, JSON, JWT');
    const wholeOfBase = steps('+ settlement').map((rate, n) => rate / (base[n] ?? Number.NaN));
    const settledOfAlone = transactions.map((rate) => rate.fromQueuePerSecond / rate.alonePerSecond);
    const verdicts = [
      judge("accepted/s of the whole path, of Express' with a JWT", wholeOfBase, 'at least', 0.6),
      judge("settled/s from the queue, of the transactions' alone", settledOfAlone, 'at least', 0.7),
      judge('broken invariants', [ok ? 0 : 1], 'below', 1),
    ];
    print(climbed, spreadsOf(transactions));
    printVerdicts(verdicts);
    const saved = saveResult('ladder', { options, rungs: climbed, transactions, verdicts });
    console.log(`\nWritten to ${saved}`);
    return verdicts.every(({ pass }) => pass);
  } finally {
    for (const stage of stages.values()) await stage.close();
  }
}

/** Only the whole path is ever profiled; until it is asked to, its entry is the real one with a listener more. */
function openRung(name: Rung): Promise<OwnStage> {
  const { entry, workers } = rungs[name];
  const own = workers > 0 ? profiledEntries : { server: entry, worker: '' };
  return openOwnStage({ workers, entries: own });
}

async function climb(stages: Map<Rung, OwnStage>, whole: Side, { rounds, ...load }: LadderOptions) {
  const climbed = Object.fromEntries(names.map((name) => [name, [] as Step[]])) as Record<Rung, Step[]>;
  for (const [name, stage] of stages) await step(stage, name, { ...load, presses: load.presses / 5 });
  await waitUntilDone(whole, deadlineSeconds);
  for (let n = 0; n < rounds; n++) {
    // Each round begins on another rung.
    for (const name of [...names.slice(n % names.length), ...names.slice(0, n % names.length)]) {
      climbed[name].push(await step(stages.get(name) as OwnStage, name, load));
      // What follows an order is no rung, and not to be met on another one.
      await waitUntilDone(whole, deadlineSeconds);
    }
    console.log(`round ${n + 1}/${rounds} is played`);
  }
  return climbed;
}

type Load = Pick<LadderOptions, 'presses' | 'buyers' | 'connections'>;

async function step(stage: OwnStage, name: Rung, { presses, buyers, connections }: Load): Promise<Step> {
  const { system, url, secret, processes } = stage;
  const tokens = mintTokens(buyers, secret);
  const sale = { name: 'Bench: ladder', stock: presses, limitPerBuyer: presses };
  const saleId = await openBenchSale(system, sale);
  const cpuSince = watchCpu(processes);
  const crowd = await pressBuy({ url, tokens, saleId, presses, connections, deadlineSeconds });
  if (rungs[name].workers > 0) await waitForQuiet(system, deadlineSeconds);
  const { load, ...cpu } = cpuSince();
  await endBenchSale(system, saleId);
  if (crowd.accepted.length !== presses) throw new Error(`${name}: ${JSON.stringify(crowd.failed)}`);
  const servers = Object.entries(cpu).filter(([part]) => part.startsWith('server'));
  return {
    acceptedPerSecond: presses / crowd.seconds,
    serverMicros: (sum(Object.fromEntries(servers)) * 1e6) / presses,
    allMicros: (sum(cpu) * 1e6) / presses,
  };
}

async function profileBoth(stage: OwnStage, options: LadderOptions): Promise<void> {
  const own = stage.processes().filter(({ name }) => /^(server|worker)-1$/.test(name));
  await profileDuring(own, () => step(stage, '+ settlement', options));
  for (const { name } of own) printProfile(name);
}

function print(
  climbed: Record<Rung, Step[]>,
  transactions: Record<string, Parameters<typeof spread>[0]>,
): void {
  console.log('\nEach behind nginx with two servers: median (range)\n');
  const head = ['', 'accepted/s', 'CPU µs a purchase: servers', 'all'];
  const rows = names.map((name) => {
    const { acceptedPerSecond, serverMicros, allMicros } = spreadsOf(climbed[name]);
    return [name, spread(acceptedPerSecond), spread(serverMicros), spread(allMicros)];
  });
  printTable(head, rows);
  for (const [name, rates] of Object.entries(transactions)) console.log(`${name}: ${spread(rates)}`);
  console.log();
}
