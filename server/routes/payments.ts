import { z } from 'zod';
import { count, orderPayment, paymentStart, paymentState } from '../../sale/contract.ts';
import { listPayments } from '../../sale/payment/buyers-view.ts';
import type { NotPayable } from '../../sale/payment/payments.ts';
import { providerNames } from '../../sale/payment/provider.ts';
import { simulatedCards } from '../../sale/payment/simulated.ts';
import { byId } from '../http/inputs.ts';
import { isRefusal, type Refusal, refuse } from '../http/problems.ts';
import { byOf, type Route, route } from '../http/route.ts';
import type { Shop } from '../shop.ts';
import { price } from './admin/sales/sale-input.ts';
import { findOwnOrder, notSettled } from './orders.ts';

/** Four times the largest events of Stripe; nginx accepts as much. */
const webhookMaxBytes = 65_536;

const confirmation = z.strictObject({
  clientSecret: z.string().min(1).max(100),
  card: z.enum(simulatedCards),
  fingerprint: z
    .string()
    .regex(/^\w{1,64}$/)
    .optional()
    .describe('Cards with the same one are the same card to the order desk'),
});

const externalPayment = z.strictObject({
  /** The checkout's own id of the payment. */
  reference: z
    .string()
    .regex(/^[\x21-\x7e]{1,200}$/, 'expected 1 to 200 printable ASCII characters without spaces'),
  ...price.shape,
});
const externalRefund = externalPayment.pick({ reference: true }).extend({
  refundedAmount: z
    .int()
    .min(1)
    .max(Number.MAX_SAFE_INTEGER)
    .optional()
    .describe(
      'What was given back of this payment so far, in minor units, as `order.refunded` has it: the oldest pending refunds that it covers are done. Required when several are pending',
    ),
});
const externalOutcome = z.object({ paymentId: z.string(), state: paymentState });

export function paymentRoutes(shop: Shop): Route[] {
  return [
    route({
      method: 'post',
      path: '/api/orders/:id/payments',
      access: 'buyer',
      summary: 'Start to pay a held order, or go on with it: again it is the same payment',
      params: byId,
      answer: [200, paymentStart],
      problems: ['not-found', 'not-settled', 'not-payable', 'busy'],
      async handle({ params, identity: { userId: buyerId } }) {
        if (!shop.payments) return refuse('not-payable', 'This shop takes no payments here');
        const started = await shop.payments.start({ orderId: params.id, buyerId });
        if (started === null) {
          const order = await findOwnOrder(shop, params.id, buyerId);
          return isRefusal(order) ? order : notSettled();
        }
        if (!('paymentId' in started)) return notPayable(started);
        const { handover, ...rest } = started;
        const { clientSecret = null, redirectUrl = null } = handover ?? {};
        const publishableKey = started.provider === 'stripe' ? shop.stripePublishableKey : null;
        return { status: 200, body: { ...rest, clientSecret, redirectUrl, publishableKey } };
      },
    }),
    route({
      method: 'get',
      path: '/api/orders/:id/payments',
      access: 'buyer',
      summary: 'What became of the attempts to pay my order, the newest first',
      params: byId,
      answer: [200, z.object({ payments: z.array(orderPayment).describe('At most 20') })],
      problems: ['not-found'],
      async handle({ params, identity: { userId: buyerId } }) {
        const order = await findOwnOrder(shop, params.id, buyerId);
        if (isRefusal(order)) return order;
        return { status: 200, body: { payments: await listPayments(shop.collections, order.id) } };
      },
    }),
    route({
      method: 'post',
      path: '/api/orders/:id/external-payments',
      access: 'admin',
      scope: 'payments:write',
      summary: "For the shop's own checkout: this held order was paid there",
      params: byId,
      body: externalPayment,
      answer: [200, externalOutcome],
      problems: ['not-found', 'not-payable', 'busy'],
      /** Again with the same reference it gets the same answer; the checkout gives back what does not pay the order. */
      async handle({ params, body: { reference, ...price }, ...call }) {
        if (shop.payments?.provider !== 'external') return notExternal();
        const paid = await shop.payments.payExternally({ orderId: params.id, reference, price }, byOf(call));
        if (paid === null) return refuse('not-found', `There is no settled order ${params.id}`);
        if (!('_id' in paid)) return notPayable(paid);
        const { _id: paymentId, state } = paid;
        return { status: 200, body: { paymentId, state } };
      },
    }),
    route({
      method: 'post',
      path: '/api/orders/:id/external-refunds',
      access: 'admin',
      scope: 'payments:write',
      summary: "For the shop's own checkout: what had to go back of this payment was given back there",
      params: byId,
      body: externalRefund,
      answer: [200, z.object({ refundedAmount: count })],
      problems: ['not-found', 'not-payable', 'not-refundable', 'busy'],
      async handle({ params, body: { reference, refundedAmount: given }, ...call }) {
        if (shop.payments?.provider !== 'external') return notExternal();
        const refundedAmount = await shop.payments.giveBackExternally(
          { orderId: params.id, reference, refundedAmount: given },
          byOf(call),
        );
        if (refundedAmount === null)
          return refuse('not-found', `The order ${params.id} has no payment with this reference`);
        if (typeof refundedAmount === 'object') return refuse('not-refundable', refundedAmount.fault);
        return { status: 200, body: { refundedAmount } };
      },
    }),
    route({
      method: 'post',
      path: '/api/payments/:provider/webhooks',
      access: 'anyone',
      summary: 'For the payment provider: what happened to a payment, signed',
      params: z.strictObject({ provider: z.enum(providerNames) }),
      file: { type: 'application/json', maxBytes: webhookMaxBytes },
      answer: [200, z.object({ received: z.literal(true) })],
      problems: ['invalid-input', 'not-found', 'body-too-large', 'unsupported-media-type', 'busy'],
      /** Webhooks of payments that are not ours are accepted too, as otherwise the provider would repeat them for days. */
      async handle({ params, body, request }) {
        if (shop.payments?.provider !== params.provider)
          return refuse('not-found', `Payments are not taken by ${params.provider} here`);
        const outcome = await shop.payments.receive(body as Buffer, (name) => request.header(name));
        if (outcome === 'forged') return refuse('invalid-input', 'The signature is wrong, or too old');
        return { status: 200, body: { received: true } };
      },
    }),
    route({
      method: 'post',
      path: '/api/payments/simulated/confirmations',
      access: 'anyone',
      summary: 'Pay with a test card, in a shop whose provider is the simulated one',
      body: confirmation,
      answer: [200, z.object({ stage: z.string(), failure: z.string().nullable() })],
      problems: ['not-found'],
      async handle({ body }) {
        const report = await shop.simulatedPayments?.confirm(body.clientSecret, body.card, body.fingerprint);
        if (!report) return refuse('not-found', 'There is no simulated payment with this secret');
        return { status: 200, body: { stage: report.stage, failure: report.failure } };
      },
    }),
  ];
}

const notExternal = () => refuse('not-payable', "Payments are not taken by the shop's own checkout here");

function notPayable({ status, fault }: NotPayable): Refusal {
  return refuse('not-payable', fault ?? `expected a held order, this one is ${status}`);
}
