import { nanoid } from 'nanoid';
import { z } from 'zod';
import { mongoClock } from '../../runtime/clock.ts';
import type { Admission } from '../../sale/admission/admission.ts';
import { order, type Purchase, type PurchaseReceipt, purchaseReceipt } from '../../sale/contract.ts';
import { findOrder, orderIdOf } from '../../sale/order.ts';
import { byId, units } from '../http/inputs.ts';
import { type Refusal, refuse } from '../http/problems.ts';
import { type Route, route } from '../http/route.ts';
import { traceparentOf } from '../http/trace-context.ts';
import type { Shop } from '../shop.ts';
import { noSale } from './sales.ts';

export const purchaseRequest = z.strictObject({ quantity: units });

export function purchaseRoutes({ admit, challenges, settledOrders, collections }: Shop): Route[] {
  return [
    route({
      method: 'post',
      path: '/api/sales/:id/purchases',
      access: 'buyer',
      summary: 'Buy',
      params: byId,
      body: purchaseRequest,
      takesIdempotencyKey: true,
      takesProofOfWork: true,
      answer: [202, purchaseReceipt],
      headers: ['Location', 'Retry-After', 'Idempotency-Key'],
      afterWaiting: order,
      problems: [
        'not-found',
        'sold-out',
        'not-open',
        'paused',
        'ended',
        'over-limit',
        'key-reused',
        'busy',
        'work-required',
      ],
      limit: 'purchases',
      hot: true,
      async handle({ params, body, identity, idempotencyKey = nanoid(), request }) {
        const { userId: buyerId, personId } = identity;
        const subject = `${buyerId}:${params.id}`;
        const challenge = await challenges.requireWork(
          subject,
          request.header('proof-of-work'),
          idempotencyKey,
        );
        if (challenge) return challenge;
        const purchase: Purchase = {
          orderId: orderIdOf(buyerId, params.id, idempotencyKey),
          saleId: params.id,
          buyerId,
          ...(personId !== buyerId && { personId }),
          quantity: body.quantity,
          idempotencyKey,
          createdAt: mongoClock.now().toISOString(),
          traceparent: traceparentOf(request.header('traceparent')),
        };
        const admission = await admit(purchase, request.header('x-request-id'));
        if (admission.outcome === 'known') {
          if (admission.purchase.quantity !== purchase.quantity)
            return keyReused(purchase, admission.purchase);
        } else if (admission.outcome === 'admitted') {
          settledOrders.addQueued(purchase);
        } else return refusal(admission, purchase);

        const { orderId } = admission.outcome === 'known' ? admission.purchase : purchase;
        const headers = { Location: `/api/orders/${orderId}`, 'Idempotency-Key': idempotencyKey };
        const find = () => findOrder(collections, orderId, buyerId);
        const mayBeSettled = admission.outcome === 'known';
        const held = await settledOrders.waitFor(orderId, request, { find, mayBeSettled });
        if (held?.order) return { status: 200, body: held.order, headers: { ...headers, ...held.headers } };
        const receipt: PurchaseReceipt = { orderId, status: 'queued' };
        return {
          status: 202,
          body: receipt,
          headers: { ...headers, 'Retry-After': '1', ...held?.headers },
        };
      },
    }),
  ];
}

function keyReused(asked: Purchase, known: Purchase): Refusal {
  return refuse(
    'key-reused',
    `This key came with quantity ${known.quantity} before, now with ${asked.quantity}; expected the same, or a new key`,
  );
}

function refusal(
  admission: Exclude<Admission, { outcome: 'admitted' | 'known' }>,
  { saleId, quantity }: Purchase,
): Refusal {
  switch (admission.outcome) {
    case 'sold_out':
      return refuse('sold-out', `${quantity} asked for, ${admission.left} left`, { left: admission.left });
    case 'not_open': {
      const opensAt = admission.opensAt.toISOString();
      return refuse('not-open', `It opens at ${opensAt}`, { opensAt });
    }
    case 'paused':
      return refuse('paused', 'It goes on when the shop resumes it');
    case 'ended':
      return refuse('ended', 'Nothing can be bought any more');
    case 'over_limit':
      return refuse('over-limit', `${quantity} more would be over what one buyer may have`);
    case 'unknown_sale':
      return noSale(saleId);
    case 'unconfirmed':
      return refuse('unavailable', 'It is not sure that it was accepted. Try again with the same key.');
    case 'busy':
      return refuse('busy', 'Too many purchases wait to be settled. Try again with the same key.');
  }
}
