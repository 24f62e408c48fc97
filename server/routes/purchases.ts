import { nanoid } from 'nanoid';
import type { z } from 'zod';
import { mongoClock } from '../../runtime/clock.ts';
import type { Admission } from '../../sale/admission/admission.ts';
import type { Purchase, PurchaseReceipt } from '../../sale/contract.ts';
import { orderIdOf } from '../../sale/order.ts';
import { parse } from '../http/pipeline.ts';
import { isRefusal, type Refusal, refuse } from '../http/problems.ts';
import type { Answer, Call } from '../http/route.ts';
import { traceparentOf } from '../http/trace-context.ts';
import type { Shop } from '../shop.ts';
import { type byId, idempotencyKey, type purchaseRequest } from './inputs.ts';

export async function buy(
  { admit, challenges, onAccepted }: Shop,
  { params, body, identity, request }: Call<z.infer<typeof byId>, unknown, z.infer<typeof purchaseRequest>>,
): Promise<Answer | Refusal> {
  const { userId: buyerId, personId } = identity;
  const key = parse(idempotencyKey, request.header('idempotency-key') ?? nanoid(), 'Idempotency-Key');
  if (isRefusal(key)) return key;
  const subject = `${buyerId}:${params.id}`;
  const unpaid = await challenges.requireWork(subject, request.header('proof-of-work'), key);
  if (unpaid) return unpaid;
  const purchase: Purchase = {
    orderId: orderIdOf(buyerId, params.id, key),
    saleId: params.id,
    buyerId,
    ...(personId !== buyerId && { personId }),
    quantity: body.quantity,
    idempotencyKey: key,
    createdAt: mongoClock.now().toISOString(),
    traceparent: traceparentOf(request.header('traceparent')),
  };
  const admission = await admit(purchase);
  if (admission.outcome === 'known') {
    if (admission.purchase.quantity !== purchase.quantity) return keyReused(purchase, admission.purchase);
  } else if (admission.outcome === 'admitted') {
    onAccepted(purchase, request.header('x-request-id') ?? '');
  } else return refusal(admission, purchase);

  const { orderId } = admission.outcome === 'known' ? admission.purchase : purchase;
  const receipt: PurchaseReceipt = { orderId, status: 'queued' };
  return {
    status: 202,
    body: receipt,
    headers: { Location: `/api/orders/${orderId}`, 'Retry-After': '1', 'Idempotency-Key': key },
  };
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
      return refuse('sold-out', `${quantity} asked for, ${admission.left} left`, {
        left: admission.left,
      });
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
      return refuse('not-found', `There is no sale ${saleId}`);
    case 'unconfirmed':
      return refuse('unavailable', 'It is not sure that it was accepted. Try again with the same key.');
    case 'busy':
      return refuse('busy', 'Too many purchases wait to be settled. Try again with the same key.');
  }
}
