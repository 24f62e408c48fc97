import { mongoClock } from '../../runtime/clock.ts';
import { goingBackOf, refundedOf } from '../../sale/payment/payment.ts';
import { PaymentFault, type PaymentProvider, type PaymentReport } from '../../sale/payment/provider.ts';
import type { Collections, OrderRecord } from '../../store/collections.ts';
import type { PaymentRecord, RefundRecord } from '../../store/payment-collections.ts';
import { addFinding, type Finding, noFinding, openFinding } from './finding.ts';

/** The result of checking I7, with the sums of all payments by currency, in minor units. */
export interface MoneyFinding extends Finding {
  /** Payments whose next step is still due; their money is checked when nothing has happened to it for an hour. */
  pending: number;
  captured: Record<string, number>;
  refunded: Record<string, number>;
  /** Payments in the provider's own list; null when it was not asked. */
  listed: number | null;
}

/** An order that is, or was, to be paid. */
export interface PayableOrder
  extends Pick<OrderRecord, 'status' | 'paymentId' | 'amount' | 'refundedAmount'> {
  /** The latest of its times, in ms; 0 for none. */
  latestMs: number;
}

/** What is checked of a payment. */
export interface PaymentRow
  extends Pick<PaymentRecord, '_id' | 'orderId' | 'currency' | 'amount' | 'capturedAmount'> {
  refunds: Pick<RefundRecord, 'state' | 'amount'>[];
  isDue: boolean;
  /** The latest of its times, in ms. */
  latestMs: number;
}

const latestOf = (times: (Date | null | undefined)[]) => Math.max(...times.map((at) => at?.getTime() ?? 0));

export function payableOf(order: OrderRecord): PayableOrder {
  const { status, paymentId, amount, holdExpiresAt, cancelledAt, refundedAmount } = order;
  return {
    status,
    ...(paymentId !== undefined && { paymentId }),
    ...(amount !== undefined && { amount }),
    ...(refundedAmount !== undefined && { refundedAmount }),
    latestMs: latestOf([holdExpiresAt, cancelledAt]),
  };
}

export function paymentRowOf(payment: PaymentRecord): PaymentRow {
  const { _id, orderId, currency, amount, capturedAmount, dueAt } = payment;
  const { createdAt, authorisedAt, capturedAt } = payment;
  const asked = payment.refunds.map(({ requestedAt }) => requestedAt);
  return {
    ...{ _id, orderId, currency, amount, capturedAmount },
    refunds: payment.refunds.map(({ state, amount }) => ({ state, amount })),
    isDue: dueAt !== null,
    latestMs: latestOf([createdAt, authorisedAt, capturedAt, ...asked]),
  };
}

/** So long after the last news of a payment or its order, the money is where it should be. */
const settledAfterMs = 3_600_000;

export const noMoney = (): MoneyFinding => ({
  ...noFinding(),
  pending: 0,
  captured: {},
  refunded: {},
  listed: null,
});

export function addMoney(sum: MoneyFinding, one: MoneyFinding): void {
  addFinding(sum, one);
  sum.pending += one.pending;
  for (const name of ['captured', 'refunded'] as const)
    for (const [currency, amount] of Object.entries(one[name]))
      sum[name][currency] = (sum[name][currency] ?? 0) + amount;
}

/**
 * Checks I7: a paid order has one capture of its price, and every other payment keeps no money.
 * @param payments all of these orders, and of orders that do not exist.
 * @param orders by id, those with a payment or a payment window.
 * @returns also the ids of the orders of which something does not hold.
 */
export function auditMoney(
  payments: Iterable<PaymentRow>,
  orders: ReadonlyMap<string, PayableOrder>,
): { money: MoneyFinding; broken: Set<string> } {
  const { finding, check: count } = openFinding();
  const sums = { captured: {} as Record<string, number>, refunded: {} as Record<string, number> };
  const paying = new Set<string>();
  const broken = new Set<string>();
  let pending = 0;
  const check = (orderId: string, holds: boolean, breach: () => string) => {
    if (!holds) broken.add(orderId);
    count(holds, breach);
  };
  for (const payment of payments) {
    const { _id, orderId, currency, capturedAmount, amount, isDue } = payment;
    const refunded = refundedOf(payment, ['succeeded']);
    sums.captured[currency] = (sums.captured[currency] ?? 0) + capturedAmount;
    sums.refunded[currency] = (sums.refunded[currency] ?? 0) + refunded;
    const order = orders.get(orderId);
    const isPaying = order?.status === 'paid' && order.paymentId === _id;
    if (isPaying) paying.add(orderId);
    if (isDue) pending += 1;
    if (isDue && !isOld(payment, order)) continue;
    if (order?.status === 'held') continue;
    if (isPaying) {
      const counted = order.refundedAmount ?? 0;
      check(orderId, counted === goingBackOf(payment), () => {
        return `payment ${_id}: ${goingBackOf(payment)} goes back, the order says ${counted}`;
      });
      const isPrice = capturedAmount === amount && amount === (order.amount ?? amount);
      check(orderId, isPrice, () => {
        return `payment ${_id}: ${capturedAmount} captured, the order costs ${order.amount}`;
      });
    } else {
      // What a bank takes days for is on its way.
      const kept =
        capturedAmount - refundedOf(payment, ['succeeded', ...(isDue ? ['pending' as const] : [])]);
      check(orderId, kept === 0, () => {
        return `payment ${_id}: ${kept} kept, the order is ${order?.status ?? 'unknown'}`;
      });
    }
  }
  for (const [orderId, { status }] of orders) {
    if (status !== 'paid') continue;
    check(orderId, paying.has(orderId), () => `order ${orderId} is paid, and its payment does not exist`);
  }
  return { money: { ...finding, pending, ...sums, listed: null }, broken };
}

