import { hash } from 'node:crypto';
import { type ClientSession, mongo } from 'mongoose';
import { appendStaffEntry, type By, changeInTurn } from '../../accounts/staff-log.ts';
import { mongoClock } from '../../runtime/clock.ts';
import { gapMs, Stale, transact } from '../../runtime/databases/transact.ts';
import { failpoint } from '../../runtime/failpoints.ts';
import { groupCommit, Overloaded } from '../../runtime/group-commit.ts';
import { keyedQueue } from '../../runtime/keyed-queue.ts';
import type { Log } from '../../runtime/observe/log.ts';
import { retry } from '../../runtime/retry.ts';
import {
  byId,
  type Collections,
  insertAll,
  isDuplicateKey,
  type OrderRecord,
} from '../../store/collections.ts';
import { byOrder, type PaymentRecord } from '../../store/payment-collections.ts';
import type { Money, OrderStatus } from '../contract.ts';
import { orderMessageOf } from '../order.ts';
import { inSales } from '../sale.ts';
import type { Cancellation, Cancellations } from '../settlement/cancellation.ts';
import type { OtherWriters } from '../settlement/other-writers.ts';
import type { Settled } from '../settlement/transaction.ts';
import { countRefunds, writeRefunded } from './count-refunds.ts';
import { lengthenHold } from './lengthen-hold.ts';
import { type Mark, markPaid } from './mark-paid.ts';
import {
  afterFailure,
  apply,
  applyRefundReport,
  goingBackOf,
  lookAgainAt,
  newPayment,
  nextStep,
  type PaidOrder,
  paymentIdOf,
  pendingWithin,
  refundableOf,
  refundedOf,
  returnsByItself,
  type Step,
  withoutRefund,
  withRefund,
} from './payment.ts';
import {
  type Handover,
  PaymentFault,
  type PaymentProvider,
  type PaymentReport,
  type ProviderPayment,
} from './provider.ts';

export interface PaymentsOptions {
  collections: Collections;
  provider: PaymentProvider;
  /** Announces orders that became paid; it must not throw. */
  announce: (settled: Settled) => void;
  /** Called with each payment whose state was changed; it must not throw. */
  changed?: (payment: PaymentRecord) => void;
  otherWriters: Pick<OtherWriters, 'announce'>;
  cancel: Cancellations['cancel'];
  /** How long a step may take before it counts as abandoned; it doubles with each failure, up to 64 times as much. */
  stepMs: number;
  log: Log;
}

interface StartedPayment {
  paymentId: string;
  provider: PaymentProvider['name'];
  state: PaymentRecord['state'];
  isProcessing: boolean;
  /** Why the last attempt was refused, in the provider's word; null when it was not. */
  failure: string | null;
  /** Null when the buyer has nothing left to do. */
  handover: Handover | null;
}

/** Why an order cannot be paid: what it is instead of held, or what the provider cannot charge. */
export interface NotPayable {
  status: OrderStatus;
  fault?: string;
}

interface WantedRefund {
  orderId: string;
  /** In minor units; all that is left when it is absent. */
  amount: number | undefined;
  reason: string;
  /** With the same key it is the same refund. */
  key: string | undefined;
}

interface NotRefundable {
  fault: string;
  /** Whether the key was used for another amount. */
  isKeyReused?: true;
}

interface ExternalPayment {
  orderId: string;
  /** The shop's own id of the payment. */
  reference: string;
  price: Money;
}

interface GivenBack extends Pick<ExternalPayment, 'orderId' | 'reference'> {
  /** What went back of the payment so far, in minor units. */
  refundedAmount: number | undefined;
}

