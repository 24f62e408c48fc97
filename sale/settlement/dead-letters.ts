import { type By, logStaffAction } from '../../accounts/staff-log.ts';
import { appendChanges } from '../../log/events.ts';
import { mongoClock } from '../../runtime/clock.ts';
import { transact } from '../../runtime/databases/transact.ts';
import { byId, type Collections, type OrderRecord } from '../../store/collections.ts';
import type { Gate } from '../admission/gate.ts';
import { changeOf, orderMessageOf } from '../order.ts';
import { type PurchaseQueue, purchasesIn } from '../queue/queue.ts';
import { findSale } from '../sale.ts';
import { orderRecordOf, type Settled, settledPurchaseOf } from './transaction.ts';

/** Deletes a dead letter permanently; its buyers' orders stay rejected. @returns false when it does not exist. */
export async function discard(dependencies: SettlementDependencies, id: string, by: By): Promise<boolean> {
  const letter = await dependencies.queue.findDeadLetter(id);
  if (!letter) return false;
  const entry = { ...by, action: 'dead_letter.discarded', subject: { kind: 'dead_letter', id } };
  await logStaffAction(dependencies.collections, { ...entry, before: { reason: letter.reason } });
  await rejectFailed(dependencies, letter.data);
  // When several requests discard it at once, only one gets true.
  return await dependencies.queue.removeDeadLetter(id);
}

export interface SettlementDependencies {
  collections: Collections;
  gate: Gate;
  queue: PurchaseQueue;
  /** Sends the orders to their buyers' pages. */
  announceSettled: (settled: Settled) => void;
}

/**
 * Creates a rejected order (reason `failed`) for each purchase of a dead letter, so that its buyer sees an outcome, and
 * puts its units back on sale. Idempotent.
 * @returns how many orders were created.
 */
export async function rejectFailed(
  { collections, gate, announceSettled }: SettlementDependencies,
  data: unknown,
): Promise<number> {
  let created = 0;
  for (const purchase of purchasesIn(data)) {
    const sale = await findSale(collections, purchase.saleId);
    const rejected = orderRecordOf(
      { purchase, status: 'rejected', reason: 'failed' },
      sale,
      mongoClock.now(),
    );
    const isNew = await insertRejected(collections, rejected);
    const record = isNew ? rejected : await collections.orders.findOne({ _id: rejected._id });
    if (!record) continue;
    // Also for an existing order, because the worker that created it may have died before announcing it.
    await gate.removeSettled([settledPurchaseOf(purchase, record)]);
    announceSettled({ stocks: [], orders: [orderMessageOf(record)] });
    if (isNew) created += 1;
  }
  return created;
}

/** How long an order is retried against other writers of its sale. */
const patienceMs = 5_000;

/** @returns false when the purchase already has an order. */
async function insertRejected(collections: Collections, record: OrderRecord): Promise<boolean> {
  const { connection, orders, sales } = collections;
  return await transact(
    connection,
    async (session) => {
      const { _id, saleId } = record;
      if (await orders.findOne({ _id, saleId }, { session, hint: byId })) return false;
      await orders.insertOne(record, { session });
      const sale = await sales.findOneAndUpdate(
        { _id: record.saleId },
        { $inc: { eventSeq: 1 } },
        { session, returnDocument: 'after' },
      );
      const entry = { saleId: record.saleId, seq: sale?.eventSeq ?? 0, changes: [changeOf(record)] };
      if (sale) await appendChanges(collections, [entry], record.settledAt, session);
      return true;
    },
    { patienceMs },
  );
}

/**
 * Rejects the unsettled purchases of some dead letters, the newest first. A job can also fail although its purchases were settled,
 * when its worker was too busy to complete it in Bull; such a dead letter is deleted.
 * @returns how many letters were looked at, and how many orders were created.
 */
export async function rejectDeadLetters(
  dependencies: SettlementDependencies,
  range: { start: number; limit: number },
): Promise<{ looked: number; rejected: number }> {
  const found = await dependencies.queue.listDeadLetters(range);
  if (found.length === 0) return { looked: 0, rejected: 0 };
  const letters = found.map(({ id, data }) => ({
    id,
    data,
    ids: purchasesIn(data).map(({ orderId }) => orderId),
  }));
  const all = letters.flatMap(({ ids }) => ids);
  const records = await dependencies.collections.orders
    .find({ _id: { $in: all } }, { projection: { reason: 1 } })
    .toArray();
  const reasons = new Map(records.map(({ _id, reason }) => [_id, reason]));

  let rejected = 0;
  for (const { id, data, ids } of letters) {
    const { purchases = [{}] } = (data ?? {}) as { purchases?: unknown[] };
    const isWhole = ids.length >= purchases.length;
    if (!ids.every((orderId) => reasons.has(orderId))) rejected += await rejectFailed(dependencies, data);
    else if (isWhole && ids.every((orderId) => reasons.get(orderId) !== 'failed'))
      await dependencies.queue.removeDeadLetter(id);
  }
  return { looked: found.length, rejected };
}
