import type Stripe from 'stripe';
import { mongoClock } from '../../runtime/clock.ts';
import {
  type FaultKind,
  PaymentFault,
  type PaymentProvider,
  type PaymentReport,
  type PaymentStage,
  type RefundReport,
  type RefundStage,
  type WebhookMessage,
} from './provider.ts';
import { amountOfStripe, stripeAmountOf } from './stripe-amounts.ts';

export interface StripeOptions {
  secretKey: string;
  /** Those of the webhook endpoint; two while one replaces the other. */
  webhookSecrets: readonly string[];
  /** Another server that speaks Stripe's API, for tests. */
  apiUrl?: string | undefined;
}

/** The version whose shapes this file reads; another one comes with another version of the package. */
const apiVersion = '2026-10-28.endive';
/** One attempt and one repetition end within `providerTimeoutMs`. */
const attemptTimeoutMs = 3_500;
const maxRepetitions = 1;
/** How old a webhook's signature may be. Stripe signs again whenever it sends one again. */
const toleranceSeconds = 300;

/**
 * Payments by Stripe: a PaymentIntent with manual capture for each payment. The buyer gives the card to Stripe's own form;
 * our servers see the intent's state alone. The package is loaded only here, so that other shops do not pay for it.
 */
export async function openStripe({
  secretKey,
  webhookSecrets,
  apiUrl,
}: StripeOptions): Promise<PaymentProvider> {
  const { Stripe } = await import('stripe');
  const stripe = new Stripe(secretKey, {
    apiVersion,
    timeout: attemptTimeoutMs,
    maxNetworkRetries: maxRepetitions,
    telemetry: false,
    ...(apiUrl && addressOf(apiUrl)),
  });

  /** @throws PaymentFault */
  async function ask<Value>(request: Promise<Value>): Promise<Value> {
    try {
      return await request;
    } catch (error) {
      throw error instanceof Stripe.errors.StripeError
        ? new PaymentFault(faultKindOf(error), `Stripe: ${error.code ?? error.type}: ${error.message}`)
        : error;
    }
  }

  /** @returns null when no secret fits, or the signature is too old. */
  function verify(rawBody: Buffer, signature: string): Stripe.Event | null {
    for (const secret of webhookSecrets) {
      try {
        const nowMs = mongoClock.now().getTime();
        return stripe.webhooks.constructEvent(rawBody, signature, secret, toleranceSeconds, undefined, nowMs);
      } catch (error) {
        const isForged = error instanceof Stripe.errors.StripeSignatureVerificationError;
        // A signed body that is no JSON is none of Stripe's either.
        if (!isForged && !(error instanceof SyntaxError)) throw error;
      }
    }
    return null;
  }

  return {
    name: 'stripe',

    faultOf(price) {
      const amount = stripeAmountOf(price);
      return typeof amount === 'string' ? amount : null;
    },

    async start({ paymentId, orderId, price, attempts }) {
      const amount = stripeAmountOf(price);
      if (typeof amount === 'string') throw new PaymentFault('refused', amount);
      const intent = await ask(
        stripe.paymentIntents.create(
          {
            amount,
            currency: price.currency.toLowerCase(),
            capture_method: 'manual',
            automatic_payment_methods: { enabled: true },
            metadata: { payment: paymentId, order: orderId },
          },
          { idempotencyKey: `payment-${paymentId}-${attempts}` },
        ),
      );
      return reportOf(intent);
    },

    async read({ providerId }) {
      const intent = await ask(stripe.paymentIntents.retrieve(providerId, { expand: ['latest_charge'] }));
      const report = reportOf(intent);
      if (report.stage !== 'captured') return report;
      const { data } = await ask(stripe.refunds.list({ payment_intent: providerId, limit: 100 }));
      return { ...report, refunds: data.map(refundOf) };
    },

    async capture({ paymentId, providerId, attempts }) {
      const options = { idempotencyKey: `capture-${paymentId}-${attempts}` };
      const wanted = { expand: ['latest_charge'] };
      return reportOf(await ask(stripe.paymentIntents.capture(providerId, wanted, options)));
    },

    async void({ paymentId, providerId, attempts }) {
      const options = { idempotencyKey: `void-${paymentId}-${attempts}` };
      return reportOf(await ask(stripe.paymentIntents.cancel(providerId, {}, options)));
    },

    async refund({ paymentId, providerId, price }, { refundId, amount, refusals }) {
      const theirs = stripeAmountOf({ ...price, amount });
      if (typeof theirs === 'string') throw new PaymentFault('refused', theirs);
      const refund = await ask(
        stripe.refunds.create(
          {
            payment_intent: providerId,
            amount: theirs,
            metadata: { payment: paymentId, refund: refundId },
          },
          { idempotencyKey: `refund-${refundId}-${refusals}` },
        ),
      );
      return { ...refundOf(refund), refundId };
    },

    async *listSince(since) {
      const created = { gte: Math.floor(since.getTime() / 1_000) };
      const list = stripe.paymentIntents.list({ created, limit: 100, expand: ['data.latest_charge'] });
      const pages = list[Symbol.asyncIterator]();
      for (;;) {
        const { value, done } = await ask(pages.next());
        if (done) return;
        if (value.metadata.payment) yield reportOf(value);
      }
    },

    verifyWebhook(rawBody, header) {
      const event = verify(rawBody, header('stripe-signature') ?? '');
      return event && messageOf(event);
    },
  };
}