export interface Payments {
  readonly provider: PaymentProvider['name'];
  /** Why orders at this price cannot be paid here; null when they can. */
  faultOf(price: Money): string | null;
  /**
   * Starts the payment of a held order, or finds the one that was started. Concurrent and repeated calls get the same one.
   * @returns null when this buyer has no such settled order.
   * @throws PaymentFault when the provider does not answer or refuses.
   */
  start(order: { orderId: string; buyerId: string }): Promise<StartedPayment | NotPayable | null>;
  /**
   * Takes in a webhook. When it resolves, the content is stored, and its consequences follow even after a crash.
   * @throws PaymentFault when the provider had to be asked and did not answer; it will send the webhook again.
   */
  receive(
    rawBody: Buffer,
    header: (name: string) => string | undefined,
  ): Promise<'stored' | 'forged' | 'not_ours'>;
  /**
   * Takes in a payment that the shop's own checkout has captured. Again with the same reference it is the same payment.
   * @param by is noted in the staff log.
   * @returns the order's payment; why it does not pay the order; null when there is no such settled order.
   */
  payExternally(paid: ExternalPayment, by: By): Promise<PaymentRecord | NotPayable | null>;
  /**
   * Takes in that the shop has given back what was to go back of this payment: the oldest pending refunds, as many as the
   * sum that it gave back so far covers. Without that sum it is the only pending one.
   * @param by is noted in the staff log.
   * @returns how much went back in all, in minor units; why it is not clear what went back; null when there is no such payment.
   */
  giveBackExternally(given: GivenBack, by: By): Promise<number | NotRefundable | null>;
  /**
   * Gives a part of an order's captured money back. It is asked of the provider soon, and again while the provider refuses.
   * @param by is noted in the staff log.
   * @returns `asked`, also when it was asked for before; `whole` when it is all that is left of a paid order, which is then to
   *   be ended as refunded, and nothing was done; why it cannot go back; null when there is no such settled order.
   */
  refund(wanted: WantedRefund, by: By): Promise<'asked' | 'whole' | NotRefundable | null>;
  /** Takes the steps of payments that are due, at most `limit` of them. @returns how many there were. */
  settleDue(limit: number): Promise<number>;
  /** Resolves when no step is being taken. */
  drained(): Promise<void>;
}

/** A change of a payment: a pure function, because it is applied again when another process wrote the payment meanwhile. */
type Change = (payment: PaymentRecord, order: PaidOrder | null) => PaymentRecord;

interface Loaded {
  payment: PaymentRecord;
  order: PaidOrder | null;
}

interface Amendment {
  paymentId: string;
  change: Change;
  /** What was read of it before. The change is made to that, unless it turns out to be out of date. */
  known: Loaded | undefined;
}

const maxBatch = 500;
const maxWaiting = 10_000;
/** Payments whose steps are taken at once, and so the maximum of concurrent requests to the provider. */
const maxSettling = 1_000;
const maxWaitingToSettle = 20_000;
/** More than any history takes: mark, capture, return, refund and the looks between them. */
const maxSteps = 10;
/** Attempts to pay one order, each of which has ended without money. */
const maxAttempts = 20;

/**
 * Takes payments from their start to the end. A payment's next step follows from the payment and its order alone, so it does
 * not matter which process takes it, or how often: every step is idempotent, and `dueAt` names when another one takes over.
 */
