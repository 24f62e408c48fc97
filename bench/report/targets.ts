import { type Spread, spreadOf } from './statistics.ts';

/** One target: a figure or a ratio of two figures of the same round, and its bound. */
export interface Verdict {
  what: string;
  ratio: Spread;
  target: number;
  /** Whether the target is a lower or an upper bound. */
  is: 'at least' | 'below';
  pass: boolean;
}

/** @param ratios one for each round, because figures of different rounds cannot be compared. */
export function judge(what: string, ratios: number[], is: Verdict['is'], target: number): Verdict {
  const ratio = spreadOf(ratios);
  return { what, ratio, target, is, pass: is === 'below' ? ratio.median < target : ratio.median >= target };
}

export function printVerdicts(verdicts: Verdict[]): void {
  const width = Math.max(...verdicts.map(({ what }) => what.length));
  for (const { what, ratio, is, target, pass } of verdicts) {
    const found = `${ratio.median.toFixed(2)} (${ratio.min.toFixed(2)}–${ratio.max.toFixed(2)})`;
    console.log(`${pass ? 'PASS' : 'FAIL'}  ${what.padEnd(width)}  ${found}, target: ${is} ${target}`);
  }
}