const isOld = (payment: PaymentRow, order: PayableOrder | undefined) =>
  Math.max(payment.latestMs, order?.latestMs ?? 0) < mongoClock.now().getTime() - settledAfterMs;

const batchSize = 500;

/**
 * Compares the payments since a time with the provider's own list, and adds what it finds: also what it lacks. What differs is
 * read again from both sides, because payments go on meanwhile.
 */
export async function compareWithProvider(
  { payments }: Collections,
  provider: PaymentProvider,
  money: MoneyFinding,
  since: Date,
): Promise<MoneyFinding> {
  const { finding, check } = openFinding();
  const [oldest] = await payments
    .find({ provider: provider.name, createdAt: { $gte: since } })
    .sort({ createdAt: 1 })
    .limit(1)
    .toArray();
  let listed = 0;
  const captured = new Set<string>();
  const compare = async (reports: PaymentReport[]) => {
    const found = await payments.find({ _id: { $in: reports.map(({ paymentId }) => paymentId) } }).toArray();
    const paymentById = new Map(found.map((payment) => [payment._id, payment]));
    for (const report of reports) {
      listed += 1;
      if (report.capturedAmount > 0) captured.add(report.paymentId);
      const agrees = isAgreed(paymentById.get(report.paymentId), report) || (await agreesNow(report));
      const { paymentId, providerId, capturedAmount, refundedAmount } = report;
      check(agrees, () => {
        const there = `${capturedAmount} captured and ${refundedAmount} refunded`;
        return `payment ${paymentId || 'unknown'}: ${provider.name} has ${there} as ${providerId}`;
      });
    }
  };
  const agreesNow = async ({ paymentId, providerId, price }: PaymentReport): Promise<boolean> => {
    const report = await provider.read({ paymentId, providerId, price, attempts: 0 });
    return isAgreed((await payments.findOne({ _id: paymentId })) ?? undefined, report);
  };
  const isCaptured = async ({
    _id: paymentId,
    providerId,
    amount,
    currency,
  }: PaymentRecord): Promise<boolean> => {
    if (providerId === null) return false;
    const there = { paymentId, providerId, price: { amount, currency }, attempts: 0 };
    const report = await provider.read(there).catch(refusedAsNull);
    return report !== null && report.capturedAmount > 0;
  };
  let batch: PaymentReport[] = [];
  for await (const report of oldest ? provider.listSince(oldest.createdAt) : []) {
    batch.push(report);
    if (batch.length < batchSize) continue;
    await compare(batch);
    batch = [];
  }
  await compare(batch);
  // The shop's own checkout has no list.
  const ours = { provider: provider.name, capturedAmount: { $gt: 0 }, createdAt: { $gte: since } };
  const counted = provider.name === 'external' ? [] : payments.find(ours);
  for await (const payment of counted) {
    const isThere = captured.has(payment._id) || (await isCaptured(payment));
    check(
      isThere,
      () => `payment ${payment._id}: ${provider.name} lacks the ${payment.capturedAmount} captured`,
    );
  }
  const sum = structuredClone(money);
  addFinding(sum, finding);
  return { ...sum, listed };
}

function refusedAsNull(error: unknown): null {
  if (error instanceof PaymentFault && error.kind === 'refused') return null;
  throw error;
}

/** A payment that was begun twice at the provider is known there under two ids, of which one has no money. */
function isAgreed(payment: PaymentRecord | undefined, report: PaymentReport): boolean {
  const { capturedAmount, refundedAmount, providerId } = report;
  if (payment?.providerId !== providerId) return capturedAmount - (refundedAmount ?? 0) === 0;
  if (payment.dueAt !== null) return true;
  const refunded = refundedOf(payment, ['succeeded']);
  return payment.capturedAmount === capturedAmount && refunded === (refundedAmount ?? refunded);
}