export function openPayments({
  collections,
  provider,
  announce,
  changed = () => {},
  otherWriters,
  cancel,
  stepMs,
  log,
}: PaymentsOptions): Payments {
  const { payments, orders } = collections;
  const amending = groupCommit<Amendment, Loaded | null>({
    send: (amendments) => amendAll(collections, amendments, { stepMs, changed }),
    maxBatch,
    maxWaiting,
  });
  /** @returns for each mark its order, if this payment has paid it just now. */
  const marking = groupCommit<Mark, OrderRecord | null>({
    async send(marks) {
      otherWriters.announce();
      failpoint('marking');
      const marked = await markPaid(collections, marks);
      failpoint('marked');
      if (marked) announce(marked.settled);
      const paidBy = new Map(marked?.paid.map((order) => [order.paymentId, order]));
      return marks.map(({ paymentId }) => paidBy.get(paymentId) ?? null);
    },
    maxBatch,
    maxWaiting,
    gapMs: () => gapMs,
  });
  const amend = (paymentId: string, change: Change, known?: Loaded) =>
    amending.submit({ paymentId, change, known });

  const settling = keyedQueue<Loaded>({
    work: (paymentId, known) =>
      settle(paymentId, known).catch((error) =>
        log.warn({ paymentId, error: error.message }, 'payment step failed, retrying later'),
      ),
    maxRunning: maxSettling,
    maxWaiting: maxWaitingToSettle,
  });

  /**
   * Takes the steps of a payment soon; when too many wait here, a worker takes them when they are due.
   * @param known what was read of it just now; it is read again if the steps have to wait for others.
   */
  function settleSoon(paymentId: string, known?: Loaded): Promise<void> {
    const ended = settling.run(paymentId, known);
    if (!ended)
      log.warn({ paymentId }, 'too many payments wait to be settled, a worker takes this one later');
    return ended ?? Promise.resolve();
  }

  async function settle(paymentId: string, known?: Loaded): Promise<void> {
    let loaded = known ?? (await amend(paymentId, same));
    let taken: Step['do'] | null = null;
    for (let steps = 0; loaded !== null && steps < maxSteps; steps++) {
      const step = nextStep(loaded.payment, loaded.order, mongoClock.now());
      // A step that has to be taken twice in a row has changed nothing.
      if (taken === step.do && step.do !== 'refund') return void (await amend(paymentId, rescheduled));
      taken = step.do;
      if (step.do === 'mark') {
        const order = await marking.submit({ orderId: loaded.payment.orderId, paymentId });
        loaded = order ? { ...loaded, order } : await amend(paymentId, same);
        continue;
      }
      const change = await changeOf(step, loaded.payment);
      // What the provider answers changes nothing about the order, so that it need not be read again.
      const stillTrue = isAsked(step) ? loaded : undefined;
      loaded = change && (await amend(paymentId, change, stillTrue));
    }
  }

  /** Takes a step. @returns the change that it makes; null when it was the last one for now. */
  async function changeOf(
    step: Exclude<Step, { do: 'mark' }>,
    payment: PaymentRecord,
  ): Promise<Change | null> {
    if (step.do === 'nothing' || step.do === 'wait') {
      const dueAt = step.do === 'wait' ? step.until : null;
      if (payment.dueAt?.getTime() !== dueAt?.getTime()) await amend(payment._id, rescheduled);
      return null;
    }
    if (step.do === 'lengthen') {
      const lengthened = await lengthenHold(collections, payment);
      if (lengthened) announce({ stocks: [], orders: [orderMessageOf(lengthened)] });
      return rescheduled;
    }
    if (step.do === 'return') {
      const { amount, reason } = step;
      return (current) => withRefund(current, { amount, reason }, mongoClock.now()) ?? current;
    }
    if (step.do === 'end') {
      await cancel(endOf(step, payment));
      return same;
    }
    if (step.do === 'count') {
      const counted = await countRefunds(collections, payment);
      if (counted) announce({ stocks: [], orders: [orderMessageOf(counted)] });
      return rescheduled;
    }
    try {
      return await ask(step, payment);
    } catch (error) {
      await amend(payment._id, failed(step, error as Error));
      const { _id: paymentId, orderId } = payment;
      const kind = kindOf(error);
      log.warn(
        { paymentId, orderId, step: step.do, kind, error: (error as Error).message },
        'payment step failed',
      );
      return null;
    }
  }

  /** Takes a step at the provider. @throws PaymentFault when the payment is as it was. */
  async function ask(step: Step, payment: PaymentRecord): Promise<Change> {
    if (payment.provider !== provider.name)
      throw new PaymentFault('transient', `${payment.provider} is not the provider`);
    const { providerId } = payment;
    if (providerId === null) return voided;
    const there = thereOf(payment, providerId);
    failpoint('asking');
    try {
      switch (step.do) {
        case 'capture':
          return taking(await provider.capture(there));
        case 'void':
          return taking(await provider.void(there));
        case 'refund': {
          const { id: refundId, amount, attempts, refusals } = step.refund;
          // After a failure it may exist already, or another one may have been made elsewhere, so that nothing is left for it.
          const known = attempts > 0 ? await provider.read(there) : null;
          const seen = known ? apply(payment, known, mongoClock.now()) : payment;
          if (known?.refunds?.some((refund) => refund.refundId === refundId)) return taking(known);
          if (known && refusals > 0 && refundableOf(seen) < 0)
            return (current) => withoutRefund(taking(known)(current, null), refundId, mongoClock.now());
          const report = await provider.refund(there, { refundId, amount, refusals });
          return (current) =>
            applyRefundReport(known ? taking(known)(current, null) : current, report, mongoClock.now());
        }
        default:
          return looking(await provider.read(there));
      }
    } catch (error) {
      const isDone = error instanceof PaymentFault && error.kind !== 'transient' && step.do !== 'refund';
      if (!isDone || step.do === 'look') throw error;
      // It may have been done, or something else was done meanwhile: what the provider has now decides.
      const change = taking(await provider.read(there));
      if (change(payment, null) === payment) throw error;
      return change;
    } finally {
      failpoint('asked');
    }
  }

  /** The payment of this order that can still take money, or a new one. @returns null after too many attempts. */
  async function findOrStart(order: OrderRecord, price: Money): Promise<PaymentRecord | null> {
    const known = await payments.find({ orderId: order._id }).toArray();
    const open = known.find(({ state, provider: name }) => state !== 'voided' && name === provider.name);
    if (open) return open;
    if (known.length >= maxAttempts) return null;
    const now = mongoClock.now();
    const paymentId = paymentIdOf(order._id, known.length + 1);
    const whose = { saleId: order.saleId, provider: provider.name };
    const record = newPayment({ paymentId, orderId: order._id, price }, whose, {
      now,
      dueAt: dueAfter(now, 0, stepMs),
    });
    try {
      await payments.insertOne(record);
      return record;
    } catch (error) {
      if (!isDuplicateKey(error)) throw error;
      return await payments.findOne({ _id: paymentId });
    }
  }

  return {
    provider: provider.name,
    faultOf: (price) => provider.faultOf(price),

    async start({ orderId, buyerId }) {
      const order = await orders.findOne({ _id: orderId, buyerId });
      if (!order) return null;
      if (order.status !== 'held') return { status: order.status };
      const price = await priceOfOrder(collections, order);
      const fault = provider.faultOf(price);
      if (fault !== null) return { status: order.status, fault };
      const payment = await findOrStart(order, price);
      if (!payment) return { status: order.status, fault: `${maxAttempts} payments of it have failed` };
      const { _id: paymentId, providerId } = payment;
      failpoint('asking');
      const report = providerId
        ? await provider.read(thereOf(payment, providerId))
        : await provider
            .start({ paymentId, orderId, price, attempts: payment.attempts })
            .catch(async (error) => {
              await amend(paymentId, failed(null, error));
              throw error;
            });
      failpoint('asked');
      const loaded = await amend(paymentId, taking(report));
      const { state, isProcessing, failure, providerId: known } = loaded?.payment ?? payment;
      if (loaded?.order?.status !== 'held' || state === 'voided') {
        return { status: loaded?.order?.status ?? order.status };
      }
      // Another server has started it under another key, and only that one is to be paid.
      if (known !== report.providerId)
        throw new PaymentFault('transient', 'the payment was started elsewhere');
      const isOpen = state === 'started' || state === 'failed';
      if (!isOpen) void settleSoon(paymentId, loaded);
      const handover = (isOpen && report.handover) || null;
      return { paymentId, provider: provider.name, state, isProcessing, failure, handover };
    },

    async receive(rawBody, header) {
      const message = provider.verifyWebhook(rawBody, header);
      if (!message) return 'forged';
      const paymentId = message.paymentId || (await findByProviderId(message.providerId));
      if (!paymentId) return 'not_ours';
      const report = message.report ?? (await readReport(paymentId));
      const loaded = report && (await amend(paymentId, taking(report)));
      if (!loaded) return 'not_ours';
      failpoint('received');
      void settleSoon(paymentId, loaded);
      return 'stored';
    },

    async payExternally({ orderId, reference, price }, by) {
      const order = await orders.findOne({ _id: orderId });
      if (!order) return null;
      const paymentId = externalIdOf(orderId, reference);
      const isKnown = (await payments.countDocuments({ _id: paymentId })) > 0;
      if (!isKnown) {
        if (order.status !== 'held') return { status: order.status };
        const { amount, currency } = await priceOfOrder(collections, order);
        if (price.amount !== amount || price.currency !== currency)
          return {
            status: order.status,
            fault: `expected ${amount} ${currency}, got ${price.amount} ${price.currency}`,
          };
        const now = mongoClock.now();
        const whose = { saleId: order.saleId, provider: 'external' as const };
        const started = newPayment({ paymentId, orderId, price }, whose, {
          now,
          dueAt: dueAfter(now, 0, stepMs),
        });
        const captured = apply(started, capturedAt(paymentId, reference, price), now);
        await transact(collections.connection, async (session) => {
          await insertAll(collections, payments, [captured], session);
          const [subject, after] = [
            { kind: 'order', id: orderId },
            { paymentId, reference, ...price },
          ];
          const entry = { ...by, action: 'order.paid_externally', subject, after };
          await appendStaffEntry(collections, session, entry);
        }).catch((error) => {
          if (!isDuplicateKey(error)) throw error;
        });
      }
      await settle(paymentId);
      const loaded = await amend(paymentId, same);
      const isPaid = loaded?.order?.status === 'paid' && loaded.order.paymentId === paymentId;
      return loaded && isPaid ? loaded.payment : { status: loaded?.order?.status ?? order.status };
    },

    async giveBackExternally({ orderId, reference, refundedAmount: given }, by) {
      const paymentId = externalIdOf(orderId, reference);
      // The refund may have been asked for just now, and not be noted at the payment yet.
      await settle(paymentId);
      const settled = await payments.findOne({ _id: paymentId }, { projection: { saleId: 1 } });
      if (!settled) return null;
      return await transact(collections.connection, async (session) => {
        const within = { session, saleId: settled.saleId };
        const loaded = (await load(collections, [paymentId], within)).get(paymentId);
        if (!loaded) return null;
        const pending = loaded.payment.refunds.filter(({ state }) => state === 'pending');
        if (given === undefined && pending.length > 1) return unclear(pending.length);
        const payment = pendingWithin(loaded.payment, given ?? Number.POSITIVE_INFINITY)
          .map(({ id, amount }) => ({ refundId: id, providerId: id, amount, stage: 'succeeded' as const }))
          .reduce((current, report) => applyRefundReport(current, report, mongoClock.now()), loaded.payment);
        const refundedAmount = refundedOf(payment, ['succeeded']);
        // A repetition changes nothing, and is not noted again.
        if (payment === loaded.payment) return refundedAmount;
        await writeWithin(collections, { ...loaded, payment }, stepMs, session);
        const subject = { kind: 'order', id: orderId };
        const after = { paymentId, reference, refundedAmount, currency: payment.currency };
        const entry = { ...by, action: 'order.refunded_externally', subject, after };
        await appendStaffEntry(collections, session, entry);
        return refundedAmount;
      });
    },

    async refund(wanted, by) {
      // Most of many requests at once need no transaction, and those of one order run one after the other.
      const planned = await planRefund(collections, wanted);
      if (planned === null || typeof planned === 'string' || 'fault' in planned) return planned;
      const giveBack = async (session: ClientSession) => {
        const plan = await planRefund(collections, wanted, { session, saleId: planned.order.saleId });
        if (plan === null || typeof plan === 'string' || 'fault' in plan) return plan;
        const { order, payment, refund } = plan;
        const total = (order.refundedAmount ?? 0) + refund.amount;
        const after =
          order.status === 'paid'
            ? await writeRefunded(collections, order, total, refund.reason, session)
            : order;
        const next = withRefund(payment, refund, mongoClock.now()) as PaymentRecord;
        await writeWithin(collections, { payment: next, order: after }, stepMs, session);
        const money = {
          refundAmount: refund.amount,
          refundedAmount: goingBackOf(next),
          currency: payment.currency,
        };
        await appendStaffEntry(collections, session, {
          ...by,
          action: 'order.refunded',
          subject: { kind: 'order', id: order._id },
          after: { paymentId: payment._id, ...money, reason: refund.reason },
        });
        return { after, paymentId: payment._id };
      };
      const refunded = await changeInTurn(wanted.orderId, () => transact(collections.connection, giveBack));
      if (refunded === null || typeof refunded === 'string' || 'fault' in refunded) return refunded;
      failpoint('refunding');
      announce({ stocks: [], orders: [orderMessageOf(refunded.after)] });
      void settleSoon(refunded.paymentId);
      return 'asked';
    },

    async settleDue(limit) {
      const due = await payments
        .find({ dueAt: { $lte: mongoClock.now() } }, { projection: { _id: 1 } })
        .sort({ dueAt: 1 })
        .limit(limit)
        .toArray();
      await Promise.all(due.map(({ _id }) => settleSoon(_id)));
      return due.length;
    },

    async drained() {
      await settling.drained();
      await Promise.all([amending.drained(), marking.drained()]);
    },
  };

  async function findByProviderId(providerId: string | null): Promise<string | undefined> {
    if (providerId === null) return undefined;
    return (await payments.findOne({ provider: provider.name, providerId }, { projection: { _id: 1 } }))?._id;
  }

  async function readReport(paymentId: string): Promise<PaymentReport | null> {
    const payment = await payments.findOne({ _id: paymentId });
    if (!payment?.providerId) return null;
    return await provider.read(thereOf(payment, payment.providerId));
  }
}

