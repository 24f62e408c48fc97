import { type CompareResult, playComparison } from '../scenarios/compare.ts';
import { readResult } from './results.ts';
import { figure, printTable, spread } from './table.ts';

/** Ratios of one run on a quiet machine lie so far apart at most. */
const noise = 1.25;

/**
 * Plays a few rounds of the comparison and holds their ratios against the stored ones, which the README shows.
 * @returns whether they differ by no more than the noise.
 */
export async function check({ rounds }: { rounds: number }): Promise<boolean> {
  const stored = readResult<CompareResult>('compare');
  if (!stored) throw new Error('No stored result: `npm run bench -- compare` makes one.');
  const fresh = await playComparison({ ...stored.options, rounds });
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
  const circumstances = `${stored.cpu}, ${stored.cores} cores, Node ${stored.node}`;
  console.log(`\nThe stored run: ${circumstances}: ${stored.command}`);
  return rows.every(({ agrees }) => agrees);
}
