import { hash } from 'node:crypto';
import type { OrderRecord } from '../../store/collections.ts';
import type {
  PaymentRecord,
  PaymentState,
  RefundRecord,
  RefundState,
} from '../../store/payment-collections.ts';
import type { PaymentReport, PaymentRequest, PaymentStage, RefundReport } from './provider.ts';

/**
 * The states of a payment, and what is to be done about it. All of it is pure: `apply` takes in what the provider reports, in
 * any order and any number of times, and `nextStep` compares the payment with its order.
 */

/** A payment only ever moves on in this order, so a late or repeated report changes nothing. */
const stages: readonly PaymentStage[] = ['started', 'failed', 'authorised', 'voided', 'captured'];
const refundStages: readonly RefundState[] = ['requested', 'pending', 'succeeded', 'failed'];

export function newPayment(
  { paymentId, orderId, price }: Omit<PaymentRequest, 'attempts'>,
  { saleId, provider }: Pick<PaymentRecord, 'saleId' | 'provider'>,
  { now, dueAt }: { now: Date; dueAt: Date },
): PaymentRecord {
  return {
    _id: paymentId,
    orderId,
    saleId,
    provider,
    providerId: null,
    amount: price.amount,
    currency: price.currency,
    state: 'started',
    isProcessing: false,
    failure: null,
    methodKey: null,
    capturedAmount: 0,
    refunds: [],
    createdAt: now,
    authorisedAt: null,
    capturedAt: null,
    endedAt: null,
    dueAt,
    attempts: 0,
    error: null,
    revision: 0,
  };
}

export const paymentIdOf = (orderId: string, attempt: number) => `${orderId}.${attempt}`;

/**
 * The payment after a report. It is the same object when the report says nothing new.
 * @param now when the report came.
 */
export function apply(payment: PaymentRecord, report: PaymentReport, now: Date): PaymentRecord {
  const { price, capturedAmount, isProcessing, failure, providerId, fingerprint, refunds = [] } = report;
  if (payment.providerId !== null && payment.providerId !== providerId) return payment;
  if (price.amount !== payment.amount || price.currency !== payment.currency) {
    const error = `the provider reports ${price.amount} ${price.currency}, expected ${payment.amount} ${payment.currency}`;
    return payment.error === error ? payment : { ...payment, error };
  }
  const stage = laterOf(stages, stageOf(payment), report.stage);
  const isAuthorised = stage === 'authorised' || stage === 'captured';
  const isOpen = stage === 'started' || stage === 'failed';
  const next: PaymentRecord = {
    ...payment,
    providerId,
    state: stage,
    // While the buyer may still pay, the newest report counts: a second attempt is processed as one that was never refused.
    isProcessing: isOpen && isProcessing,
    failure: stage === 'failed' ? (failure ?? payment.failure) : null,
    methodKey: payment.methodKey ?? (fingerprint ? methodKeyOf(payment.provider, fingerprint) : null),
    capturedAmount: Math.max(payment.capturedAmount, capturedAmount),
    authorisedAt: payment.authorisedAt ?? (isAuthorised ? now : null),
    capturedAt: payment.capturedAt ?? (stage === 'captured' ? now : null),
    refunds: refunds.reduce((before, refund) => applyRefund(before, refund, now), payment.refunds),
  };
  return derive(payment, next, now);
}

/** Only a hash of the fingerprint is stored: it tells whether two payments were made with the same card, and nothing else. */
const methodKeyOf = (provider: string, fingerprint: string) =>
  hash('sha256', `${provider} ${fingerprint}`, 'base64url').slice(0, 22);

/** The payment after the provider answered to a refund. */
export const applyRefundReport = (payment: PaymentRecord, report: RefundReport, now: Date): PaymentRecord =>
  derive(payment, { ...payment, refunds: applyRefund(payment.refunds, report, now) }, now);

/** Why a refund was made that the shop did not ask for, such as one in the provider's own pages. */
export const madeElsewhere = 'made_elsewhere';
/** Why money goes back that pays no order. */
export const orderNotHeld = 'order_not_held';

function applyRefund(refunds: RefundRecord[], report: RefundReport, now: Date): RefundRecord[] {
  const { refundId: id, providerId, amount, stage: state } = report;
  if (!refunds.some((refund) => refund.id === id)) {
    const found = { id, providerId, amount, state, reason: madeElsewhere, requestedAt: now };
    return [...refunds, { ...found, attempts: 0, refusals: 0, error: null }];
  }
  return refunds.map((refund) => {
    if (refund.id !== report.refundId) return refund;
    const state = laterOf(refundStages, refund.state, report.stage);
    const isSame = state === refund.state && refund.providerId === report.providerId;
    return isSame ? refund : { ...refund, state, providerId: report.providerId, error: null };
  });
}