/** A transaction, all of which is about one sale. */
interface Within {
  session: ClientSession;
  saleId: string;
}

const partsOf = (within: Within | undefined) => ({
  ofSale: within ? { saleId: within.saleId } : {},
  options: within ? { session: within.session } : {},
});

/** @returns the refund to write; otherwise what `refund` answers without writing. */
async function planRefund(
  { orders, payments }: Collections,
  { orderId, amount, reason, key }: WantedRefund,
  within?: Within,
): Promise<
  | { order: OrderRecord; payment: PaymentRecord; refund: { amount: number; reason: string; key?: string } }
  | 'asked'
  | 'whole'
  | NotRefundable
  | null
> {
  const { ofSale, options } = partsOf(within);
  // The order is read last: what another request has given back is never missing in it when the payment has it already.
  const known = await payments.find({ orderId, ...ofSale }, { ...options, hint: byOrder }).toArray();
  const order = await orders.findOne({ _id: orderId, ...ofSale }, { ...options, hint: byId });
  if (!order) return null;
  const payment =
    known.find(({ _id }) => _id === order.paymentId) ?? known.find((one) => refundableOf(one) > 0);
  const asked = [...(payment?.refunds ?? []), ...(order.wholeRefund ? [order.wholeRefund] : [])];
  const earlier = asked.find((refund) => key !== undefined && refund.key === key);
  if (earlier) return earlier.amount === (amount ?? earlier.amount) ? 'asked' : keyReused(earlier.amount);
  const left = payment ? refundableOf(payment) : 0;
  const isPaid = order.status === 'paid';
  if (!isPaid && payment && payment.capturedAmount > 0 && (left === 0 || returnsByItself(payment)))
    return order.status === 'refunded' && isRepeated(payment, { amount, key }) ? 'asked' : allReturned;
  const wanted = amount ?? left;
  if (!payment || left === 0 || wanted > left) return notRefundable(order, payment, wanted, left);
  if (isPaid && wanted === left) return 'whole';
  return { order, payment, refund: { amount: wanted, reason, ...(key !== undefined && { key }) } };
}

