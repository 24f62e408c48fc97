/** The rows of a sale's report. */

/** @import { SaleReport } from '../../../insight/contract.ts' */

import { duration, money, number } from '../../shared/format.js';
import { texts } from '../texts.js';

/** Why a purchase was refused or rejected. @param {string} reason */
export const reasonText = (reason) =>
  Object.hasOwn(texts.report.reasons, reason) ? (texts.report.reasons[reason] ?? reason) : reason;

/** @param {Record<string, number>} counts */
const listed = (counts) =>
  Object.entries(counts)
    .sort(([, one], [, other]) => other - one)
    .map(([reason, count]) => `${number(count)} ${reasonText(reason)}`)
    .join(' · ') || texts.report.none;

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
  const { report: t } = texts;
  const hasHolds = Boolean(paymentWindowSeconds) || report.heldUnits + report.expiredUnits > 0;
  const refunded = report.refundedAmount ?? 0;
  return [
    [t.sold, t.soldOf(sold.units, report.units, sold.orders)],
    [t.taken, money({ ...price, amount: report.taken ?? report.amount })],
    ...(hasHolds
      ? [pair(t.heldExpired, `${number(report.heldUnits)} · ${number(report.expiredUnits)}`)]
      : []),
    ...(refunded > 0 ? [pair(t.refunded, money({ ...price, amount: refunded }))] : []),
    [t.timeToSellOut, timeOrNone(report.soldOutAfterMs)],
    [t.refused, listed(report.refused)],
    [t.rejected, listed(/** @type {Record<string, number>} */ (report.rejected))],
    [t.cancelled, number(report.cancelledUnits)],
    [t.pace, `${timeOrNone(report.p50Ms)} · ${timeOrNone(report.p99Ms)}`],
    [t.extremes, `${timeOrNone(report.fastestMs)} · ${timeOrNone(report.slowestMs)}`],
  ];
}

/** @param {string} name @param {string} value @returns {[string, string]} */
const pair = (name, value) => [name, value];