/** Derives the final states, and ends the attempts at the step that the report has settled. */
function derive(before: PaymentRecord, after: PaymentRecord, now: Date): PaymentRecord {
  const isRefunded = after.capturedAmount > 0 && refundedOf(after, ['succeeded']) === after.capturedAmount;
  const state: PaymentState = isRefunded ? 'refunded' : stageOf(after);
  const hasEnded = state === 'refunded' || state === 'voided';
  const next = { ...after, state, endedAt: hasEnded ? (before.endedAt ?? now) : null };
  const isMoved = next.state !== before.state || !isSameList(next.refunds, before.refunds);
  const derived = isMoved ? { ...next, attempts: 0, error: null } : next;
  return isSame(before, derived) ? before : derived;
}

const stageOf = ({ state }: PaymentRecord): PaymentStage => (state === 'refunded' ? 'captured' : state);

const laterOf = <Stage>(order: readonly Stage[], one: Stage, other: Stage): Stage =>
  order.indexOf(other) > order.indexOf(one) ? other : one;

function isSame(one: PaymentRecord, other: PaymentRecord): boolean {
  // A record of the version before lacks what this one adds.
  const names = Object.keys({ ...one, ...other }) as (keyof PaymentRecord)[];
  return names.every((name) =>
    name === 'refunds'
      ? isSameList(one.refunds, other.refunds)
      : (one[name] ?? null) === (other[name] ?? null),
  );
}

const isSameList = (one: RefundRecord[], other: RefundRecord[]) =>
  one.length === other.length && one.every((refund, n) => refund === other[n]);

/** The sum of its refunds in these states. */
export const refundedOf = ({ refunds }: Refunds, states: readonly RefundState[]) =>
  refunds.filter(({ state }) => states.includes(state)).reduce((sum, { amount }) => sum + amount, 0);

const onTheirWay: readonly RefundState[] = ['requested', 'pending', 'succeeded'];

/** What went back or is on its way back. */
export const goingBackOf = (payment: Refunds) => refundedOf(payment, onTheirWay);

interface Refunds {
  refunds: Pick<RefundRecord, 'state' | 'amount'>[];
}

/** What was captured and neither went back nor is on its way back. */
export const refundableOf = (payment: PaymentRecord) => payment.capturedAmount - goingBackOf(payment);

/** The oldest pending refunds, as many as fit into the sum that went back so far. */
export function pendingWithin(payment: Pick<PaymentRecord, 'refunds'>, wentBack: number): RefundRecord[] {
  const pending = payment.refunds.filter(({ state }) => state === 'pending');
  let sum = refundedOf(payment, ['succeeded']);
  const end = pending.findIndex(({ amount }) => {
    sum += amount;
    return sum > wentBack;
  });
  return end === -1 ? pending : pending.slice(0, end);
}

/** Failed refunds of one payment, after which only staff start another. */
const maxFailedRefunds = 5;

/** Whether what is left of it goes back without anyone's request when it pays no order. */
export const returnsByItself = ({ refunds }: Pick<PaymentRecord, 'refunds'>) =>
  refunds.filter(({ state, reason }) => state === 'failed' && reason !== madeElsewhere).length <
  maxFailedRefunds;

/** The payment with one more refund; null when less than that is left of it. */
export function withRefund(
  payment: PaymentRecord,
  { amount, reason, key }: Pick<RefundRecord, 'amount' | 'reason' | 'key'>,
  now: Date,
): PaymentRecord | null {
  if (amount > refundableOf(payment)) return null;
  const id = `${payment._id}-${payment.refunds.length + 1}`;
  const waiting = { state: 'requested', attempts: 0, refusals: 0, providerId: null, error: null } as const;
  const refund = { id, amount, reason, ...waiting, requestedAt: now, ...(key !== undefined && { key }) };
  return { ...payment, refunds: [...payment.refunds, refund] };
}

/** The payment without a refund that the provider has refused, and for which nothing is left. */
export function withoutRefund(payment: PaymentRecord, refundId: string, now: Date): PaymentRecord {
  const error = 'its money has gone back otherwise';
  const refunds = payment.refunds.map((refund) =>
    refund.id === refundId && refund.state === 'requested'
      ? { ...refund, state: 'failed' as const, error }
      : refund,
  );
  return derive(payment, { ...payment, refunds }, now);
}

/** How often the provider may refuse a refund before it counts as failed. */
const maxRefusals = 8;

/**
 * The payment after a step of it failed.
 * @param refundId of the refund that was asked for in it.
 * @param isRefused whether the provider said that it will not do it, so that it was certainly not done.
 */
export function afterFailure(
  payment: PaymentRecord,
  { refundId, isRefused, error }: { refundId: string | null; isRefused: boolean; error: string },
): PaymentRecord {
  const refunds = payment.refunds.map((refund) => {
    if (refund.id !== refundId || refund.state !== 'requested') return refund;
    const refusals = refund.refusals + (isRefused ? 1 : 0);
    const state = refusals >= maxRefusals ? ('failed' as const) : refund.state;
    return { ...refund, state, refusals, attempts: refund.attempts + 1, error };
  });
  const hasFailed = refunds.some(({ state }, n) => state !== payment.refunds[n]?.state);
  return { ...payment, refunds, attempts: hasFailed ? 0 : payment.attempts + 1, error };
}