/** Whether a request for what is left, without the key of the one that has ended the order, may be that one again. */
function isRepeated(payment: PaymentRecord, { amount, key }: Pick<WantedRefund, 'amount' | 'key'>): boolean {
  const last = refundableOf(payment) || payment.refunds.at(-1)?.amount;
  return amount === undefined || (key !== undefined && amount === last);
}

const allReturned = { fault: 'all of its money is on its way back already, or went back' };

/** How an order ends whose payment has no money, which nobody asked for. */
const endOf = ({ as }: Extract<Step, { do: 'end' }>, { orderId }: PaymentRecord): Cancellation => ({
  ...({ orderId, by: 'staff', staff: null } as const),
  ...(as === 'payment_lost'
    ? { reason: as, restock: true }
    : { reason: null, restock: false, refund: { key: undefined } }),
});

const unclear = (pending: number) => ({
  fault: `expected refundedAmount, the sum that went back so far, because ${pending} refunds of it are pending`,
});

const keyReused = (amount: number) => ({
  fault: `the Idempotency-Key was used for a refund of ${amount}`,
  isKeyReused: true as const,
});

function notRefundable(
  { status }: OrderRecord,
  payment: PaymentRecord | undefined,
  wanted: number,
  left: number,
): { fault: string } {
  if (!payment) return { fault: `expected an order that was paid here, this one is ${status}` };
  const { state, currency } = payment;
  if (state === 'authorised') return { fault: 'its money is being captured; try again in a moment' };
  if (left === 0) return { fault: `nothing is left of its payment, which is ${state}` };
  return { fault: `expected at most the ${left} ${currency} in minor units that are left, got ${wanted}` };
}

