import type { ClientSession } from 'mongoose';
import { appendStaffEntry, type By, type StaffEntry } from '../../accounts/staff-log.ts';
import { appendChanges } from '../../log/events.ts';
import { mongoClock, redisClock } from '../../runtime/clock.ts';
import { gapMs, Stale, untilFresh } from '../../runtime/databases/transact.ts';
import { failpoint } from '../../runtime/failpoints.ts';
import { groupCommit } from '../../runtime/group-commit.ts';
import { byId, type Collections, type OrderRecord, type SaleRecord } from '../../store/collections.ts';
import type { Returned } from '../admission/gate.ts';
import { type Order, unitsIn } from '../contract.ts';
import { countPath, hasSeveralItems, linesOf, stockMessageOf } from '../items.ts';
import { changeOf, isUnpaid, orderMessageOf, orderOf } from '../order.ts';
import { wakePayments } from '../payment/wake.ts';
import { cancellableUntil, groupBySale, inSales } from '../sale.ts';
import { allowanceKey, claimsOf, limitsOf, personOf } from './decide.ts';
import type { OtherWriters } from './other-writers.ts';
import type { Settled } from './transaction.ts';

/** A request to cancel an order, by its buyer or by the shop's staff. */
export type Cancellation = {
  orderId: string;
  /** W3C trace context of the request. */
  traceparent?: string | undefined;
} & (
  | { by: 'buyer'; buyerId: string }
  /**
   * Without `restock` the units leave the sale instead of going back on sale. `staff` is null when nobody asked for it, or the
   * whole sale was called off, which has a staff entry of its own. With `refund`, a paid order ends as refunded, and keeps the
   * request's Idempotency-Key; its payment gives all of its money back either way.
   */
  | {
      by: 'staff';
      staff: By | null;
      reason: string | null;
      restock: boolean;
      refund?: { key: string | undefined };
    }
);

/** The order afterwards; `too_late` when its buyer could cancel it only before; null when there is no such settled order. */
export type CancellationAnswer = Order | TooLate | null;

interface TooLate {
  outcome: 'too_late';
  /** Until when the buyer could cancel it; null when only the shop can. */
  until: Date | null;
}

export const isTooLate = (answer: CancellationAnswer): answer is TooLate =>
  answer !== null && 'outcome' in answer;

/** What a transaction of cancellations or expiries changed, for the pages (`settled`, `shrunk`) and the gates (`returned`). */
export interface Cancelled {
  settled: Settled;
  returned: Returned[];
  /** Ids of the sales that lost units, because these were kept back. */
  shrunk: string[];
}

/** Cancellations that arrive together share one transaction; separate ones would conflict on the same sale document. */
const maxBatch = 1_000;
const maxWaiting = 5_000;
/** How long a batch is retried after write conflicts before its requests get 503. */
const patienceMs = 5_000;

export interface Cancellations {
  /**
   * Cancels a held or paid order, or refunds a paid one. An order that has ended already stays as it is.
   * @returns the answer, and whether the gates were notified.
   * @throws Overloaded when too many cancellations wait; MongoDB's write conflict when the retries ran out.
   */
  cancel(cancellation: Cancellation): Promise<{ answer: CancellationAnswer; isAnnounced: boolean }>;
  drained(): Promise<void>;
}

/** A cancellation, and when it was asked for: a buyer who was in time stays in time while the batch waits. */
interface Asked {
  cancellation: Cancellation;
  at: Date;
}

/** @param announce notifies pages and gates after each commit. @returns whether it succeeded; it must not throw. */
export function openCancellations(
  collections: Collections,
  announce: (cancelled: Cancelled) => Promise<boolean>,
  otherWriters: Pick<OtherWriters, 'announce'>,
): Cancellations {
  const { submit, drained } = groupCommit({
    async send(asked: Asked[]) {
      otherWriters.announce();
      const { answers, cancelled } = await cancelAsked(collections, asked);
      if (cancelled) failpoint('written');
      // Not awaited here, so that the next batch begins meanwhile.
      const announced = cancelled ? announce(cancelled) : Promise.resolve(true);
      return answers.map((answer) => ({ answer, announced }));
    },
    maxBatch,
    maxWaiting,
    gapMs: () => gapMs,
  });
  return {
    async cancel(cancellation) {
      const { answer, announced } = await submit({ cancellation, at: redisClock.now() });
      return { answer, isAnnounced: await announced };
    },
    drained,
  };
}

