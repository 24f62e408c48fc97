import { trusted } from 'mongoose';
import { appendChanges } from '../../log/events.ts';
import { mongoClock } from '../../runtime/clock.ts';
import { type Collections, driverOf, type OrderRecord, type SaleRecord } from '../../store/collections.ts';
import type { Gate } from '../admission/gate.ts';
import { changeOf, newsOf } from '../order.ts';
import { type PurchaseQueue, purchasesIn } from '../queue/queue.ts';
import { endingOf, recordOf, type Settled } from './transaction.ts';

/** Takes a dead letter away for good; its buyers' orders stay rejected. @returns false when there is none. */
export async function discard(shop: DeadLetterShop, id: string): Promise<boolean> {
  const letter = await shop.queue.findDeadLetter(id);
  if (!letter) return false;
  await giveUp(shop, letter.data);
  // Of several who discard it at once, one does.
  return await shop.queue.removeDeadLetter(id);
}

export interface DeadLetterShop {
  collections: Collections;
  gate: Gate;
  queue: PurchaseQueue;
  /** Tells the buyers. */
  announceSettled: (settled: Settled) => void;
}

/**
 * Gives each purchase of a dead letter an end that its buyer can see: an order, rejected because it failed. Its units
 * go back on sale. Safe to do twice.
 * @returns how many got their end by this.
 */
export async function giveUp(
  { collections, gate, announceSettled }: DeadLetterShop,
  data: unknown,
): Promise<number> {
  let ended = 0;
  for (const purchase of purchasesIn(data)) {
    const givenUp = recordOf({ purchase, status: 'rejected', reason: 'failed' }, mongoClock.now());
    const isNew = await insertGivenUp(collections, givenUp);
    const record = isNew ? givenUp : await collections.orders.findById(givenUp._id).lean<OrderRecord>();
    if (!record) continue;
    // Also of one that has its order already: whoever made it could have died before it told anybody.
    await gate.end([endingOf(purchase, record)]);
    announceSettled({ stocks: [], orders: [newsOf(record)] });
    if (isNew) ended += 1;
  }
  return ended;
}

/** @returns false when the purchase has its order already. */
async function insertGivenUp(collections: Collections, record: OrderRecord): Promise<boolean> {
  const { orders, sales } = collections;
  return await orders.db.withSession((session) =>
    session.withTransaction(async () => {
      if (await orders.exists({ _id: record._id }).session(session)) return false;
      await driverOf(orders).insertOne(record, { session });
      const sale = await sales
        .findByIdAndUpdate(record.saleId, { $inc: { eventSeq: 1 } }, { session, returnDocument: 'after' })
        .lean<SaleRecord>();
      const entry = { saleId: record.saleId, seq: sale?.eventSeq ?? 0, changes: [changeOf(record)] };
      if (sale) await appendChanges(collections, [entry], record.settledAt, session);
      return true;
    }),
  );
}

/**
 * Sees to it that every purchase of the newest dead letters has an end. A job can also fail although it was settled,
 * when its worker was too busy to tell Bull: then it is no dead letter, and goes.
 * @returns how many purchases got their end by this.
 */
export async function endDeadLetters(shop: DeadLetterShop, limit: number): Promise<number> {
  const found = await shop.queue.listDeadLetters({ limit });
  if (found.length === 0) return 0;
  const letters = found.map(({ id, data }) => ({
    id,
    data,
    ids: purchasesIn(data).map(({ orderId }) => orderId),
  }));
  const all = letters.flatMap(({ ids }) => ids);
  const records = await shop.collections.orders
    .find({ _id: trusted({ $in: all }) }, 'reason')
    .lean<Pick<OrderRecord, '_id' | 'reason'>[]>();
  const reasons = new Map(records.map(({ _id, reason }) => [_id, reason]));

  let ended = 0;
  for (const { id, data, ids } of letters) {
    const { purchases = [{}] } = (data ?? {}) as { purchases?: unknown[] };
    const isWhole = ids.length >= purchases.length;
    if (!ids.every((orderId) => reasons.has(orderId))) ended += await giveUp(shop, data);
    else if (isWhole && ids.every((orderId) => reasons.get(orderId) !== 'failed'))
      await shop.queue.removeDeadLetter(id);
  }
  return ended;
}
