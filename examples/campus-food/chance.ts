import { createHash } from 'node:crypto';

/**
 * A pseudorandom decision that is the same at every delivery: a pure function of the seed and the event.
 * @param chance from 0, never, to 1, always.
 */
export function isLucky(chance: number, seed: string, eventId: string): boolean {
  const draw = createHash('sha256').update(`${seed}\n${eventId}`).digest().readUIntBE(0, 6);
  return draw / 2 ** 48 < chance;
}