/**
 * Cancels or refunds the held and paid ones of these orders in one transaction, at most 1,000. Their units go back on sale, or
 * leave the sale.
 * @returns an answer for each cancellation, and what changed; null when nothing did.
 */
export function cancelOrders(
  collections: Collections,
  cancellations: Cancellation[],
): Promise<{ answers: CancellationAnswer[]; cancelled: Cancelled | null }> {
  const at = redisClock.now();
  return cancelAsked(
    collections,
    cancellations.map((cancellation) => ({ cancellation, at })),
  );
}

async function cancelAsked(
  collections: Collections,
  asked: Asked[],
): Promise<{ answers: CancellationAnswer[]; cancelled: Cancelled | null }> {
  return await untilFresh(
    collections.connection,
    async (write) => {
      const orders = await findOrders(collections, asked);
      const sales = await findSales(collections, orders);
      const cancelledAt = mongoClock.now();
      const changed = new Map<string, EndedOrder>();
      const staffEntries: StaffEntry[] = [];
      const answers = orders.map((order, n): TooLate | string | null => {
        const { cancellation, at } = asked[n] as Asked;
        if (!order) return null;
        // The first of several cancellations of one order decides how it is cancelled.
        if (!isTaken(order) || changed.has(order._id)) return order._id;
        const isRefund = cancellation.by === 'staff' && cancellation.refund;
        if (isRefund && order.status !== 'paid') return order._id;
        const sale = sales.get(order.saleId);
        const until = sale ? cancellableUntil(sale) : null;
        // What is not paid yet can always be given up.
        const isBound = cancellation.by === 'buyer' && order.status === 'paid';
        if (isBound && !isInTime(until, at)) return { outcome: 'too_late', until };
        changed.set(order._id, cancelledBy(order, cancellation, cancelledAt));
        if (cancellation.by === 'staff' && cancellation.staff)
          staffEntries.push(staffEntryOf(order, cancellation.staff, cancellation));
        return order._id;
      });
      const cancelled =
        changed.size > 0
          ? await write((session) =>
              writeEnded(collections, [...changed.values()], sales, staffEntries, session),
            )
          : null;
      return {
        answers: answers.map((answer, n) =>
          typeof answer === 'string' ? orderOf(changed.get(answer) ?? (orders[n] as OrderRecord)) : answer,
        ),
        cancelled,
      };
    },
    { patienceMs },
  );
}

/** Whether a buyer may still cancel at a time by Redis' clock, which also decides when a sale opens and ends. */
export const isInTime = (until: Date | null, at: Date): boolean => until !== null && at < until;

/** An order in its new state; `refundAmount`, which is not stored, is what goes back with a refund that ends it. */
type EndedOrder = OrderRecord & { refundAmount?: number };

function cancelledBy(order: OrderRecord, cancellation: Cancellation, cancelledAt: Date): EndedOrder {
  const { by, traceparent } = cancellation;
  const ended = { ...order, status: 'cancelled' as const, cancelledBy: by, cancelledAt, traceparent };
  if (cancellation.by === 'buyer') return ended;
  const { reason, restock, refund } = cancellation;
  const why = { ...(reason && { cancelReason: reason }), ...(!restock && { keptBack: true as const }) };
  if (!refund) return { ...ended, ...why };
  const { amount = 0, refundedAmount: before = 0 } = order;
  const refundAmount = amount - before;
  const { key } = refund;
  const request = key !== undefined && { wholeRefund: { key, amount: refundAmount } };
  return { ...ended, ...why, ...request, status: 'refunded', refundedAmount: amount, refundAmount };
}

function staffEntryOf(
  { _id: id, status, amount = 0, currency, refundedAmount = 0 }: OrderRecord,
  staff: By,
  { reason, restock, refund }: Extract<Cancellation, { by: 'staff' }>,
): StaffEntry {
  const subject = { kind: 'order', id };
  if (refund) {
    const after = { status: 'refunded', refundedAmount: amount, currency, reason };
    return { ...staff, action: 'order.refunded', subject, before: { status, refundedAmount }, after };
  }
  const after = { status: 'cancelled', reason, restock };
  return { ...staff, action: 'order.cancelled', subject, before: { status }, after };
}

