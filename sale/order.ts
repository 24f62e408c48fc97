import { hash } from 'node:crypto';
import type { Collections, OrderRecord } from './collections.ts';
import type { Change, Order, OrderPage, Purchase } from './contract.ts';
import { behind, pageOf } from './page.ts';

/**
 * The id of the order that a purchase becomes. It is derived from the buyer and the Idempotency-Key, so the same
 * press of Buy has the same id on every instance, after every resend, and even after Redis lost everything: as the
 * order's `_id` in MongoDB it makes a second order impossible without a second unique index.
 * @returns 22 characters of base64url: 132 bits of SHA-256.
 */
export function orderIdOf(buyerId: string, idempotencyKey: string): string {
  return hash('sha256', `${buyerId}\n${idempotencyKey}`, 'base64url').slice(0, 22);
}

export function orderOf(record: OrderRecord): Order {
  return {
    id: record._id,
    saleId: record.saleId,
    quantity: record.quantity,
    status: record.status,
    reason: record.reason,
    createdAt: record.createdAt.toISOString(),
    settledAt: record.settledAt.toISOString(),
    holdExpiresAt: null,
  };
}

/** An order as its buyer is told of it. */
export function newsOf(record: OrderRecord): { buyerId: string; order: Order } {
  return { buyerId: record.buyerId, order: orderOf(record) };
}

/** What the event log says of an order that has come to this. */
export function changeOf(record: OrderRecord): Change {
  const { _id, buyerId, personId, quantity, status, reason, traceparent } = record;
  const order = {
    orderId: _id,
    buyerId,
    ...(personId && { personId }),
    quantity,
    ...(traceparent && { traceparent }),
  };
  if (status === 'rejected') return { type: 'order.rejected', ...order, reason: reason ?? 'failed' };
  return { type: status === 'cancelled' ? 'order.cancelled' : 'order.paid', ...order };
}

/** The order that an admitted purchase is until it settles. */
export function queuedOrderOf(purchase: Purchase): Order {
  return {
    id: purchase.orderId,
    saleId: purchase.saleId,
    quantity: purchase.quantity,
    status: 'queued',
    reason: null,
    createdAt: purchase.createdAt,
    settledAt: null,
    holdExpiresAt: null,
  };
}

/** A settled order of this buyer; null when there is none, or it is another buyer's. */
export async function findOrder(
  { orders }: Collections,
  orderId: string,
  buyerId: string,
): Promise<Order | null> {
  const record = await orders.findOne({ _id: orderId, buyerId }).lean<OrderRecord>();
  return record && orderOf(record);
}

/** A buyer's settled orders, newest first. `cursor` is what the page before gave as `nextCursor`. */
export async function listOrders(
  { orders }: Collections,
  { buyerId, cursor, limit }: { buyerId: string; cursor?: string | undefined; limit: number },
): Promise<OrderPage> {
  const found = await orders
    .find({ buyerId, ...behind('createdAt', cursor) })
    .sort({ createdAt: -1, _id: -1 })
    .limit(limit + 1)
    .lean<OrderRecord[]>();
  const { page, nextCursor } = pageOf(found, 'createdAt', limit);
  return { orders: page.map(orderOf), nextCursor };
}
