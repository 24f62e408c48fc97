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
  code_used: 'their code was used up',
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

/** What is sold and was neither cancelled nor refunded as a whole.
 * @param {SaleReport} report */
export function soldOf({ soldUnits, soldOrders, paidUnits, paidOrders, cancelledUnits }) {
  // A server of the version before counts only what was ever paid.
  return { units: soldUnits ?? paidUnits - cancelledUnits, orders: soldOrders ?? paidOrders };
}

/** @param {SaleReport} report @returns {[string, string][]} */
export function figuresOf(report) {
  const sold = soldOf(report);
  const { price, paymentWindowSeconds } =
    /** @type {SaleReport['sale'] & { paymentWindowSeconds?: number }} */ (report.sale);
  const orders = sold.orders === 1 ? 'order' : 'orders';
  const hasHolds = Boolean(paymentWindowSeconds) || report.heldUnits + report.expiredUnits > 0;
  const refunded = report.refundedAmount ?? 0;
  return [
    ['Sold', `${number(sold.units)} of ${number(report.units)} in ${number(sold.orders)} ${orders}`],
    ['Taken', money({ ...price, amount: report.taken ?? report.amount })],
    ...(hasHolds
      ? [pair('Held · expired units', `${number(report.heldUnits)} · ${number(report.expiredUnits)}`)]
      : []),
    ...(refunded > 0 ? [pair('Refunded', money({ ...price, amount: refunded }))] : []),
    ['Time to sell out', timeOrNone(report.soldOutAfterMs)],
    ['Refused at the gate', listed(report.refused)],
    ['Rejected when settled', listed(/** @type {Record<string, number>} */ (report.rejected))],
    ['Cancelled units', number(report.cancelledUnits)],
    ['Accepted to settled, median · p99', `${timeOrNone(report.p50Ms)} · ${timeOrNone(report.p99Ms)}`],
    ['Fastest · slowest', `${timeOrNone(report.fastestMs)} · ${timeOrNone(report.slowestMs)}`],
  ];
}

/** @param {string} name @param {string} value @returns {[string, string]} */
const pair = (name, value) => [name, value];
