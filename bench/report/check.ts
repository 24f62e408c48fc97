import { type CompareResult, runComparison } from '../scenarios/compare.ts';
import { readResult } from './results.ts';
import { figure, printTable, spread } from './table.ts';

/** Ratios of two runs on an idle machine differ by this factor at most. */
const noise = 1.25;

/**
 * Runs a few rounds of the comparison, and compares their ratios with the stored ones that the README shows.
 * @returns whether they differ by no more than the noise.
 */
export async function check({ rounds }: { rounds: number }): Promise<boolean> {
  const stored = readResult<CompareResult>('compare');
  if (!stored) throw new Error('No stored result: `npm run bench -- compare` makes one.');
  const fresh = await runComparison({ ...stored.options, rounds });
  const rows = fresh.verdicts.flatMap(({ what, ratio }) => {
    const before = stored.verdicts.find((verdict) => verdict.what === what)?.ratio;
    if (!before) return [];
    const [low, high] = [before.min / noise, before.max * noise];
    const agrees = ratio.median >= low && ratio.median <= high;
    return [
      {
        agrees,
        cells: [
          what,
          spread(before),
          spread(ratio),
          agrees ? 'agrees' : `OUTSIDE ${figure(low)}–${figure(high)}`,
        ],
      },
    ];
  });
  printTable(
    [`ratio`, `stored ${stored.at.slice(0, 10)}`, 'now', ''],
    rows.map(({ cells }) => cells),
  );
  const environment = `${stored.cpu}, ${stored.cores} cores, Node ${stored.node}`;
  console.log(`\nThe stored run: ${environment}: ${stored.command}`);
  return rows.every(({ agrees }) => agrees);
}
