import { hash } from 'node:crypto';
import { type Change, loggedOrderOf, type OrderChange } from '../log/schemas.ts';
import type { Collections, OrderRecord } from '../store/collections.ts';
import { afterCursor, parseCursor, type TimeCursor } from '../store/time-cursor.ts';
import type { Order, OrderLine, OrderPage, Purchase, PurchaseLine } from './contract.ts';
import { linesOf, linesWith } from './items.ts';

/**
 * The id of the order that a purchase becomes. It is a hash of the buyer, the sale and the Idempotency-Key, so a retried
 * request gets the same id on every instance, even after Redis lost its data. As the order's `_id` in MongoDB it prevents
 * a second order without another unique index. The sale is hashed too, so that the same key may be used for another sale.
 * @returns 22 characters of base64url: 132 bits of SHA-256.
 */
export function orderIdOf(buyerId: string, saleId: string, idempotencyKey: string): string {
  return hash('sha256', `${buyerId}\n${saleId}\n${idempotencyKey}`, 'base64url').slice(0, 22);
}

/** The id of an order that was made before the sale was hashed too. Such orders are kept. */
export function formerOrderIdOf(buyerId: string, idempotencyKey: string): string {
  return hash('sha256', `${buyerId}\n${idempotencyKey}`, 'base64url').slice(0, 22);
}

export function orderOf(record: OrderRecord): Order {
  return {
    id: record._id,
    saleId: record.saleId,
    quantity: record.quantity,
    lines: linesOfOrder(record),
    amount: record.amount ?? null,
    currency: record.currency ?? null,
    status: record.status,
    reason: record.reason,
    createdAt: record.createdAt.toISOString(),
    settledAt: record.settledAt.toISOString(),
    holdExpiresAt: record.holdExpiresAt?.toISOString() ?? null,
    ...(record.cancelledBy && { cancelledBy: record.cancelledBy }),
    ...(record.cancelledAt && { cancelledAt: record.cancelledAt.toISOString() }),
    ...(record.cancelReason && { cancelReason: record.cancelReason }),
    ...(record.refundedAmount && { refundedAmount: record.refundedAmount }),
  };
}

/** An order of an earlier version knows neither its lines nor its money until it is migrated. */
function linesOfOrder({
  lines,
  quantity,
  amount,
}: Pick<OrderRecord, 'lines' | 'quantity' | 'amount'>): OrderLine[] {
  return linesWith<Omit<OrderLine, keyof PurchaseLine>>(
    { quantity, lines },
    { label: '', amount: amount ?? null },
  );
}

/** The message that tells a buyer of an order. */
export function orderMessageOf(record: OrderRecord): { buyerId: string; order: Order } {
  return { buyerId: record.buyerId, order: orderOf(record) };
}

/**
 * The event log's entry for an order in its current status.
 * @param record with `refundAmount`, which is not stored, when it was refunded: what goes back at its end.
 */
export function changeOf(record: OrderRecord & { refundAmount?: number }): Change {
  const { status, reason, paymentId } = record;
  const order = orderChangeOf(record);
  if (status === 'rejected') {
    const left = record.left === undefined ? {} : { left: record.left };
    return { type: 'order.rejected', ...order, reason: reason ?? 'failed', ...left };
  }
  if (status === 'held') {
    const holdExpiresAt = record.holdExpiresAt?.toISOString() ?? record.settledAt.toISOString();
    return { type: 'order.held', ...order, holdExpiresAt };
  }
  if (status === 'expired') return { type: 'order.expired', ...order };
  const { cancelledBy, cancelReason, keptBack } = record;
  if (status === 'refunded') {
    const { refundAmount = 0 } = record;
    const why = cancelReason && { refundReason: cancelReason };
    return { type: 'order.refunded', ...order, refundAmount, isWhole: true, ...why };
  }
  if (status !== 'cancelled') return { type: 'order.paid', ...order, ...(paymentId && { paymentId }) };
  return {
    type: 'order.cancelled',
    ...order,
    ...(cancelledBy && { cancelledBy }),
    ...(cancelReason && { cancelReason }),
    ...(keptBack && { keptBack }),
    ...(isUnpaid(record) && { unpaid: true }),
  };
}

/** The entry for a change of the money that goes back of an order, which does not end it. */
export function refundChangeOf(before: OrderRecord, after: OrderRecord, refundReason: string | null): Change {
  const more = (after.refundedAmount ?? 0) - (before.refundedAmount ?? 0);
  const order = { ...orderChangeOf(after), refundAmount: Math.abs(more) };
  if (more < 0) return { type: 'order.refund_failed', ...order };
  return { type: 'order.refunded', ...order, ...(refundReason && { refundReason }) };
}