function addressOf(apiUrl: string) {
  const { protocol, hostname, port } = new URL(apiUrl);
  const isPlain = protocol === 'http:';
  return {
    protocol: isPlain ? 'http' : 'https',
    host: hostname,
    port: port || (isPlain ? 80 : 443),
  } as const;
}

const stages: Record<Stripe.PaymentIntent.Status, PaymentStage> = {
  requires_payment_method: 'started',
  requires_confirmation: 'started',
  requires_action: 'started',
  processing: 'started',
  requires_capture: 'authorised',
  canceled: 'voided',
  succeeded: 'captured',
};

function reportOf(intent: Stripe.PaymentIntent): PaymentReport {
  const { id, status, metadata, last_payment_error: error, latest_charge: charge } = intent;
  const currency = intent.currency.toUpperCase();
  const isRefused = status === 'requires_payment_method' && error !== null;
  const whole = charge !== null && typeof charge === 'object' ? charge : null;
  const fingerprint = whole?.payment_method_details?.card?.fingerprint;
  return {
    paymentId: metadata.payment ?? '',
    providerId: id,
    stage: isRefused ? 'failed' : (stages[status] ?? 'started'),
    isProcessing: status === 'processing',
    price: { amount: amountOfStripe(intent.amount, currency), currency },
    capturedAmount: amountOfStripe(intent.amount_received, currency),
    refundedAmount: whole && amountOfStripe(whole.amount_refunded, currency),
    failure: isRefused ? (error.decline_code ?? error.code ?? error.type) : null,
    ...(fingerprint && { fingerprint }),
    ...(intent.client_secret && { handover: { clientSecret: intent.client_secret } }),
  };
}

const refundStages: Record<string, RefundStage> = {
  succeeded: 'succeeded',
  failed: 'failed',
  canceled: 'failed',
};

/** One that was not asked for by the shop, but for example in Stripe's dashboard, has Stripe's id for both. */
function refundOf({ id, amount, currency, status, metadata }: Stripe.Refund): RefundReport {
  const refundId = metadata?.refund ?? id;
  const ours = amountOfStripe(amount, currency.toUpperCase());
  return { refundId, providerId: id, amount: ours, stage: refundStages[status ?? ''] ?? 'pending' };
}

/**
 * An intent comes with its state; for a charge, a dispute or a refund the intent has to be read. One that was made in
 * Stripe's dashboard has no metadata of ours, so only the intent's id names the payment.
 */
function messageOf({ type, data: { object } }: Stripe.Event): WebhookMessage {
  if (type.startsWith('payment_intent.')) {
    const report = reportOf(object as Stripe.PaymentIntent);
    return { paymentId: report.paymentId, providerId: report.providerId, report };
  }
  const { metadata, payment_intent: intent } = object as {
    metadata?: Stripe.Metadata | null;
    payment_intent?: string | { id: string } | null;
  };
  const providerId = typeof intent === 'string' ? intent : (intent?.id ?? null);
  return { paymentId: metadata?.payment ?? '', providerId, report: null };
}

function faultKindOf({ type, statusCode }: Stripe.errors.StripeError): FaultKind {
  switch (type) {
    case 'StripeRateLimitError':
    // A wrong key is the shop's to mend, and payments go on when it is.
    case 'StripeAuthenticationError':
    case 'StripePermissionError':
      return 'transient';
    case 'StripeCardError':
    case 'StripeInvalidRequestError':
    case 'StripeIdempotencyError':
      // 409: another request with this idempotency key is running, or another one has locked the payment.
      return statusCode === 409 ? 'transient' : 'refused';
    default:
      return 'unknown';
  }
}
