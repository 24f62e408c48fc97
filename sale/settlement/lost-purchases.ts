import { trusted } from 'mongoose';
import { within } from '../../runtime/within.ts';
import type { Collections, OrderRecord } from '../../store/collections.ts';
import type { Gate } from '../admission/gate.ts';
import type { Purchase } from '../contract.ts';
import type { PurchaseQueue } from '../queue/queue.ts';

interface LostPurchaseShop {
  collections: Collections;
  gate: Gate;
  queue: PurchaseQueue;
}

const addMs = 3_000;

/**
 * Gives purchases a new job that are remembered, and neither queued nor orders, as Redis' torn file can leave them.
 * @returns the order ids that are lost no more.
 */
export async function requeueLost(
  { collections, gate, queue }: LostPurchaseShop,
  orderIds: string[],
): Promise<string[]> {
  // The queue first: what is taken off it has its order already.
  const unqueued = await gate.findUnqueued(orderIds);
  if (unqueued.length === 0) return [];
  const settled = await collections.orders
    .find({ _id: trusted({ $in: unqueued }) }, '_id')
    .lean<Pick<OrderRecord, '_id'>[]>();
  const ordered = new Set(settled.map(({ _id }) => _id));
  const lost = await gate.findPurchases(unqueued.filter((orderId) => !ordered.has(orderId)));
  // Queued first: one whose job is not added, the reconciler finds there.
  const purchases: Purchase[] = await gate.queueAgain([...lost.values()]);
  if (purchases.length > 0) {
    // The queue's own connection waits for Redis as long as it takes; whoever asks here does not.
    await within(addMs, queue.add([{ purchases }]), () => new Error('Command timed out: adding a job'));
  }
  return purchases.map(({ orderId }) => orderId);
}
