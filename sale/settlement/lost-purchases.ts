import { withTimeout } from '../../runtime/with-timeout.ts';
import type { Collections } from '../../store/collections.ts';
import type { Gate } from '../admission/gate.ts';
import type { Purchase } from '../contract.ts';
import type { PurchaseQueue } from '../queue/queue.ts';
import type { Shard } from '../shard.ts';

interface RequeueDependencies {
  collections: Collections;
  gate: Gate;
  queue: PurchaseQueue;
}

const addDeadlineMs = 3_000;

/**
 * Adds a new job for purchases that Redis stores but that are neither queued nor settled, which happens when Redis
 * lost the end of its append-only file.
 * @param shard which stores them.
 * @returns the order ids of the purchases that were queued again.
 */
export async function requeueLost(
  { collections, gate, queue }: RequeueDependencies,
  shard: Shard,
  orderIds: string[],
): Promise<string[]> {
  // The queue is read before MongoDB, because a purchase leaves the queue only after its order exists.
  const unqueued = await gate.findUnqueued(shard, orderIds);
  if (unqueued.length === 0) return [];
  // At local, because just after a failover the majority may not have all yet that was settled, and units would be taken twice.
  const settled = await collections.orders
    .find({ _id: { $in: unqueued } }, { projection: { _id: 1 }, readConcern: { level: 'local' } })
    .toArray();
  const ordered = new Set(settled.map(({ _id }) => _id));
  const unordered = unqueued.filter((orderId) => !ordered.has(orderId));
  const lost = await gate.findPurchases(shard, unordered);
  // Listed as queued before the job is added, so that the reconciler finds a purchase whose job was not added.
  const purchases: Purchase[] = await gate.queueAgain(shard, [...lost.values()]);
  if (purchases.length > 0) {
    // The queue's connection waits for Redis without a limit, but a buyer is waiting for this answer.
    await withTimeout(
      queue.add([{ purchases }]),
      addDeadlineMs,
      () => new Error('Command timed out: adding a job'),
    );
  }
  return purchases.map(({ orderId }) => orderId);
}