/** What is known about the order of a payment. */
export type PaidOrder = Pick<
  OrderRecord,
  'status' | 'paymentId' | 'holdExpiresAt' | 'holdLengthened' | 'cancelReason' | 'refundedAmount'
>;

/**
 * `wait`: it is the buyer's turn. `lengthen`: the hold ends later, because the payment is being processed. `look`: the provider
 * is asked what has become of it. `mark`: the order becomes paid if it is still held. `return`: everything that is left of the
 * captured money goes back. `end`: the order of this payment ends, because its money could not be taken after all or has gone
 * back otherwise. `count`: the order's `refundedAmount` follows the refunds, of which one has failed, or was made
 * elsewhere.
 */
export type Step =
  | { do: 'nothing' | 'lengthen' | 'look' | 'mark' | 'capture' | 'void' | 'count' }
  | { do: 'wait'; until: Date }
  | { do: 'return'; amount: number; reason: string }
  | { do: 'end'; as: 'payment_lost' | 'refunded' }
  | { do: 'refund'; refund: RefundRecord };

/** In these states a payment pays its order while that is held. */
export const payingStates: readonly PaymentState[] = ['authorised', 'captured'];

/** @param order null when it does not exist, as after a restored backup. */
export function nextStep(payment: PaymentRecord, order: PaidOrder | null, now: Date): Step {
  const isHeld = order?.status === 'held';
  const isPaidByThis = order?.status === 'paid' && order.paymentId === payment._id;
  switch (payment.state) {
    case 'started':
    case 'failed':
      return isHeld ? waitFor(order, payment, now) : { do: 'void' };
    case 'authorised':
      if (isHeld) return { do: 'mark' };
      return { do: isPaidByThis ? 'capture' : 'void' };
    case 'captured': {
      if (isHeld) return { do: 'mark' };
      return returnOf(payment, order, now);
    }
    case 'refunded':
      return returnOf(payment, order, now);
    case 'voided':
      return isPaidByThis ? { do: 'end', as: 'payment_lost' } : { do: 'nothing' };
  }
}

/** So long before a hold ends its payment is looked at, should the webhook have been lost. */
const lookBeforeMs = 15_000;
const lookEveryMs = 5_000;

function waitFor(order: PaidOrder, { providerId, isProcessing, dueAt }: PaymentRecord, now: Date): Step {
  const { holdExpiresAt, holdLengthened } = order;
  const untilMs = (holdExpiresAt?.getTime() ?? 0) - lookBeforeMs;
  const againMs = now.getTime() + lookEveryMs;
  if (now.getTime() < untilMs) {
    // The buyer has paid and waits for the outcome, of which the webhook may have been lost.
    if (isProcessing && dueAt !== null && dueAt <= now) return { do: 'look' };
    return { do: 'wait', until: new Date(isProcessing ? Math.min(untilMs, againMs) : untilMs) };
  }
  if (isProcessing && !holdLengthened) return { do: 'lengthen' };
  // Nobody can have paid what was never handed over.
  return providerId === null ? { do: 'wait', until: new Date(againMs) } : { do: 'look' };
}

/** Refunds that were asked for go first; then what a captured payment without its order still owes. */
function returnOf(payment: PaymentRecord, order: PaidOrder | null, now: Date): Step {
  const isOfThis = order?.paymentId === payment._id;
  const isPaidByThis = isOfThis && order.status === 'paid';
  const refund = payment.refunds.find(({ state }) => state === 'requested');
  if (refund) return { do: 'refund', refund };
  const amount = refundableOf(payment);
  if (!isPaidByThis && amount > 0 && returnsByItself(payment))
    return { do: 'return', amount, reason: (isOfThis && order.cancelReason) || orderNotHeld };
  if (isPaidByThis && goingBackOf(payment) >= payment.capturedAmount) return { do: 'end', as: 'refunded' };
  const isCounted = isPaidByThis || (isOfThis && order.status === 'refunded');
  if (isCounted && (order.refundedAmount ?? 0) !== goingBackOf(payment)) return { do: 'count' };
  if (!payment.refunds.some(({ state }) => state === 'pending')) return { do: 'nothing' };
  const isDue = payment.dueAt === null || payment.dueAt <= now;
  return isDue ? { do: 'look' } : { do: 'wait', until: payment.dueAt as Date };
}

/**
 * When a payment that was looked at in vain is looked at again. A refund may be pending for days, so its payment is looked at
 * each time that its age has doubled.
 */
export function lookAgainAt({ refunds }: PaymentRecord, now: Date): Date {
  const pending = refunds.find(({ state }) => state === 'pending');
  const ageMs = pending ? now.getTime() - pending.requestedAt.getTime() : 0;
  return new Date(now.getTime() + Math.max(lookEveryMs, ageMs));
}
