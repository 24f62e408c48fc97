/** A burn-down chart: a sale's stock over time, with the straight line of an even pace. */

/** @import { SaleReport } from '../../../insight/contract.ts' */

import { serverNow } from '../../shared/clock.js';
import { number } from '../../shared/format.js';
import { texts } from '../texts.js';
import { chart } from './chart.js';

/** @param {string} title @param {{ height?: number }} [options] */
export function burnDown(title, options) {
  const { left, evenly } = texts.charts;
  const drawn = chart(
    title,
    [
      { label: left, color: '--hot', fill: true, stepped: true },
      { label: evenly, color: '--muted', dashed: true, write: (value) => number(Math.round(value)) },
    ],
    options,
  );
  return {
    root: drawn.root,
    close: drawn.close,
    /** @param {SaleReport} report */
    set(report) {
      const { points, start, now, end } = curveOf(report, serverNow());
      const at = [...points.map(([when]) => when), ...(end > now ? [end] : [])];
      const stock = [...points.map(([, units]) => units), ...(end > now ? [null] : [])];
      const target = report.soldOutAt ? Date.parse(report.soldOutAt) : Date.parse(report.sale.closesAt);
      const first = points[0]?.[1] ?? report.units;
      const share = (/** @type {number} */ when) => (when - start) / Math.max(1, target - start);
      const evenly = at.map((when) => first * (1 - Math.min(1, Math.max(0, share(when)))));
      drawn.set(
        at.map((when) => when / 1_000),
        stock,
        evenly,
      );
    },
  };
}

/**
 * The stock from the opening, or from shortly before the first order if that came much later, to now or the sale's end.
 * Before the opening it is the whole sale to come.
 * @param {Pick<SaleReport, 'sale' | 'firstPaidAt' | 'soldOutAt' | 'points' | 'stock'>} report @param {number} present
 * @returns {{ points: [at: number, units: number][], start: number, now: number, end: number }} times in Unix ms
 */
export function curveOf({ sale, firstPaidAt, soldOutAt, points, stock }, present) {
  const opened = Date.parse(sale.opensAt);
  const closes = Date.parse(sale.closesAt);
  if (present <= opened)
    return { points: [[opened, stock]], start: opened, now: opened, end: Math.max(closes, opened + 1_000) };
  const first = firstPaidAt ? Date.parse(firstPaidAt) : opened;
  const until = soldOutAt ? Date.parse(soldOutAt) : Math.min(present, closes);
  const length = Math.max(1_000, until - first);
  const start = Math.max(opened, first - length * 0.1);
  const end = Math.max(start + 1_000, until + length * 0.05);
  const now = Math.min(end, present);
  // The stock that the sale had at the start, and not all units that it ever had: some may have been added later.
  const before = points.findLast(([at]) => at <= start)?.[1] ?? points[0]?.[1] ?? stock;
  const within = points.filter(([at]) => at > start && at < now);
  const last = points.findLast(([at]) => at <= now)?.[1] ?? stock;
  return { points: [[start, before], ...within, [now, last]], start, now, end };
}
