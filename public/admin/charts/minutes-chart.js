/** A sale's orders by minute, as the analytics subscriber counted them. */

/** @import { SaleMinute } from '../../../insight/contract.ts' */

import { texts } from '../texts.js';
import { chart, sumOf } from './chart.js';

const MINUTE_MS = 60_000;
/** The chart shows a day at most. */
const MAX_MINUTES = 1_440;

/** @param {string} title */
export function minutesChart(title) {
  const { charts: t } = texts;
  const lines = [
    { label: t.paid, color: '--good', fill: true, stepped: true },
    { label: t.rejected, color: '--wait', stepped: true },
    { label: t.cancelled, color: '--hot', stepped: true },
  ];
  // The legend has the sums of what is shown: the last minute is always empty.
  const drawn = chart(title, lines, { summary: sumOf });
  return {
    root: drawn.root,
    close: drawn.close,
    /** @param {SaleMinute[]} minutes the minutes with at least one order */
    set(minutes) {
      if (minutes.length === 0) return drawn.set([], [], [], []);
      const byTime = new Map(minutes.map((counts) => [Date.parse(counts.minute), counts]));
      const times = [...byTime.keys()];
      // The minute after the last one, where the line returns to zero.
      const end = Math.max(...times) + MINUTE_MS;
      const start = Math.max(Math.min(...times), end - MAX_MINUTES * MINUTE_MS);
      const every = Array.from({ length: (end - start) / MINUTE_MS + 1 }, (_, n) => start + n * MINUTE_MS);
      const values = (/** @type {'paid' | 'rejected' | 'cancelled'} */ count) =>
        every.map((at) => byTime.get(at)?.[count] ?? 0);
      drawn.set(
        every.map((at) => at / 1_000),
        values('paid'),
        values('rejected'),
        values('cancelled'),
      );
    },
  };
}
