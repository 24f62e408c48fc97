import { nanoid } from 'nanoid';
import type { z } from 'zod';
import { mongoClock } from '../../runtime/clock.ts';
import type { Admission } from '../../sale/admission/admission.ts';
import type { Purchase, PurchaseReceipt } from '../../sale/contract.ts';
import { findOrder, orderIdOf } from '../../sale/order.ts';
import { HttpProblem } from '../http/problems.ts';
import { type Answer, type Call, parse } from '../http/route.ts';
import { traceparentOf } from '../http/trace-context.ts';
import type { Shop } from '../shop.ts';
import { type byId, idempotencyKey, type purchaseRequest } from './inputs.ts';

export async function buy(
  { admit, challenges, settledOrders, collections }: Shop,
  call: Call<z.infer<typeof byId>, unknown, z.infer<typeof purchaseRequest>>,
): Promise<Answer> {
  const { params, body, identity, header } = call;
  const receivedAtMs = performance.now();
  const { userId: buyerId = '', personId = buyerId } = identity ?? {};
  const key = parse(idempotencyKey, header('idempotency-key') ?? nanoid(), 'Idempotency-Key');
  await challenges.requireWork(`${buyerId}:${params.id}`, header('proof-of-work'), key);
  const purchase: Purchase = {
    orderId: orderIdOf(buyerId, params.id, key),
    saleId: params.id,
    buyerId,
    ...(personId !== buyerId && { personId }),
    quantity: body.quantity,
    idempotencyKey: key,
    createdAt: mongoClock.now().toISOString(),
    traceparent: traceparentOf(header('traceparent')),
  };
  const admission = await admit(purchase, header('x-request-id'));
  if (admission.outcome === 'known') requireSameQuantity(purchase, admission.purchase);
  else if (admission.outcome === 'admitted') settledOrders.noteQueued(purchase);
  else throw refusal(admission, purchase);

  const { orderId } = admission.outcome === 'known' ? admission.purchase : purchase;
  const headers = { Location: `/api/orders/${orderId}`, 'Idempotency-Key': key };
  // An accepted purchase is never answered with an error, not even without MongoDB.
  const find = () => findOrder(collections, orderId, buyerId).catch(() => null);
  const mayBeSettled = admission.outcome === 'known';
  const held = await settledOrders.hold(orderId, call, { receivedAtMs, find, mayBeSettled });
  if (held?.order) return { status: 200, body: held.order, headers: { ...headers, ...held.headers } };
  const receipt: PurchaseReceipt = { orderId, status: 'queued' };
  return { status: 202, body: receipt, headers: { ...headers, 'Retry-After': '1', ...held?.headers } };
}

function requireSameQuantity(asked: Purchase, known: Purchase): void {
  if (asked.quantity === known.quantity) return;
  throw new HttpProblem(
    'key-reused',
    `This key came with quantity ${known.quantity} before, now with ${asked.quantity}; expected the same, or a new key`,
  );
}

function refusal(
  admission: Exclude<Admission, { outcome: 'admitted' | 'known' }>,
  { saleId, quantity }: Purchase,
): HttpProblem {
  switch (admission.outcome) {
    case 'sold_out':
      return new HttpProblem('sold-out', `${quantity} asked for, ${admission.left} left`, {
        left: admission.left,
      });
    case 'not_open': {
      const opensAt = admission.opensAt.toISOString();
      return new HttpProblem('not-open', `It opens at ${opensAt}`, { opensAt });
    }
    case 'paused':
      return new HttpProblem('paused', 'It goes on when the shop resumes it');
    case 'ended':
      return new HttpProblem('ended', 'Nothing can be bought any more');
    case 'over_limit':
      return new HttpProblem('over-limit', `${quantity} more would be over what one buyer may have`);
    case 'unknown_sale':
      return new HttpProblem('not-found', `There is no sale ${saleId}`);
    case 'unconfirmed':
      return new HttpProblem(
        'unavailable',
        'It is not sure that it was accepted. Try again with the same key.',
      );
    case 'busy':
      return new HttpProblem('busy', 'Too many purchases wait to be settled. Try again with the same key.');
  }
}
