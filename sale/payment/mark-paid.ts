import type { ClientSession } from 'mongoose';
import { appendChanges } from '../../log/events.ts';
import { mongoClock } from '../../runtime/clock.ts';
import { Stale, untilFresh } from '../../runtime/databases/transact.ts';
import { byId, type Collections, type OrderRecord } from '../../store/collections.ts';
import { changeOf, orderMessageOf } from '../order.ts';
import { groupBySale } from '../sale.ts';
import type { Settled } from '../settlement/transaction.ts';

/** A payment that is authorised or captured, for its order. */
export interface Mark {
  orderId: string;
  paymentId: string;
}

/** How long a batch is retried after write conflicts. */
const patienceMs = 5_000;

/**
 * Marks the orders paid that are still held, in one transaction. Of several payments of one order the first one pays it.
 * @returns the paid orders, and what to announce; null when none was held any more.
 */
export async function markPaid(
  collections: Collections,
  marks: Mark[],
): Promise<{ paid: OrderRecord[]; settled: Settled } | null> {
  const paymentIds = new Map(marks.toReversed().map(({ orderId, paymentId }) => [orderId, paymentId]));
  return await untilFresh(
    collections.connection,
    async (write) => {
      const filter = { _id: { $in: [...paymentIds.keys()] }, status: 'held' as const };
      const held = await collections.orders.find(filter).toArray();
      if (held.length === 0) return null;
      const paid = held.map((order): OrderRecord => {
        const paymentId = paymentIds.get(order._id) as string;
        return { ...order, status: 'paid', paymentId };
      });
      return { paid, settled: await write((session) => writePaid(collections, paid, session)) };
    },
    { patienceMs },
  );
}

/**
 * Writes the sales first, so that a write conflict with another transaction costs only this one command.
 * @throws Stale when one of the orders is no longer held.
 */
async function writePaid(
  collections: Collections,
  paid: OrderRecord[],
  session: ClientSession,
): Promise<Settled> {
  const { sales, orders } = collections;
  const ofSales = groupBySale(paid);
  const saleIds = [...ofSales.keys()];
  await sales.updateMany({ _id: { $in: saleIds } }, { $inc: { eventSeq: 1 } }, { session });
  const { modifiedCount } = await orders.bulkWrite(
    paid.map(({ _id, saleId, paymentId }) => ({
      updateOne: {
        filter: { _id, saleId, status: 'held' as const },
        hint: byId,
        update: { $set: { status: 'paid' as const, paymentId: paymentId as string } },
      },
    })),
    { session, ordered: false },
  );
  if (modifiedCount !== paid.length) throw new Stale();
  const found = await sales
    .find({ _id: { $in: saleIds } }, { session, projection: { eventSeq: 1 } })
    .toArray();
  const entries = found.map(({ _id: saleId, eventSeq: seq }) => ({
    saleId,
    seq,
    changes: (ofSales.get(saleId) ?? []).map(changeOf),
  }));
  await appendChanges(collections, entries, mongoClock.now(), session);
  return { stocks: [], orders: paid.map(orderMessageOf) };
}