const same: Change = (payment) => payment;
const isAsked = ({ do: step }: Step) =>
  step === 'capture' || step === 'void' || step === 'refund' || step === 'look';

/** A copy, which is written with its new `dueAt`. */
const rescheduled: Change = (payment) => ({ ...payment });

const taking =
  (report: PaymentReport): Change =>
  (payment) =>
    apply(payment, report, mongoClock.now());

const looking =
  (report: PaymentReport): Change =>
  (payment) => ({ ...apply(payment, report, mongoClock.now()) });

/** A payment that the provider does not know ends here. It stays open when another server has got the provider's id. */
const voided: Change = (payment) =>
  payment.providerId === null ? { ...payment, state: 'voided', endedAt: mongoClock.now() } : payment;

const failed =
  (step: Step | null, error: Error): Change =>
  (payment) =>
    afterFailure(payment, {
      refundId: step?.do === 'refund' ? step.refund.id : null,
      isRefused: kindOf(error) === 'refused',
      error: error.message,
    });

const kindOf = (error: unknown) => (error instanceof PaymentFault ? error.kind : 'unknown');

const externalIdOf = (orderId: string, reference: string) =>
  `${orderId}.${hash('sha256', reference, 'base64url').slice(0, 22)}`;

const capturedAt = (paymentId: string, reference: string, price: Money): PaymentReport => ({
  paymentId,
  providerId: reference,
  stage: 'captured',
  isProcessing: false,
  price,
  capturedAmount: price.amount,
  refundedAmount: null,
  failure: null,
});

