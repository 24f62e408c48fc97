/** What the page of a draw says, for the server, which writes it first, and for the page's script. Pure. */

/** @import { Draw } from '../../sale/contract.ts' */

import { namedRound } from './check-draw.js';

/**
 * @param {Draw} draw @param {number} now Unix ms
 * @param {{ texts: typeof import('../texts/en.js').english, dateTime: (at: string) => string }} reader
 * @returns {{ steps: string[], leftMs: number, verdict: string }} how the draw is made, step by step; the time until it is
 * made, or 0 when entering has ended; and what to say meanwhile
 */
export function drawInWords({ drawAt, entries, beacon, state }, now, { texts, dateTime }) {
  const t = texts.draws;
  const leftMs = state === 'entering' ? Math.max(0, Date.parse(drawAt) - now) : 0;
  const waiting = beacon?.isLate ? t.late : texts.place.drawing;
  return {
    steps: [...t.explained(dateTime(drawAt), entries), ...lastSteps()],
    leftMs,
    verdict: state === 'drawn' ? '' : leftMs > 0 ? t.notYet : waiting,
  };

  function lastSteps() {
    if (!beacon) return [t.cannotShow];
    const { round, at, waivedAt } = beacon;
    if (waivedAt !== null) return [t.waived(round, dateTime(waivedAt))];
    const named = namedRound(drawAt);
    return [t.beacon(round, dateTime(at)), ...(round > named ? [t.laterRound(named)] : [])];
  }
}
