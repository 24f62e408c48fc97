/** Mulberry32: a pseudorandom number generator from 0 to 1, which gives the same numbers for the same seed. */
export function openRandom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** @throws Error when there is nothing to choose from. */
export function chooseFrom<Value>(random: () => number, values: readonly Value[]): Value {
  const chosen = values[Math.floor(random() * values.length)];
  if (chosen === undefined) throw new Error('There is nothing to choose from');
  return chosen;
}

/** The values in random order. */
export const shuffled = <Value>(random: () => number, values: readonly Value[]): Value[] =>
  values
    .map((value) => ({ value, rank: random() }))
    .sort((one, other) => one.rank - other.rank)
    .map(({ value }) => value);

/** A whole number from `least` to `most`. */
export const between = (random: () => number, least: number, most: number) =>
  least + Math.floor(random() * (most - least + 1));
