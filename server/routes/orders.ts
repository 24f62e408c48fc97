import type { z } from 'zod';
import type { Order } from '../../sale/contract.ts';
import { findOrder, listOrders, queuedOrderOf } from '../../sale/order.ts';
import { requeueLost } from '../../sale/settlement/lost-purchases.ts';
import { HttpProblem } from '../http/problems.ts';
import type { Answer, Call } from '../http/route.ts';
import { traceparentOf } from '../http/trace-context.ts';
import { takesEffectSoon } from '../live/announcements.ts';
import type { Shop } from '../shop.ts';
import type { byId, orderList } from './inputs.ts';

type ById = z.infer<typeof byId>;

export async function showOrder(shop: Shop, call: Call<ById>): Promise<Answer> {
  const { params, identity } = call;
  const buyerId = identity?.userId ?? '';
  const receivedAtMs = performance.now();
  const purchase = await shop.settledOrders.findQueued(params.id);
  const isQueuedOwn = purchase?.buyerId === buyerId;
  const order = isQueuedOwn ? queuedOrderOf(purchase) : await requireOrder(shop, params.id, buyerId);
  if (order.status !== 'queued') return { status: 200, body: order };
  const find = () => requireOrder(shop, params.id, buyerId);
  const held = await shop.settledOrders.hold(params.id, call, { receivedAtMs, find });
  return { status: 200, body: held?.order ?? order, ...(held && { headers: held.headers }) };
}

export async function showOrders(
  { collections, gate }: Shop,
  { query, identity }: Call<unknown, z.infer<typeof orderList>>,
): Promise<Answer> {
  const buyerId = identity?.userId ?? '';
  // The queue first: what is taken off it meanwhile is found among the orders.
  const queued = await gate.listQueuedOf(buyerId);
  const page = await listOrders(collections, { buyerId, ...query }, queued);
  return { status: 200, body: page };
}

/** A sale without a payment window settles straight to `paid`: paying again changes nothing. */
export async function payOrder(shop: Shop, { params, identity }: Call<ById>): Promise<Answer> {
  const order = await requireOrder(shop, params.id, identity?.userId ?? '');
  if (order.status === 'paid') return { status: 200, body: order };
  if (order.status === 'queued') throw notSettled();
  throw new HttpProblem('not-payable', `expected a held or paid order, this one is ${order.status}`);
}

/** Returns the units to the sale. Cancelling twice is the same as once. */
export async function cancel(shop: Shop, { params, identity, header }: Call<ById>): Promise<Answer> {
  const buyerId = identity?.userId ?? '';
  const traceparent = traceparentOf(header('traceparent'));
  const found = await shop.cancel({ orderId: params.id, buyerId, traceparent });
  const { order, isAnnounced } = found ?? {
    order: await requireOrder(shop, params.id, buyerId),
    isAnnounced: true,
  };
  if (order.status === 'queued') throw notSettled();
  if (order.status !== 'cancelled') {
    throw new HttpProblem('not-cancellable', `expected a paid order, this one is ${order.status}`);
  }
  return { status: 200, body: order, ...(!isAnnounced && { headers: takesEffectSoon }) };
}

/** MongoDB has the settled orders; one that it does not know yet could be on its way there. */
async function requireOrder(shop: Shop, orderId: string, buyerId: string): Promise<Order> {
  const settled = await findOrder(shop.collections, orderId, buyerId);
  if (settled) return settled;
  const found = await shop.gate.findPurchase(orderId);
  if (found?.purchase.buyerId === buyerId) {
    if (found.isQueued || (await requeueLost(shop, [orderId])).length > 0) {
      shop.settledOrders.noteQueued(found.purchase);
      return queuedOrderOf(found.purchase);
    }
    // It was settled between the two reads.
    return (await findOrder(shop.collections, orderId, buyerId)) ?? queuedOrderOf(found.purchase);
  }
  throw new HttpProblem('not-found', `You have no order ${orderId}`);
}

function notSettled(): HttpProblem {
  return new HttpProblem('not-settled', 'Try again in a moment', {}, { 'Retry-After': '1' });
}