const thereOf = (payment: PaymentRecord, providerId: string): ProviderPayment => ({
  paymentId: payment._id,
  providerId,
  price: priceOf(payment),
  attempts: payment.attempts,
});

const priceOf = ({ amount, currency }: PaymentRecord): Money => ({ amount, currency });

async function priceOfOrder(
  { sales }: Collections,
  { saleId, quantity, amount, currency }: OrderRecord,
): Promise<Money> {
  if (amount !== undefined && currency !== undefined) return { amount, currency };
  const sale = await sales.findOne({ _id: saleId }, { projection: { price: 1 } });
  if (!sale) throw new Error(`There is no sale ${saleId} any more`);
  return { amount: sale.price.amount * quantity, currency: sale.price.currency };
}

const dueAfter = (now: Date, failures: number, stepMs: number) =>
  new Date(now.getTime() + stepMs * 2 ** Math.min(failures, 6));

function dueAtOf(payment: PaymentRecord, order: PaidOrder | null, stepMs: number): Date | null {
  const now = mongoClock.now();
  const step = nextStep(payment, order, now);
  if (step.do === 'nothing') return null;
  if (step.do === 'wait') return step.until;
  return step.do === 'look' ? lookAgainAt(payment, now) : dueAfter(now, payment.attempts, stepMs);
}

/**
 * Reads these payments with their orders where they are not known, changes them, and writes those that have changed, all in at
 * most three commands.
 * @returns each payment afterwards with its order; null when it does not exist.
 * @throws Overloaded when other processes changed them at each attempt.
 */
