import { mintTokens } from '../load/closed-loop.ts';
import { type Drain, drainBacklog } from '../measure/drain.ts';
import { watchCpu } from '../measure/usage.ts';
import { printComparison, verdictsOf } from '../report/comparison.ts';
import { saveResult } from '../report/results.ts';
import { sum } from '../report/statistics.ts';
import { figure } from '../report/table.ts';
import type { Verdict } from '../report/targets.ts';
import { playRound, type Round } from '../systems/round.ts';
import { comparedSides, openSides, type Side, type SideName } from '../systems/sides.ts';
import { auditStage } from '../systems/stage.ts';

export interface CompareOptions {
  rounds: number;
  presses: number;
  buyers: number;
  connections: number;
  backlog: number;
}

/** What bench/results/compare.json holds besides its circumstances. */
export interface CompareResult {
  options: CompareOptions;
  /** By side, its rounds in order: the nth rounds of all sides were played one after the other. */
  rounds: Record<SideName, Round[]>;
  drains: Partial<Record<SideName, Drain[]>>;
  audits: Record<SideName, boolean>;
  /** CPU seconds that the idle sides used for each one that the side at work used. */
  idleShare: number;
  verdicts: Verdict[];
}

/** A process compiles its code while it runs, and each side has the same time for it: a round of the plain ones lasts longer. */
const warmUpSeconds = 60;

/** 'queue' works its backlog off at a flat rate, which its halves show: a fifth of the wait tells the same. */
const plainBacklogShare = 0.2;

/** Stampede and the two plain ways side by side under the same load. @returns whether every target is met. */
export async function compare(options: CompareOptions): Promise<boolean> {
  const result = await playComparison(options);
  printComparison(result);
  console.log(`\nWritten to ${saveResult('compare', result)}`);
  return result.verdicts.every(({ pass }) => pass);
}

export async function playComparison(options: CompareOptions): Promise<CompareResult> {
  console.log(
    'Starting three systems: each MongoDB, Redis, nginx, 2 servers, and a worker where there is a queue',
  );
  const { sides, close } = await openSides(comparedSides);
  try {
    const { rounds, idleShare } = await playRounds(sides, options);
    const drains = options.backlog > 0 ? await drainInTurns(sides, options) : {};
    const audits: Partial<Record<SideName, boolean>> = {};
    for (const { name, stage } of sides) {
      audits[name] = await auditStage(stage.system, { withLog: name === 'stampede' });
    }
    const measured = { options, rounds, drains, audits: audits as CompareResult['audits'], idleShare };
    return { ...measured, verdicts: verdictsOf(measured) };
  } finally {
    await close();
  }
}

async function playRounds(sides: Side[], { rounds, presses, buyers, connections }: CompareOptions) {
  const tokensOf = new Map(sides.map(({ name, stage }) => [name, mintTokens(buyers, stage.secret)]));
  const loadOf = ({ name }: Side) => ({ tokens: tokensOf.get(name) ?? [], presses, connections });
  for (const side of sides) {
    const warmAt = performance.now() + warmUpSeconds * 1_000;
    do report('warm-up', side, await playRound(side, loadOf(side)));
    while (performance.now() < warmAt);
  }

  const played: Record<SideName, Round[]> = { stampede: [], queue: [], sync: [] };
  const used = { idle: 0, busy: 0 };
  for (let n = 0; n < rounds; n++) {
    for (const side of rotated(sides, n)) {
      const idleSince = sides.filter((other) => other !== side).map(({ stage }) => watchCpu(stage.processes));
      const round = await playRound(side, loadOf(side));
      played[side.name].push(round);
      for (const since of idleSince) used.idle += withoutLoad(since());
      used.busy += (round.cpuTotal * presses) / 10_000;
      report(`round ${n + 1}/${rounds}`, side, round);
    }
  }
  return { rounds: played, idleShare: used.idle / used.busy };
}

async function drainInTurns(sides: Side[], { rounds, backlog, buyers }: CompareOptions) {
  const drains: Partial<Record<SideName, Drain[]>> = {};
  for (let n = 0; n < rounds; n++) {
    for (const side of rotated(sides, n).filter(({ queue }) => queue)) {
      const size = side.name === 'stampede' ? backlog : Math.ceil(backlog * plainBacklogShare);
      const drain = await drainBacklog(side, { backlog: size, buyers, freshWorker: true });
      const rounds = drains[side.name] ?? [];
      drains[side.name] = [...rounds, drain];
      console.log(`backlog ${n + 1}  ${side.name}: ${size} drained at ${figure(drain.drainedPerSecond)}/s`);
    }
  }
  return drains;
}

/** Each round begins with another side, so that none always follows the same one. */
const rotated = (sides: Side[], n: number) => sides.map((_, i) => sides[(i + n) % sides.length] as Side);

const withoutLoad = ({ load, ...parts }: Record<string, number>) => sum(parts);

function report(what: string, { name }: Side, { acceptedPerSecond, p99Ms, settledPerSecond }: Round): void {
  const rates = `accepted ${figure(acceptedPerSecond)}/s, p99 ${figure(p99Ms)} ms`;
  console.log(`${what}  ${name}: ${rates}, settled ${figure(settledPerSecond)}/s`);
}
