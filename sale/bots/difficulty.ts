import type { ProofOfWork } from '../contract.ts';

/**
 * How hard a puzzle is that is given now. Pure.
 * @param until when its answer expires: one that is still valid at the opening is as hard as one given then.
 * @param backlog accepted purchases that are not settled.
 */
export function difficultyOf(
  { bits, opening, load }: ProofOfWork,
  { opensAt, now, until, backlog }: { opensAt: Date; now: Date; until: Date; backlog: number },
): number {
  const isOpening = opening && until > opensAt && now.getTime() < opensAt.getTime() + opening.seconds * 1_000;
  const isBusy = load && backlog >= load.backlog;
  return Math.max(bits, isOpening ? opening.bits : 0, isBusy ? load.bits : 0);
}
