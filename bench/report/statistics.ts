/** @param sorted in ascending order. @returns NaN when it is empty. */
export function percentile(sorted: number[], percent: number): number {
  if (sorted.length === 0) return Number.NaN;
  return sorted[Math.min(sorted.length - 1, Math.floor((sorted.length * percent) / 100))] as number;
}

/** The median of several rounds, and their range. */
export interface Spread {
  median: number;
  min: number;
  max: number;
}

export function spreadOf(values: number[]): Spread {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  const upper = sorted[middle] ?? Number.NaN;
  const median = sorted.length % 2 === 0 ? ((sorted[middle - 1] ?? Number.NaN) + upper) / 2 : upper;
  return { median, min: sorted[0] ?? Number.NaN, max: sorted.at(-1) ?? Number.NaN };
}

/** @param rounds all with the same columns. */
export function spreadsOf<Column extends string>(rounds: Record<Column, number>[]): Record<Column, Spread> {
  const columns = Object.keys(rounds[0] ?? {}) as Column[];
  const spreads = columns.map((column) => [column, spreadOf(rounds.map((round) => round[column]))]);
  return Object.fromEntries(spreads) as Record<Column, Spread>;
}

export const sum = (counts: Record<string, number>) => Object.values(counts).reduce((a, b) => a + b, 0);
