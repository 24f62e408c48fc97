/** What an order's page says of its money and its time. Pure. */

/** @import { Money, Order, OrderPayment } from '../../sale/contract.ts' */

/**
 * What became of the money of an order that is not paid any more, or never was. `released`: it was asked for and not taken;
 * `returning`: it was taken and is on its way back.
 * @param {OrderPayment[]} payments
 * @returns {{ kind: 'none' } | { kind: 'released' } | { kind: 'returning' | 'returned', money: Money }}
 */
export function moneyOutcome(payments) {
  const [newest] = payments;
  if (!newest) return { kind: 'none' };
  const captured = payments.filter(({ capturedAmount }) => capturedAmount > 0);
  if (captured.length === 0) return { kind: 'released' };
  const amount = captured.reduce((sum, { capturedAmount }) => sum + capturedAmount, 0);
  const kind = captured.every(({ state }) => state === 'refunded') ? 'returned' : 'returning';
  return { kind, money: { amount, currency: newest.currency } };
}

/** The payment that has paid the order, when one has. @param {OrderPayment[]} payments */
export const payingOf = (payments) =>
  payments.find(({ state }) => state === 'authorised' || state === 'captured' || state === 'refunded');

/** Whether a payment that was begun before is still under way. @param {OrderPayment[]} payments */
export const isUnderWay = ([newest]) =>
  newest !== undefined && (newest.isProcessing === true || newest.state === 'authorised');

/**
 * What went back of a paid order, or is on its way, in minor units.
 * @param {Order & { refundedAmount?: number }} order @param {OrderPayment[]} payments
 */
export function refundedOf({ refundedAmount = 0 }, payments) {
  return Math.max(
    refundedAmount,
    payments.reduce((sum, { returnedAmount }) => sum + returnedAmount, 0),
  );
}

const SPOKEN_AT_SECONDS = [10, 30, 60, 120, 300, 600, 1_800];

/**
 * The time left that a screen reader speaks, in seconds: the same one until the next that is worth a sentence.
 * @param {number} leftMs
 */
export const spokenSeconds = (leftMs) =>
  SPOKEN_AT_SECONDS.find((seconds) => leftMs <= seconds * 1_000) ?? null;
