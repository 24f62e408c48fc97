/** The rows of a sale's report. */

/** @import { SaleReport } from '../../../insight/contract.ts' */
/** @import { RejectionReason } from '../../../sale/contract.ts' */

import { duration, money, number } from '../../shared/format.js';

/** @type {Record<RejectionReason, string>} */
const rejections = {
  sold_out: 'sold out',
  over_limit: 'over the limit',
  unknown_sale: 'unknown sale',
  unknown_item: 'unknown item',
  called_off: 'called off',
  failed: 'failed on our side',
};
const refusals = { not_open: 'not open yet', paused: 'paused', ended: 'ended', busy: 'too busy' };
const reasons = new Map(Object.entries({ ...rejections, ...refusals }));

/** @param {Record<string, number>} counts */
const listed = (counts) =>
  Object.entries(counts)
    .sort(([, one], [, other]) => other - one)
    .map(([reason, count]) => `${number(count)} ${reasons.get(reason) ?? reason}`)
    .join(' · ') || 'none';

/** @param {number | null} ms */
const timeOrNone = (ms) => (ms === null ? '–' : duration(ms));

/** @param {SaleReport} report @returns {[string, string][]} */
export function figuresOf(report) {
  const sold = report.paidUnits - report.cancelledUnits;
  const orders = report.paidOrders === 1 ? 'order' : 'orders';
  return [
    ['Sold', `${number(sold)} of ${number(report.units)} in ${number(report.paidOrders)} ${orders}`],
    ['Taken', money({ ...report.sale.price, amount: report.amount })],
    ['Time to sell out', timeOrNone(report.soldOutAfterMs)],
    ['Refused at the gate', listed(report.refused)],
    ['Rejected when settled', listed(/** @type {Record<string, number>} */ (report.rejected))],
    ['Cancelled units', number(report.cancelledUnits)],
    ['Accepted to settled, median', timeOrNone(report.p50Ms)],
    ['Accepted to settled, p99', timeOrNone(report.p99Ms)],
    ['Fastest · slowest', `${timeOrNone(report.fastestMs)} · ${timeOrNone(report.slowestMs)}`],
  ];
}
