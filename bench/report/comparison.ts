import type { CompareResult } from '../scenarios/compare.ts';
import type { Round } from '../systems/round.ts';
import { type SideName, sideNames } from '../systems/sides.ts';
import { spreadsOf } from './statistics.ts';
import { figure, printTable, spread } from './table.ts';
import { judge, printVerdicts, type Verdict } from './targets.ts';

type Measured = Omit<CompareResult, 'verdicts'>;

/** The targets of this comparison, each a ratio of figures of the same round. */
export function verdictsOf({ rounds, drains, audits }: Measured): Verdict[] {
  const ratios = (column: keyof Round, other: SideName) =>
    rounds.stampede.map((round, n) => round[column] / (rounds[other][n]?.[column] ?? Number.NaN));
  const drained = (name: SideName) => (drains[name] ?? []).map(({ drainedPerSecond }) => drainedPerSecond);
  const others = drained('queue');
  const drainRatios = drained('stampede').map((rate, n) => rate / (others[n] ?? Number.NaN));
  const broken = rounds.stampede.reduce((total, round) => total + round.broken, 0);
  const breaches = broken + Object.values(audits).filter((ok) => !ok).length;
  return [
    judge("settled/s, of queue's", ratios('settledPerSecond', 'queue'), 'at least', 12),
    ...(drainRatios.length > 0 ? [judge("drained/s, of queue's", drainRatios, 'at least', 20)] : []),
    judge("accepted/s, of queue's", ratios('acceptedPerSecond', 'queue'), 'at least', 3.5),
    judge("p99 of the answer, of queue's", ratios('p99Ms', 'queue'), 'below', 1 / 3),
    judge("p99 of the answer, of sync's", ratios('p99Ms', 'sync'), 'below', 1),
    judge("CPU for each settled, of queue's", ratios('cpuTotal', 'queue'), 'below', 1 / 8),
    judge('broken invariants, or failed requests of Stampede', [breaches], 'below', 1),
  ];
}

/** The rows of the comparison, with their titles in the terminal, the page and the README. */
export const columns: [column: keyof Round, name: string][] = [
  ['acceptedPerSecond', 'accepted/s'],
  ['p50Ms', 'answer p50, ms'],
  ['p99Ms', 'answer p99, ms'],
  ['settledPerSecond', 'settled/s'],
  ['paidP50Ms', 'accepted → paid p50, ms'],
  ['paidP99Ms', 'accepted → paid p99, ms'],
  ['redisCommands', 'Redis commands a purchase'],
  ['redisBytes', 'Redis bytes a purchase'],
  ['mongoCommands', 'MongoDB commands a purchase'],
  ['mongoBytes', 'MongoDB bytes a purchase'],
  ['cpuNginx', 'CPU s / 10,000: nginx'],
  ['cpuServers', 'CPU s / 10,000: servers'],
  ['cpuWorkers', 'CPU s / 10,000: worker'],
  ['cpuRedis', 'CPU s / 10,000: Redis'],
  ['cpuMongo', 'CPU s / 10,000: MongoDB'],
  ['cpuTotal', 'CPU s / 10,000: all'],
  ['broken', 'lost, refused or failed'],
];

/** The table as text: a title and a cell for each side, then the backlog and the audit. */
export function comparisonRows({ rounds, drains, audits }: Measured): string[][] {
  const medians = sideNames.map((name) => spreadsOf(rounds[name]));
  const rows = columns.map(([column, title]) => [title, ...medians.map((own) => spread(own[column]))]);
  const drained = sideNames.map((name) => {
    const own = drains[name];
    return own ? spread(spreadsOf(own).drainedPerSecond) : '–';
  });
  const audited = sideNames.map((name) => (audits[name] ? 'hold' : 'BROKEN'));
  return [...rows, ['backlog drained/s', ...drained], ['invariants', ...audited]];
}

export function printComparison(result: CompareResult): void {
  const { options, drains, idleShare, verdicts } = result;
  const { rounds, presses, buyers, connections } = options;
  const load = `${presses} purchases by ${buyers} buyers over ${connections} connections`;
  console.log(`\n${load}, ${rounds} rounds: median (range)\n`);
  printTable(['', ...sideNames], comparisonRows(result));
  console.log(`\nIdle sides used ${(idleShare * 100).toFixed(1)}% of the CPU of the side under load.`);
  for (const [name, own] of Object.entries(drains)) {
    const { firstHalfPerSecond: first, secondHalfPerSecond: second } = spreadsOf(own);
    console.log(
      `Backlog of ${name}: first half ${figure(first.median)}/s, second ${figure(second.median)}/s`,
    );
  }
  console.log();
  printVerdicts(verdicts);
}
