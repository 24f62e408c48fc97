import { type Spread, spreadOf } from './statistics.ts';

/** One target: a ratio of two figures of the same round, and what it should be. */
export interface Verdict {
  what: string;
  ratio: Spread;
  target: number;
  /** Whether the ratio should be at least the target, or below it. */
  is: 'at least' | 'below';
  pass: boolean;
}

/** @param ratios one for each round: figures of different rounds are not compared. */
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
