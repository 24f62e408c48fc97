import { z } from 'zod';
import {
  type CancellationAnswers,
  type CancelOutcome,
  cancellationAnswers,
} from '../../../../insight/contract.ts';
import { type Order, order } from '../../../../sale/contract.ts';
import { madeElsewhere, orderNotHeld } from '../../../../sale/payment/payment.ts';
import { isTooLate } from '../../../../sale/settlement/cancellation.ts';
import { byId, id, name } from '../../../http/inputs.ts';
import { type Refusal, refusalOf, refuse } from '../../../http/problems.ts';
import { byOf, type Route, route } from '../../../http/route.ts';
import { traceparentOf } from '../../../http/trace-context.ts';
import { takesEffectSoon } from '../../../live/announcements.ts';
import type { Shop } from '../../../shop.ts';
import { notSettled } from '../../orders.ts';

/** So many fit into a body. */
export const cancelledAtOnce = 500;

/** Reasons that the shop gives itself: pages and mails have texts for them, and retries of refunds depend on them. */
const ownReasons: readonly string[] = ['called_off', 'payment_lost', madeElsewhere, orderNotHeld];

/** Why staff cancels orders, which their buyers are told, and whether the units go back on sale or leave the sale. */
export const cancellation = z.strictObject({
  reason: name(300)
    .refine(
      (reason) => !ownReasons.includes(reason),
      'expected words for the buyer, got a word that the shop uses itself',
    )
    .describe('The buyer is told it'),
  restock: z
    .boolean()
    .default(true)
    .describe('false: the units leave the sale instead of going back on sale'),
});

export const orderCancellationRoutes = (shop: Shop): Route[] => [
  route({
    method: 'post',
    path: '/api/admin/orders/:id/cancellation',
    access: 'desk',
    scope: 'orders:write',
    summary: 'Cancel an order for a reason; cancelling twice is the same as once',
    params: byId,
    body: cancellation,
    answer: [200, order],
    problems: ['not-found', 'not-settled', 'not-cancellable', 'busy'],
    async handle({ params, body, ...call }) {
      const { outcome, order, isAnnounced } = await cancelAsStaff(shop, params.id, body, call);
      switch (outcome) {
        case 'not_found':
          return noOrder(params.id);
        case 'not_settled':
          return notSettled();
        case 'not_cancellable':
          return refuse('not-cancellable', `expected a held or paid order, this one is ${order?.status}`);
        default:
          return { status: 200, body: order, ...(!isAnnounced && { headers: takesEffectSoon }) };
      }
    },
  }),
  route({
    method: 'post',
    path: '/api/admin/cancellations',
    access: 'desk',
    scope: 'orders:write',
    summary:
      'Cancel many orders for one reason; each has an answer of its own, and the whole may be repeated',
    body: cancellation.extend({ orderIds: z.array(id).min(1).max(cancelledAtOnce) }),
    answer: [200, cancellationAnswers],
    async handle({ body: { orderIds, ...why }, ...call }) {
      return { status: 200, body: await cancelMany(shop, orderIds, why, call) };
    },
  }),
];

type StaffCall = Parameters<typeof byOf>[0];

/** Cancels at most 500 orders; those that arrive together share one transaction. */
export async function cancelMany(
  shop: Shop,
  orderIds: string[],
  why: z.infer<typeof cancellation>,
  call: StaffCall,
): Promise<CancellationAnswers> {
  const orders = await Promise.all(
    orderIds.map(async (orderId) => {
      const { outcome } = await cancelAsStaff(shop, orderId, why, call).catch(outcomeOfFault);
      return { orderId, outcome };
    }),
  );
  return { orders };
}

/** A passing fault ends as `busy`, so that the other orders still get their answers. */
function outcomeOfFault(error: unknown): { outcome: CancelOutcome } {
  if (refusalOf(error).problem.status !== 503) throw error;
  return { outcome: 'busy' };
}

async function cancelAsStaff(
  shop: Shop,
  orderId: string,
  why: z.infer<typeof cancellation>,
  call: StaffCall,
): Promise<{ outcome: CancelOutcome; order?: Order; isAnnounced?: boolean }> {
  const traceparent = traceparentOf(call.request.header('traceparent'));
  const { answer, isAnnounced } = await shop.cancel({
    orderId,
    by: 'staff',
    staff: byOf(call),
    ...why,
    traceparent,
  });
  if (!answer || isTooLate(answer)) {
    const isQueued = (await shop.gate.findPurchase(orderId)) !== null;
    return { outcome: isQueued ? 'not_settled' : 'not_found' };
  }
  const outcome = answer.status === 'cancelled' ? 'cancelled' : 'not_cancellable';
  return { outcome, order: answer, isAnnounced };
}

export function noOrder(orderId: string): Refusal {
  return refuse('not-found', `There is no order ${orderId}`);
}
