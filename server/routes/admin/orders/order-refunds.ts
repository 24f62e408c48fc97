import { z } from 'zod';
import { orderDetails } from '../../../../insight/contract.ts';
import { readOrderDetails } from '../../../../insight/order-details.ts';
import { isTooLate } from '../../../../sale/settlement/cancellation.ts';
import { byId } from '../../../http/inputs.ts';
import { refuse } from '../../../http/problems.ts';
import { byOf, type Route, route } from '../../../http/route.ts';
import { traceparentOf } from '../../../http/trace-context.ts';
import { takesEffectSoon } from '../../../live/announcements.ts';
import type { Shop } from '../../../shop.ts';
import { notSettled } from '../../orders.ts';
import { cancellation, noOrder } from './order-cancellations.ts';

const refund = cancellation.pick({ reason: true }).extend({
  amount: z
    .int()
    .min(1)
    .max(Number.MAX_SAFE_INTEGER)
    .optional()
    .describe('In minor units; all that is left when it is absent'),
});

export const orderRefundRoutes = (shop: Shop): Route[] => [
  route({
    method: 'post',
    path: '/api/admin/orders/:id/refunds',
    access: 'desk',
    scope: 'refunds:write',
    summary:
      'Give money of a paid order back, all or a part of it, for a reason. With all of it the order ends as refunded, and its units leave the sale',
    params: byId,
    body: refund,
    takesIdempotencyKey: true,
    answer: [200, orderDetails],
    problems: ['not-found', 'not-settled', 'not-refundable', 'key-reused', 'busy'],
    /** The money goes back soon after the answer, and again and again while the provider refuses: see the order's payments. */
    async handle({ params: { id: orderId }, body: { amount, reason }, idempotencyKey: key, ...call }) {
      if (!shop.payments) return refuse('not-refundable', 'This shop takes no payments here');
      const refunded = await shop.payments.refund({ orderId, amount, reason, key }, byOf(call));
      if (refunded === null) return (await shop.gate.findPurchase(orderId)) ? notSettled() : noOrder(orderId);
      if (typeof refunded === 'object')
        return refuse(refunded.isKeyReused ? 'key-reused' : 'not-refundable', refunded.fault);
      let isAnnounced = true;
      if (refunded === 'whole') {
        const whole = { by: 'staff', staff: byOf(call), reason, restock: false, refund: { key } } as const;
        const traceparent = traceparentOf(call.request.header('traceparent'));
        const ended = await shop.cancel({ orderId, ...whole, traceparent });
        isAnnounced = ended.isAnnounced;
        if (ended.answer && !isTooLate(ended.answer) && ended.answer.status !== 'refunded')
          return refuse('not-refundable', `expected a paid order, this one is ${ended.answer.status}`);
      }
      const details = await readOrderDetails(shop.collections, shop.gate, orderId);
      if (!details) return noOrder(orderId);
      return { status: 200, body: details, ...(!isAnnounced && { headers: takesEffectSoon }) };
    },
  }),
];
