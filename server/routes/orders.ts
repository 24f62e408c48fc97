import { z } from 'zod';
import * as shapes from '../../sale/contract.ts';
import { findOrder, listOrders, queuedOrderOf } from '../../sale/order.ts';
import { isTooLate } from '../../sale/settlement/cancellation.ts';
import { requeueLost } from '../../sale/settlement/lost-purchases.ts';
import { byId, cursorLike, pageSize } from '../http/inputs.ts';
import { isRefusal, type Refusal, refuse } from '../http/problems.ts';
import { type Route, route } from '../http/route.ts';
import { traceparentOf } from '../http/trace-context.ts';
import { takesEffectSoon } from '../live/announcements.ts';
import type { Shop } from '../shop.ts';

export function orderRoutes(shop: Shop): Route[] {
  const { collections, gate } = shop;
  return [
    route({
      method: 'get',
      path: '/api/orders',
      access: 'buyer',
      summary: 'My orders, newest first',
      query: z.strictObject({ cursor: cursorLike(/^[0-9]{13}\.[A-Za-z0-9_-]{22}$/), limit: pageSize }),
      answer: [200, shapes.orderPage],
      async handle({ query, identity: { userId: buyerId } }) {
        // The queue is read first, so that a purchase that is settled meanwhile is found among the orders.
        const queued = await gate.listQueuedOf(buyerId);
        return { status: 200, body: await listOrders(collections, { buyerId, ...query }, queued) };
      },
    }),
    route({
      method: 'get',
      path: '/api/orders/:id',
      access: 'buyer',
      summary: 'My order',
      params: byId,
      answer: [200, shapes.order],
      problems: ['not-found'],
      afterWaiting: shapes.order,
      hot: true,
      async handle({ params, identity: { userId: buyerId }, request }) {
        const purchase = await shop.settledOrders.findQueued(params.id);
        const isQueuedOwn = purchase?.buyerId === buyerId;
        const order = isQueuedOwn ? queuedOrderOf(purchase) : await findOwnOrder(shop, params.id, buyerId);
        if (isRefusal(order)) return order;
        if (order.status !== 'queued') return { status: 200, body: order };
        const find = async () => {
          const found = await findOwnOrder(shop, params.id, buyerId);
          return isRefusal(found) ? null : found;
        };
        const held = await shop.settledOrders.waitFor(params.id, request, { find });
        return { status: 200, body: held?.order ?? order, ...(held && { headers: held.headers }) };
      },
    }),
    route({
      method: 'post',
      path: '/api/orders/:id/payment',
      access: 'buyer',
      summary: 'Pay an order that needs no payment, as before there were payment windows',
      params: byId,
      answer: [200, shapes.order],
      problems: ['not-found', 'not-settled', 'not-payable'],
      /** A sale without a payment window settles directly to `paid`, so paying again changes nothing. */
      async handle({ params, identity }) {
        const order = await findOwnOrder(shop, params.id, identity.userId);
        if (isRefusal(order)) return order;
        if (order.status === 'paid') return { status: 200, body: order };
        if (order.status === 'queued') return notSettled();
        if (order.status === 'held')
          return refuse('not-payable', `expected POST /api/orders/${order.id}/payments for a held order`);
        return refuse('not-payable', `expected a paid order, this one is ${order.status}`);
      },
    }),
    route({
      method: 'delete',
      path: '/api/orders/:id',
      access: 'buyer',
      summary: 'Cancel an order, which returns its units; until the sale’s `cancellableUntil`',
      params: byId,
      answer: [200, shapes.order],
      problems: ['not-found', 'not-settled', 'not-cancellable', 'busy'],
      hot: true,
      /** Cancelling twice is the same as once. */
      async handle({ params, identity: { userId: buyerId }, request }) {
        const traceparent = traceparentOf(request.header('traceparent'));
        const { answer, isAnnounced } = await shop.cancel({
          orderId: params.id,
          by: 'buyer',
          buyerId,
          traceparent,
        });
        if (isTooLate(answer)) return refuse('not-cancellable', tooLateText(answer.until));
        const order = answer ?? (await findOwnOrder(shop, params.id, buyerId));
        if (isRefusal(order)) return order;
        if (order.status === 'queued') return notSettled();
        if (order.status !== 'cancelled')
          return refuse('not-cancellable', `expected a held or paid order, this one is ${order.status}`);
        return {
          status: 200,
          body: order,
          ...(!isAnnounced && { headers: takesEffectSoon }),
        };
      },
    }),
  ];
}

/** Finds a settled order in MongoDB, or a purchase that is still queued in Redis. A lost purchase is queued again. */
export async function findOwnOrder(
  shop: Shop,
  orderId: string,
  buyerId: string,
): Promise<shapes.Order | Refusal> {
  const settled = await findOrder(shop.collections, orderId, buyerId);
  if (settled) return settled;
  const found = await shop.gate.findPurchase(orderId);
  if (found?.purchase.buyerId === buyerId) {
    if (found.isQueued || (await requeueLost(shop, found.shard, [orderId])).length > 0) {
      shop.settledOrders.addQueued(found.purchase);
      return queuedOrderOf(found.purchase);
    }
    // It was settled between the two reads.
    return (await findOrder(shop.collections, orderId, buyerId)) ?? queuedOrderOf(found.purchase);
  }
  return refuse('not-found', `You have no order ${orderId}`);
}

const tooLateText = (until: Date | null) =>
  until
    ? `Its buyer could cancel it until ${until.toISOString()}; ask the shop`
    : 'Only the shop cancels orders of this sale; ask there';

export function notSettled(): Refusal {
  return refuse('not-settled', 'Try again in a moment', {}, { 'Retry-After': '1' });
}