/** The orders by cancellation; null where there is none, or where it is another buyer's. */
async function findOrders({ orders }: Collections, asked: Asked[]): Promise<(OrderRecord | null)[]> {
  const ids = [...new Set(asked.map(({ cancellation }) => cancellation.orderId))];
  const found = await orders.find({ _id: { $in: ids } }).toArray();
  const orderById = new Map(found.map((order) => [order._id, order]));
  return asked.map(({ cancellation }) => {
    const order = orderById.get(cancellation.orderId);
    const isTheirs = cancellation.by === 'staff' || order?.buyerId === cancellation.buyerId;
    return order && isTheirs ? order : null;
  });
}

/** The sales of the orders that can be cancelled, by id. Which items a published sale has does not change. */
async function findSales(
  { sales }: Collections,
  orders: (OrderRecord | null)[],
): Promise<Map<string, SaleRecord>> {
  const ids = [...new Set(orders.flatMap((order) => (order && isTaken(order) ? [order.saleId] : [])))];
  if (ids.length === 0) return new Map();
  const found = await sales.find({ _id: { $in: ids } }).toArray();
  return new Map(found.map((sale) => [sale._id, sale]));
}

/** Whether the order has units of its sale. */
const isTaken = ({ status }: OrderRecord) => status === 'paid' || status === 'held';

/**
 * Writes cancelled, refunded or expired orders and what follows from them. The sales are written first, so that a write conflict
 * with another transaction costs only this one command, and no other transaction can cancel orders of these sales from then on.
 * @param ended the orders in their new state.
 * @throws Stale when one of them is no longer held or paid, a hold was lengthened, or a part was refunded.
 */
export async function writeEnded(
  collections: Collections,
  ended: EndedOrder[],
  saleById: ReadonlyMap<string, SaleRecord>,
  staffEntries: StaffEntry[],
  session: ClientSession,
): Promise<Cancelled> {
  const { sales, orders, allowances } = collections;
  const ofSales = groupBySale(ended);
  const saleIds = [...ofSales.keys()];
  const puts = [...ofSales].map(([_id, ofSale]) => {
    const back = ofSale.filter(({ keptBack }) => !keptBack);
    const kept = ofSale.filter(({ keptBack }) => keptBack);
    const [unitsBack, unitsKept] = [unitsIn(back), unitsIn(kept)];
    const totals = {
      stock: unitsBack,
      unitsReturned: unitsBack,
      ...(unitsKept > 0 && { unitsOnSale: -unitsKept, unitsKept }),
    };
    const sale = saleById.get(_id);
    const ofItems = sale && hasSeveralItems(sale) ? [...returnsOf(back), ...keepsOf(kept)] : [];
    const $inc = { ...totals, ...Object.fromEntries(ofItems), stockVersion: 1, eventSeq: 1 };
    return { updateOne: { filter: { _id }, update: { $inc } } };
  });
  await sales.bulkWrite(puts, { session });

  for (const alike of groupByEnd(ended)) {
    const [first] = alike as [EndedOrder];
    const { status, cancelledBy, cancelledAt, cancelReason, keptBack, refundedAmount, wholeRefund } = first;
    const why = { ...(cancelReason && { cancelReason }), ...(keptBack && { keptBack }) };
    const who = status !== 'expired' && { cancelledBy, cancelledAt };
    const money = status === 'refunded' && { refundedAmount, ...(wholeRefund && { wholeRefund }) };
    const latestMs = Math.max(...alike.map(({ holdExpiresAt }) => holdExpiresAt?.getTime() ?? 0));
    const { modifiedCount } = await orders.updateMany(
      {
        _id: { $in: alike.map(({ _id }) => _id) },
        ...inSales(alike),
        status: isUnpaid(first) ? 'held' : 'paid',
        refundedAmount: refundedBefore(first),
        ...(status === 'expired' && { holdExpiresAt: { $lte: new Date(latestMs) } }),
      },
      { $set: { status, ...who, ...why, ...money } as Partial<OrderRecord> },
      { session, hint: byId },
    );
    if (modifiedCount !== alike.length) throw new Stale();
  }

  for (const [units, keys] of allowancesOf(ended, saleById)) {
    const filter = { _id: { $in: keys }, units: { $gte: units } };
    await allowances.updateMany(filter, { $inc: { units: -units } }, { session });
  }
  await wakePayments(collections, ended, session);
  const records = await sales.find({ _id: { $in: saleIds } }, { session }).toArray();
  const at = mongoClock.now();
  const entries = records.map(({ _id: saleId, eventSeq: seq }) => ({
    saleId,
    seq,
    changes: (ofSales.get(saleId) ?? []).map(changeOf),
  }));
  await appendChanges(collections, entries, at, session);
  await appendStaffEntry(collections, session, ...staffEntries);
  return {
    settled: {
      stocks: records.map((sale) => stockMessageOf(sale, at)),
      orders: ended.map(orderMessageOf),
    },
    returned: records.map(({ _id: saleId, unitsReturned = 0, itemCounts = {} }) => ({
      saleId,
      unitsReturned,
      items: Object.entries(itemCounts).map(([id, { unitsReturned }]) => ({ id, unitsReturned })),
      orders: (ofSales.get(saleId) ?? []).map((order) => ({
        personId: personOf(order),
        quantity: order.quantity,
        lines: order.lines,
        code: order.code,
      })),
    })),
    shrunk: saleIds.filter((saleId) => ofSales.get(saleId)?.some(({ keptBack }) => keptBack)),
  };
}

