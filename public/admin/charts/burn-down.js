/** A burn-down chart: a sale's stock over time, with the straight line of an even pace. */

/** @import { SaleReport } from '../../../insight/contract.ts' */

import { serverNow } from '../../shared/clock.js';
import { number } from '../../shared/format.js';
import { chart } from './chart.js';

/** @param {string} title @param {{ height?: number }} [options] */
export function burnDown(title, options) {
  const drawn = chart(
    title,
    [
      { label: 'Left', color: '--hot', fill: true, stepped: true },
      { label: 'Evenly', color: '--muted', dashed: true, write: (value) => number(Math.round(value)) },
    ],
    options,
  );
  return {
    root: drawn.root,
    close: drawn.close,
    /** @param {SaleReport} report */
    set(report) {
      const { start, end } = spanOf(report);
      const curve = report.points.filter(([at]) => at >= start && at <= end);
      const before =
        report.points.findLast(([at]) => at <= start)?.[1] ?? report.points[0]?.[1] ?? report.units;
      const now = Math.min(end, serverNow());
      const left = [[start, before], ...curve, [now, report.stock]].sort(
        ([one = 0], [other = 0]) => one - other,
      );
      const at = [...left.map(([when = 0]) => when / 1_000), ...(end > now ? [end / 1_000] : [])];
      const stock = [...left.map(([, units = 0]) => units), ...(end > now ? [null] : [])];
      const target = report.soldOutAt ? Date.parse(report.soldOutAt) : Date.parse(report.sale.closesAt);
      const evenly = at.map((when) =>
        Math.max(0, report.units * (1 - (when * 1_000 - start) / Math.max(1, target - start))),
      );
      drawn.set(at, stock, evenly);
    },
  };
}

/** The time axis: from the opening, or shortly before the first order if that came much later, to the sale's end.
 * @param {SaleReport} report */
function spanOf({ sale, firstPaidAt, soldOutAt }) {
  const opened = Date.parse(sale.opensAt);
  const first = firstPaidAt ? Date.parse(firstPaidAt) : opened;
  const until = soldOutAt ? Date.parse(soldOutAt) : Math.min(serverNow(), Date.parse(sale.closesAt));
  const length = Math.max(1_000, until - first);
  const start = Math.max(opened, first - length * 0.1);
  return { start, end: until + length * 0.05 };
}
