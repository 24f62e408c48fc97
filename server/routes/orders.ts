import type { z } from 'zod';
import type { Order } from '../../sale/contract.ts';
import { findOrder, listOrders, queuedOrderOf } from '../../sale/order.ts';
import { requeueLost } from '../../sale/settlement/lost-purchases.ts';
import { isRefusal, type Refusal, refuse } from '../http/problems.ts';
import type { Answer, Call } from '../http/route.ts';
import { traceparentOf } from '../http/trace-context.ts';
import { takesEffectSoon } from '../live/announcements.ts';
import type { Shop } from '../shop.ts';
import type { byId, orderList } from './inputs.ts';

type ById = z.infer<typeof byId>;

export async function showOrder(shop: Shop, { params, identity }: Call<ById>): Promise<Answer | Refusal> {
  const order = await findOwnOrder(shop, params.id, identity.userId);
  return isRefusal(order) ? order : { status: 200, body: order };
}

export async function showOrders(
  { collections, gate }: Shop,
  { query, identity }: Call<unknown, z.infer<typeof orderList>>,
): Promise<Answer> {
  const buyerId = identity.userId;
  // The queue first: what is taken off it meanwhile is found among the orders.
  const queued = await gate.listQueuedOf(buyerId);
  const page = await listOrders(collections, { buyerId, ...query }, queued);
  return { status: 200, body: page };
}

/** A sale without a payment window settles straight to `paid`: paying again changes nothing. */
export async function payOrder(shop: Shop, { params, identity }: Call<ById>): Promise<Answer | Refusal> {
  const order = await findOwnOrder(shop, params.id, identity.userId);
  if (isRefusal(order)) return order;
  if (order.status === 'paid') return { status: 200, body: order };
  if (order.status === 'queued') return notSettled();
  return refuse('not-payable', `expected a held or paid order, this one is ${order.status}`);
}

/** Returns the units to the sale. Cancelling twice is the same as once. */
export async function cancel(
  shop: Shop,
  { params, identity, request }: Call<ById>,
): Promise<Answer | Refusal> {
  const buyerId = identity.userId;
  const traceparent = traceparentOf(request.header('traceparent'));
  const found = await shop.cancel({ orderId: params.id, buyerId, traceparent });
  const order = found ? found.order : await findOwnOrder(shop, params.id, buyerId);
  if (isRefusal(order)) return order;
  if (order.status === 'queued') return notSettled();
  if (order.status !== 'cancelled') {
    return refuse('not-cancellable', `expected a paid order, this one is ${order.status}`);
  }
  return { status: 200, body: order, ...(found?.isAnnounced === false && { headers: takesEffectSoon }) };
}

/** MongoDB has the settled orders; one that it does not know yet could be on its way there. */
async function findOwnOrder(shop: Shop, orderId: string, buyerId: string): Promise<Order | Refusal> {
  const settled = await findOrder(shop.collections, orderId, buyerId);
  if (settled) return settled;
  const found = await shop.gate.findPurchase(orderId);
  if (found?.purchase.buyerId === buyerId) {
    if (found.isQueued || (await requeueLost(shop, [orderId])).length > 0)
      return queuedOrderOf(found.purchase);
    // It was settled between the two reads.
    return (await findOrder(shop.collections, orderId, buyerId)) ?? queuedOrderOf(found.purchase);
  }
  return refuse('not-found', `You have no order ${orderId}`);
}

function notSettled(): Refusal {
  return refuse('not-settled', 'Try again in a moment', {}, { 'Retry-After': '1' });
}