/** What was refunded before the order ended, as a filter: the log says how much more it is. */
const refundedBefore = ({ refundedAmount = 0, refundAmount = 0 }: EndedOrder) =>
  refundedAmount > refundAmount ? refundedAmount - refundAmount : { $in: [0, null] as never[] };

/** One statement updates all orders that end in the same way, by the same people and for the same reason. */
function groupByEnd(orders: EndedOrder[]): EndedOrder[][] {
  const groups = new Map<string, EndedOrder[]>();
  for (const order of orders) {
    const { status, cancelledBy, cancelReason, keptBack } = order;
    const money = [order.refundedAmount, order.refundAmount, order.wholeRefund];
    const key = JSON.stringify([status, cancelledBy, cancelReason, keptBack, isUnpaid(order), ...money]);
    const group = groups.get(key);
    if (group) group.push(order);
    else groups.set(key, [order]);
  }
  return [...groups.values()];
}

/** What orders give back to the counts of items, as fields of an update. */
const returnsOf = (orders: OrderRecord[]): [string, number][] =>
  unitsOfItems(orders).flatMap(([itemId, units]) => [
    [countPath(itemId, 'stock'), units],
    [countPath(itemId, 'unitsReturned'), units],
  ]);

const keepsOf = (orders: OrderRecord[]): [string, number][] =>
  unitsOfItems(orders).flatMap(([itemId, units]) => [
    [countPath(itemId, 'unitsOnSale'), -units],
    [countPath(itemId, 'unitsKept'), units],
  ]);

function unitsOfItems(orders: OrderRecord[]): [string, number][] {
  const units = new Map<string, number>();
  for (const { itemId, quantity } of orders.flatMap(linesOf))
    units.set(itemId, (units.get(itemId) ?? 0) + quantity);
  return [...units];
}

/** Allowance keys by the number of units they get back, so that one statement updates all keys with the same number. */
function allowancesOf(
  orders: OrderRecord[],
  saleById: ReadonlyMap<string, SaleRecord>,
): Map<number, string[]> {
  const limits = new Map([...saleById].map(([saleId, sale]) => [saleId, limitsOf(sale)]));
  const unitsByKey = new Map<string, number>();
  for (const order of orders) {
    const limit = limits.get(order.saleId);
    for (const { holder, units } of limit ? claimsOf(order, limit) : []) {
      const key = allowanceKey(order.saleId, holder);
      unitsByKey.set(key, (unitsByKey.get(key) ?? 0) + units);
    }
  }
  const keysByUnits = new Map<number, string[]>();
  for (const [key, units] of unitsByKey) {
    const keys = keysByUnits.get(units);
    if (keys) keys.push(key);
    else keysByUnits.set(units, [key]);
  }
  return keysByUnits;
}
