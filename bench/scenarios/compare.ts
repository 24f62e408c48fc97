import { mintTokens } from '../load/closed-loop.ts';
import { type Drain, drainBacklog } from '../measure/drain.ts';
import { measureCpu } from '../measure/process-usage.ts';
import { printComparison, verdictsOf } from '../report/comparison.ts';
import { saveResult } from '../report/results.ts';
import { sum } from '../report/statistics.ts';
import { figure } from '../report/table.ts';
import type { Verdict } from '../report/targets.ts';
import { type Round, runRound } from '../systems/round.ts';
import { comparedSides, openSides, type Side, type SideName } from '../systems/sides.ts';
import { auditTestbed } from '../systems/testbed.ts';

export interface CompareOptions {
  rounds: number;
  presses: number;
  buyers: number;
  connections: number;
  backlog: number;
}

/** The content of bench/results/compare.json, besides its run environment. */
export interface CompareResult {
  options: CompareOptions;
  /** By side, its rounds in order. The nth rounds of all sides were run one after the other. */
  rounds: Record<SideName, Round[]>;
  drains: Partial<Record<SideName, Drain[]>>;
  audits: Record<SideName, boolean>;
  /** CPU seconds of the idle sides for each CPU second of the side under load. */
  idleShare: number;
  verdicts: Verdict[];
}

/** V8 compiles code while it runs. The warm-up is given in seconds and not rounds, because rounds of the plain sides last longer. */
const warmUpSeconds = 60;

/** 'queue' drains its backlog at a constant rate, as its two halves show, so a fifth of the backlog gives the same figure. */
const plainBacklogShare = 0.2;

/** Compares Stampede with two plain systems under the same load. @returns whether every target is met. */
export async function compare(options: CompareOptions): Promise<boolean> {
  const result = await runComparison(options);
  printComparison(result);
  console.log(`\nWritten to ${saveResult('compare', result)}`);
  return result.verdicts.every(({ pass }) => pass);
}

export async function runComparison(options: CompareOptions): Promise<CompareResult> {
  console.log(
    'Starting three systems, each with MongoDB, Redis, nginx, 2 servers, and a worker if it has a queue',
  );
  const { sides, close } = await openSides(comparedSides);
  try {
    const { rounds, idleShare } = await runRounds(sides, options);
    const drains = options.backlog > 0 ? await drainInTurns(sides, options) : {};
    const audits: Partial<Record<SideName, boolean>> = {};
    for (const { name, testbed } of sides) {
      audits[name] = await auditTestbed(testbed.system, { withLog: name === 'stampede' });
    }
    const measured = { options, rounds, drains, audits: audits as CompareResult['audits'], idleShare };
    return { ...measured, verdicts: verdictsOf(measured) };
  } finally {
    await close();
  }
}

async function runRounds(sides: Side[], { rounds, presses, buyers, connections }: CompareOptions) {
  const tokensOf = new Map(sides.map(({ name, testbed }) => [name, mintTokens(buyers, testbed.secret)]));
  const loadOf = ({ name }: Side) => ({ tokens: tokensOf.get(name) ?? [], presses, connections });
  for (const side of sides) {
    const warmAt = performance.now() + warmUpSeconds * 1_000;
    do report('warm-up', side, await runRound(side, loadOf(side)));
    while (performance.now() < warmAt);
  }

  const results: Record<SideName, Round[]> = { stampede: [], queue: [], sync: [] };
  const used = { idle: 0, busy: 0 };
  for (let n = 0; n < rounds; n++) {
    for (const side of rotated(sides, n)) {
      const idleSince = sides
        .filter((other) => other !== side)
        .map(({ testbed }) => measureCpu(testbed.processes));
      const round = await runRound(side, loadOf(side));
      results[side.name].push(round);
      for (const since of idleSince) used.idle += withoutLoad(since());
      used.busy += (round.cpuTotal * presses) / 10_000;
      report(`round ${n + 1}/${rounds}`, side, round);
    }
  }
  return { rounds: results, idleShare: used.idle / used.busy };
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

/** Each round begins with another side, so that no side always runs after the same one. */
const rotated = (sides: Side[], n: number) => sides.map((_, i) => sides[(i + n) % sides.length] as Side);

const withoutLoad = ({ load, ...parts }: Record<string, number>) => sum(parts);

function report(what: string, { name }: Side, { acceptedPerSecond, p99Ms, settledPerSecond }: Round): void {
  const rates = `accepted ${figure(acceptedPerSecond)}/s, p99 ${figure(p99Ms)} ms`;
  console.log(`${what}  ${name}: ${rates}, settled ${figure(settledPerSecond)}/s`);
}
