import type { ClientSession } from 'mongoose';
import { appendChanges } from '../../log/events.ts';
import { mongoClock } from '../../runtime/clock.ts';
import { gapMs, Stale, untilFresh } from '../../runtime/databases/transact.ts';
import { failpoint } from '../../runtime/failpoints.ts';
import { groupCommit } from '../../runtime/group-commit.ts';
import type { Collections, OrderRecord, SaleRecord } from '../../store/collections.ts';
import type { Returned } from '../admission/gate.ts';
import type { Order } from '../contract.ts';
import { changeOf, orderMessageOf, orderOf } from '../order.ts';
import { groupBySale } from '../sale.ts';
import { allowanceKey, personOf } from './decide.ts';
import type { OtherWriters } from './other-writers.ts';
import type { Settled } from './transaction.ts';

/** A buyer's request to cancel an order. */
export interface Cancellation {
  orderId: string;
  buyerId: string;
  /** W3C trace context of the request. */
  traceparent?: string | undefined;
}

/** What a transaction of cancellations changed, for the pages (`settled`) and the gates (`returned`). */
export interface Cancelled {
  settled: Settled;
  returned: Returned[];
}

/** Cancellations that arrive together share one transaction; separate ones would conflict on the same sale document. */
const maxBatch = 1_000;
const maxWaiting = 5_000;
/** How long a batch is retried after write conflicts before its buyers get 503. */
const patienceMs = 5_000;

export interface Cancellations {
  /**
   * Cancels a paid order of this buyer, and puts its units back on sale.
   * @returns the order afterwards, and whether the gates were notified; null when this buyer has no such settled order.
   * @throws Overloaded when too many cancellations wait; MongoDB's write conflict when the retries ran out.
   */
  cancel(cancellation: Cancellation): Promise<{ order: Order; isAnnounced: boolean } | null>;
  drained(): Promise<void>;
}

/** @param announce notifies pages and gates after each commit. @returns whether it succeeded; it must not throw. */
export function openCancellations(
  collections: Collections,
  announce: (cancelled: Cancelled) => Promise<boolean>,
  otherWriters: Pick<OtherWriters, 'announce'>,
): Cancellations {
  const { submit, drained } = groupCommit({
    async send(cancellations: Cancellation[]) {
      otherWriters.announce();
      const { orders, cancelled } = await cancelOrders(collections, cancellations);
      if (cancelled) failpoint('written');
      // Not awaited here, so that the next batch begins meanwhile.
      const announced = cancelled ? announce(cancelled) : Promise.resolve(true);
      return orders.map((order) => ({ order, announced }));
    },
    maxBatch,
    maxWaiting,
    gapMs: () => gapMs,
  });
  return {
    async cancel(cancellation) {
      const { order, announced } = await submit(cancellation);
      const isAnnounced = await announced;
      return order && { order, isAnnounced };
    },
    drained,
  };
}

/**
 * Cancels the paid ones of these orders in one transaction, and puts their units back on sale.
 * @returns for each cancellation its buyer's order afterwards, or null; and what changed, or null.
 */
export async function cancelOrders(
  collections: Collections,
  cancellations: Cancellation[],
): Promise<{ orders: (Order | null)[]; cancelled: Cancelled | null }> {
  return await untilFresh(
    collections.connection,
    async (write) => {
      const orders = await findOwnOrders(collections, cancellations);
      const paid = new Map<string, OrderRecord>();
      for (const [n, order] of orders.entries()) {
        const { traceparent } = cancellations[n] as Cancellation;
        if (order?.status === 'paid') paid.set(order._id, { ...order, status: 'cancelled', traceparent });
      }
      const cancelled =
        paid.size > 0 ? await write((session) => putBack(collections, [...paid.values()], session)) : null;
      return { orders: orders.map((order) => order && orderOf(paid.get(order._id) ?? order)), cancelled };
    },
    { patienceMs },
  );
}

async function findOwnOrders(
  { orders }: Collections,
  cancellations: Cancellation[],
): Promise<(OrderRecord | null)[]> {
  const ids = [...new Set(cancellations.map(({ orderId }) => orderId))];
  const found = await orders.find({ _id: { $in: ids } }).toArray();
  const orderById = new Map(found.map((order) => [order._id, order]));
  return cancellations.map(({ orderId, buyerId }) => {
    const order = orderById.get(orderId);
    return order?.buyerId === buyerId ? order : null;
  });
}

/**
 * Writes the sales first, so that a write conflict with another transaction costs only this one command, and so that no
 * other transaction can cancel orders of these sales from then on.
 * @param cancelled the orders in their new state.
 * @throws Stale when one of them is no longer paid.
 */
async function putBack(
  collections: Collections,
  cancelled: OrderRecord[],
  session: ClientSession,
): Promise<Cancelled> {
  const { sales, orders, allowances } = collections;
  const ofSales = groupBySale(cancelled);
  const saleIds = [...ofSales.keys()];
  const puts = [...ofSales].map(([_id, ofSale]) => {
    const units = unitsOf(ofSale);
    const $inc = { stock: units, unitsReturned: units, stockVersion: 1, eventSeq: 1 };
    return { updateOne: { filter: { _id }, update: { $inc } } };
  });
  await sales.bulkWrite(puts, { session });

  const { modifiedCount } = await orders.updateMany(
    { _id: { $in: cancelled.map(({ _id }) => _id) }, status: 'paid' },
    { $set: { status: 'cancelled' } },
    { session },
  );
  if (modifiedCount !== cancelled.length) throw new Stale();

  for (const [units, keys] of allowancesOf(cancelled)) {
    const filter = { _id: { $in: keys }, units: { $gte: units } };
    await allowances.updateMany(filter, { $inc: { units: -units } }, { session });
  }
  const records = await sales.find({ _id: { $in: saleIds } }, { session }).toArray();
  const at = mongoClock.now();
  const entries = records.map(({ _id: saleId, eventSeq: seq }) => ({
    saleId,
    seq,
    changes: (ofSales.get(saleId) ?? []).map(changeOf),
  }));
  await appendChanges(collections, entries, at, session);
  return {
    settled: {
      stocks: records.map((sale) => stockOf(sale, at)),
      orders: cancelled.map(orderMessageOf),
    },
    returned: records.map(({ _id: saleId, unitsReturned = 0 }) => ({
      saleId,
      unitsReturned,
      orders: (ofSales.get(saleId) ?? []).map((order) => ({
        personId: personOf(order),
        quantity: order.quantity,
      })),
    })),
  };
}

const unitsOf = (orders: OrderRecord[]) => orders.reduce((units, { quantity }) => units + quantity, 0);

const stockOf = ({ _id: saleId, stock, stockVersion }: SaleRecord, at: Date) => ({
  saleId,
  stock,
  stockVersion,
  at: at.toISOString(),
});

/** Allowance keys by the number of units they get back, so that one statement updates all keys with the same number. */
function allowancesOf(orders: OrderRecord[]): Map<number, string[]> {
  const unitsByKey = new Map<string, number>();
  for (const order of orders) {
    const key = allowanceKey(order.saleId, personOf(order));
    unitsByKey.set(key, (unitsByKey.get(key) ?? 0) + order.quantity);
  }
  const keysByUnits = new Map<number, string[]>();
  for (const [key, units] of unitsByKey) {
    const keys = keysByUnits.get(units);
    if (keys) keys.push(key);
    else keysByUnits.set(units, [key]);
  }
  return keysByUnits;
}
