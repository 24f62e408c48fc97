import type { z } from 'zod';
import type { Order } from '../sale/contract.ts';
import { findOrder, listOrders, queuedOrderOf } from '../sale/order.ts';
import type { byId, orderList } from './inputs.ts';
import { HttpProblem } from './problems.ts';
import type { Answer, Call } from './route.ts';
import type { Shop } from './shop.ts';
import { takesEffectSoon } from './telling.ts';
import { traceparentOf } from './trace-context.ts';

type ById = z.infer<typeof byId>;

export async function showOrder(shop: Shop, { params, identity }: Call<ById>): Promise<Answer> {
  return { status: 200, body: await requireOrder(shop, params.id, identity?.userId ?? '') };
}

export async function showOrders(
  { collections }: Shop,
  { query, identity }: Call<unknown, z.infer<typeof orderList>>,
): Promise<Answer> {
  const page = await listOrders(collections, { buyerId: identity?.userId ?? '', ...query });
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
  const { order, isTold } = found ?? { order: await requireOrder(shop, params.id, buyerId), isTold: true };
  if (order.status === 'queued') throw notSettled();
  if (order.status !== 'cancelled') {
    throw new HttpProblem('not-cancellable', `expected a paid order, this one is ${order.status}`);
  }
  return { status: 200, body: order, ...(!isTold && { headers: takesEffectSoon }) };
}

/** MongoDB has the settled orders; one that it does not know yet could be on its way there. */
async function requireOrder({ collections, gate }: Shop, orderId: string, buyerId: string): Promise<Order> {
  const settled = await findOrder(collections, orderId, buyerId);
  if (settled) return settled;
  const purchase = await gate.findPurchase(orderId);
  if (purchase?.buyerId === buyerId) return queuedOrderOf(purchase);
  throw new HttpProblem('not-found', `You have no order ${orderId}`);
}

function notSettled(): HttpProblem {
  return new HttpProblem('not-settled', 'Try again in a moment', {}, { 'Retry-After': '1' });
}
