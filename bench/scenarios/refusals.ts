import { openRefusalMeter, type RefusalsOptions, type Round } from '../measure/refusal-costs.ts';
import { saveResult } from '../report/results.ts';
import { spreadsOf } from '../report/statistics.ts';
import { printTable, spread } from '../report/table.ts';
import { judge, printVerdicts, type Verdict } from '../report/targets.ts';
import { stampedeOn } from '../systems/sides.ts';
import { auditTestbed, openOwnTestbed } from '../systems/testbed.ts';

const columns: Record<keyof Round, string> = {
  acceptanceMicros: 'CPU of an acceptance, settled, µs',
  refusalMicros: 'CPU of a refusal, µs',
  flashSaleMicros: 'CPU of a press, 1 unit for 100, µs',
  mongoOperations: 'MongoDB operations for 1,000 refusals',
  jobs: 'jobs for 1,000 refusals',
  aloneP99Ms: 'accepted p99 alone, ms',
  besideRefusedP99Ms: 'accepted p99 while others are refused, ms',
  besideAcceptedP99Ms: 'accepted p99 while others are accepted, ms',
};

/** Compares the cost of a refusal with that of an acceptance. @returns whether every target is met. */
export async function refusals(options: RefusalsOptions): Promise<boolean> {
  const side = stampedeOn(await openOwnTestbed());
  try {
    const meter = openRefusalMeter(side, options);
    await meter.press(options.presses); // The processes warm up.
    const rounds: Round[] = [];
    for (let n = 0; n < options.rounds; n++) {
      rounds.push({ ...(await meter.costs(n)), ...(await meter.waits()) });
      console.log(`round ${n + 1}/${options.rounds} is done`);
    }
    const ok = await auditTestbed(side.testbed.system);
    const verdicts = verdictsOf(rounds, ok);
    const spreads = spreadsOf(rounds);
    const names = Object.entries(columns) as [keyof Round, string][];
    printTable(
      ['', 'median (range)'],
      names.map(([column, name]) => [name, spread(spreads[column])]),
    );
    printVerdicts(verdicts);
    console.log(`\nWritten to ${saveResult('refusals', { options, rounds, verdicts })}`);
    return verdicts.every(({ pass }) => pass);
  } finally {
    await side.close();
  }
}

/** A p99 under load varies by this factor from run to run. */
const notWorse = 1.25;

function verdictsOf(rounds: Round[], auditOk: boolean): Verdict[] {
  const ratios = (over: keyof Round, under: keyof Round) => rounds.map((round) => round[over] / round[under]);
  const all = (column: keyof Round) => rounds.map((round) => round[column]);
  return [
    judge("CPU of a refusal, of an acceptance's", ratios('refusalMicros', 'acceptanceMicros'), 'below', 0.6),
    // For a sold-out gate each instance reads MongoDB once a second, however many are refused.
    judge('MongoDB operations for 1,000 refusals', all('mongoOperations'), 'below', 5),
    judge('jobs for 1,000 refusals', all('jobs'), 'below', 0.001),
    judge(
      'accepted p99 while others are refused, of that while they are accepted',
      ratios('besideRefusedP99Ms', 'besideAcceptedP99Ms'),
      'below',
      notWorse,
    ),
    judge('broken invariants', [auditOk ? 0 : 1], 'below', 1),
  ];
}