async function amendAll(
  collections: Collections,
  amendments: Amendment[],
  { stepMs, changed: onChanged }: { stepMs: number; changed: NonNullable<PaymentsOptions['changed']> },
): Promise<(Loaded | null)[]> {
  const amended = new Map<string, Loaded>();
  let left = new Set(amendments.map(({ paymentId }) => paymentId));
  let known = new Map(amendments.flatMap(({ paymentId, known }) => (known ? [[paymentId, known]] : [])));
  // Whoever has to read a payment gets it as it is now.
  for (const one of amendments) if (!one.known) known.delete(one.paymentId);
  return await retry(
    async () => {
      const unknown = [...left].filter((id) => !known.has(id));
      const loaded = new Map([...known, ...(unknown.length > 0 ? await load(collections, unknown) : [])]);
      known = new Map();
      const changed = new Map<string, Loaded>();
      for (const { paymentId, change } of amendments) {
        const now = changed.get(paymentId) ?? loaded.get(paymentId);
        const payment = now && change(now.payment, now.order);
        if (now && payment !== now.payment)
          changed.set(paymentId, { ...now, payment: payment as PaymentRecord });
      }
      const dated = [...changed.values()].map((one) => withDueAt(one, stepMs));
      const stale = dated.length > 0 ? await write(collections, dated) : new Set();
      for (const one of [...loaded.values(), ...dated.map(afterWrite)]) {
        const { _id, state } = one.payment;
        if (stale.has(_id)) continue;
        if (state !== (amended.get(_id) ?? loaded.get(_id))?.payment.state) onChanged(one.payment);
        amended.set(_id, one);
      }
      // What is written is not changed once more with what is not.
      left = new Set([...left].filter((id) => stale.has(id)));
      if (left.size > 0) throw new Stale();
      return amendments.map(({ paymentId }) => amended.get(paymentId) ?? null);
    },
    { firstMs: 1, longestMs: 20, maxAttempts: 20, shouldRetry: (error) => error instanceof Stale },
  ).catch((error) => {
    throw error instanceof Stale ? new Overloaded('others write these payments all the time') : error;
  });
}

const ofOrder = {
  ...{ status: 1, paymentId: 1, holdExpiresAt: 1, holdLengthened: 1 },
  ...{ cancelReason: 1, refundedAmount: 1 },
} as const;

async function load(
  { payments, orders }: Collections,
  ids: string[],
  within?: Within,
): Promise<Map<string, Loaded>> {
  const { ofSale, options } = partsOf(within);
  const hinted = { ...options, hint: byId };
  const found = await payments.find({ _id: { $in: ids }, ...ofSale }, hinted).toArray();
  const filter = { _id: { $in: found.map(({ orderId }) => orderId) }, ...inSales(found) };
  const ofOrders = await orders.find(filter, { ...hinted, projection: ofOrder }).toArray();
  const orderById = new Map(ofOrders.map((order) => [order._id, order]));
  return new Map(
    found.map((payment) => [payment._id, { payment, order: orderById.get(payment.orderId) ?? null }]),
  );
}

/**
 * Writes each payment unless another process changed it since it was read.
 * @returns the ids of those that are not written.
 */
async function write({ payments }: Collections, changed: Loaded[]): Promise<Set<string>> {
  // An update that matches nothing would insert, which fails because the id exists: so the errors name the stale ones.
  const updates = changed.map((one) => ({ updateOne: { ...updateOf(one), upsert: true } }));
  try {
    await payments.bulkWrite(updates, { ordered: false });
    return new Set();
  } catch (error) {
    if (!(error instanceof mongo.MongoBulkWriteError) || !isDuplicateKey(error)) throw error;
    const errors = Array.isArray(error.writeErrors) ? error.writeErrors : [error.writeErrors];
    if (errors.some(({ code }) => code !== error.code)) throw error;
    return new Set(errors.map(({ index }) => (changed[index] as Loaded).payment._id));
  }
}

/** Writes a payment that was read in this transaction, in which a change by another one is a write conflict. */
async function writeWithin(
  { payments }: Collections,
  changed: Loaded,
  stepMs: number,
  session: ClientSession,
): Promise<void> {
  const { filter, update, hint } = updateOf(withDueAt(changed, stepMs));
  await payments.updateOne(filter, update, { session, hint });
}

const withDueAt = ({ payment, order }: Loaded, stepMs: number): Loaded => ({
  payment: { ...payment, dueAt: dueAtOf(payment, order, stepMs) },
  order,
});

function updateOf({ payment: { _id, saleId, revision, ...fields } }: Loaded) {
  return { filter: { _id, saleId, revision }, update: { $set: fields, $inc: { revision: 1 } }, hint: byId };
}

const afterWrite = ({ payment, order }: Loaded): Loaded => ({
  payment: { ...payment, revision: payment.revision + 1 },
  order,
});