function orderChangeOf(order: OrderRecord): OrderChange {
  const { _id: orderId, traceparent } = order;
  return { orderId, ...loggedOrderOf(order), ...(traceparent && { traceparent }) };
}

/** Whether the order was held and no payment has paid it, whatever became of it. */
export const isUnpaid = ({ holdExpiresAt, paymentId }: Pick<OrderRecord, 'holdExpiresAt' | 'paymentId'>) =>
  Boolean(holdExpiresAt) && paymentId === undefined;

/** An admitted purchase, shown as an order with status `queued` until it is settled. */
export function queuedOrderOf(purchase: Purchase): Order {
  return {
    id: purchase.orderId,
    saleId: purchase.saleId,
    quantity: purchase.quantity,
    lines: linesOf(purchase).map((line) => ({ ...line, label: null, amount: null })),
    amount: null,
    currency: null,
    status: 'queued',
    reason: null,
    createdAt: purchase.createdAt,
    settledAt: null,
    holdExpiresAt: null,
  };
}

/** Rebuilds the purchase from its order; the trace context is not restored. */
export function purchaseOf({
  _id: orderId,
  saleId,
  buyerId,
  quantity,
  lines,
  personId,
  code,
  idempotencyKey,
  createdAt,
}: OrderRecord): Purchase {
  const what = {
    quantity,
    ...(lines && { lines: lines.map(({ itemId, quantity }) => ({ itemId, quantity })) }),
    ...(code && { code }),
  };
  const whose = { buyerId, ...(personId !== undefined && { personId }) };
  return { orderId, saleId, ...whose, ...what, idempotencyKey, createdAt: createdAt.toISOString() };
}

/** A settled order of this buyer; null when it does not exist or belongs to another buyer. */
export async function findOrder(
  { orders }: Collections,
  orderId: string,
  buyerId: string,
): Promise<Order | null> {
  const record = await orders.findOne({ _id: orderId, buyerId });
  return record && orderOf(record);
}

/** Purchases of one buyer that were queued when Redis was read. */
export interface QueuedPurchases {
  purchases: Purchase[];
  /** False when more purchases are queued than were looked at. */
  isComplete: boolean;
}

/**
 * A buyer's orders, newest first. `cursor` is the previous page's `nextCursor`.
 * @param queued must be read before MongoDB, so that a purchase settled in between is found among the orders.
 */
export async function listOrders(
  { orders }: Collections,
  { buyerId, cursor, limit }: { buyerId: string; cursor?: string | undefined; limit: number },
  queued: QueuedPurchases,
): Promise<OrderPage> {
  const place = cursor === undefined ? null : parseCursor(cursor);
  const waiting = await findWaiting(orders, queued.purchases);
  const records = await orders
    .find({ buyerId, ...afterCursor('createdAt', cursor) })
    .sort({ createdAt: -1, _id: -1 })
    .limit(limit + 1)
    .toArray();
  // A purchase that was settled between the two reads is in both lists.
  const settled = new Set(records.map(({ _id }) => _id));
  const ofPage = waiting.filter((order) => !settled.has(order.id) && (!place || isBehind(order, place)));
  const all = [...ofPage, ...records.map(orderOf)].sort(newestFirst);
  const page = all.slice(0, limit);
  const last = page.at(-1);
  return {
    orders: page,
    nextCursor: last && all.length > limit ? `${Date.parse(last.createdAt)}.${last.id}` : null,
    ...(!queued.isComplete && { queuedOmitted: true as const }),
  };
}

/** The queued purchases as orders, without those that have been settled since. */
async function findWaiting(orders: Collections['orders'], purchases: Purchase[]): Promise<Order[]> {
  if (purchases.length === 0) return [];
  const ids = purchases.map(({ orderId }) => orderId);
  const settled = await orders.find({ _id: { $in: ids } }, { projection: { _id: 1 } }).toArray();
  const ordered = new Set(settled.map(({ _id }) => _id));
  return purchases.filter(({ orderId }) => !ordered.has(orderId)).map(queuedOrderOf);
}

/** Sorts like the MongoDB query: by time, then by the bytes of the id. */
function newestFirst(one: Order, other: Order): number {
  const byTime = Date.parse(other.createdAt) - Date.parse(one.createdAt);
  return byTime || (one.id < other.id ? 1 : -1);
}

function isBehind({ createdAt, id }: Order, place: TimeCursor): boolean {
  const atMs = Date.parse(createdAt);
  return atMs < place.atMs || (atMs === place.atMs && id < place.id);
}
