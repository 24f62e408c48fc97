import type { Money } from '../contract.ts';

/**
 * What the shop asks of a payment provider. A payment is authorised by the buyer at the provider, in a page of the provider's
 * own, so that no card data reaches our servers; then the shop captures it, or voids it. Amounts are in the currency's minor
 * units, as everywhere in the shop; a provider that counts otherwise converts them.
 *
 * Every method is safe to repeat: idempotency keys are made from our id, which begins with the order's.
 * Each call ends within `providerTimeoutMs`, retries included, and throws PaymentFault.
 */
export interface PaymentProvider {
  readonly name: ProviderName;
  /** Why it cannot take exactly this amount; null when it can. */
  faultOf(price: Money): string | null;
  /** Creates the payment at the provider; again with the same id it returns the same payment. */
  start(request: PaymentRequest): Promise<PaymentReport>;
  read(payment: ProviderPayment): Promise<PaymentReport>;
  /** Takes the authorised money, all of it. */
  capture(payment: ProviderPayment): Promise<PaymentReport>;
  /** Releases an authorisation, or closes a payment that was never authorised. */
  void(payment: ProviderPayment): Promise<PaymentReport>;
  refund(payment: ProviderPayment, refund: RefundRequest): Promise<RefundReport>;
  /** The provider's own list of our payments since then, in no particular order. */
  listSince(since: Date): AsyncIterable<PaymentReport>;
  /**
   * Verifies the signature over the raw body, and that it was made within the last minutes.
   * @returns null when it was forged or is too old.
   */
  verifyWebhook(rawBody: Buffer, header: (name: string) => string | undefined): WebhookMessage | null;
}

export const providerNames = ['simulated', 'stripe', 'external'] as const;
export type ProviderName = (typeof providerNames)[number];

/** The maximum time of one call of a provider; less than the deadline for the answer to a request. */
export const providerTimeoutMs = 9_000;

export interface PaymentRequest {
  /** The payment's id with us. */
  paymentId: string;
  orderId: string;
  price: Money;
  /** How often it was asked for in vain: a provider may repeat its answer to the same idempotency key. */
  attempts: number;
}

/** A payment that exists at the provider. */
export interface ProviderPayment {
  paymentId: string;
  /** The payment's id there. */
  providerId: string;
  price: Money;
  /** How often the current step failed. Capturing and voiding may be repeated under another idempotency key. */
  attempts: number;
}

interface RefundRequest {
  /** The refund's id with us. */
  refundId: string;
  /** In minor units of the payment's currency. */
  amount: number;
  /** How often it was refused, and so certainly not made. Only then may the idempotency key be another one. */
  refusals: number;
}

/**
 * How far a payment has come at the provider. `failed`: the last attempt to pay was refused, and the buyer may try again.
 * A captured payment stays `captured` when it is refunded.
 */
export type PaymentStage = 'started' | 'failed' | 'authorised' | 'voided' | 'captured';

/** What the provider says about a payment. */
export interface PaymentReport {
  /** Our id, as the provider keeps it; empty when it is none of ours. */
  paymentId: string;
  providerId: string;
  stage: PaymentStage;
  /** Whether the provider is processing an attempt to pay, so that it may become authorised without the buyer. */
  isProcessing: boolean;
  price: Money;
  /** In minor units. */
  capturedAmount: number;
  /** Null when the provider did not say. */
  refundedAmount: number | null;
  /** The provider's word for why the last attempt was refused; null when none was. */
  failure: string | null;
  /**
   * The provider's fingerprint of the card or account that it is paid with: the same for each payment with it, and nothing of
   * the card itself. Absent where the provider gives none, or did not say.
   */
  fingerprint?: string;
  /** What the page needs to let the buyer pay. */
  handover?: Handover;
  /** All refunds of it; absent when the provider did not say. */
  refunds?: RefundReport[];
}

/** Exactly one of them is set. The secret gives access to this one payment; it is not stored or logged. */
export interface Handover {
  clientSecret?: string;
  redirectUrl?: string;
}

/** `failed` is final; a refund may fail even after it succeeded, when the buyer's bank returns it. */
export type RefundStage = 'pending' | 'succeeded' | 'failed';

export interface RefundReport {
  /** Our id, as the provider keeps it; the provider's own for a refund that we did not ask for. */
  refundId: string;
  /** Its id there. */
  providerId: string;
  amount: number;
  stage: RefundStage;
}

/** A webhook's content. Webhooks come late, twice, out of order or never, so each is only a hint. */
export interface WebhookMessage {
  /** Our id, as the provider keeps it; empty when the event does not have it. */
  paymentId: string;
  /** The payment's id there; null when the event does not name it. */
  providerId: string | null;
  /** The payment's state at the time of the event; null when the provider has to be asked. */
  report: PaymentReport | null;
}

/**
 * `transient`: it was not done; try again later. `refused`: the provider will not do it. `unknown`: it may have been done, as
 * after a time-out or an error 500, so the payment has to be read before anything is repeated.
 */
export type FaultKind = 'transient' | 'refused' | 'unknown';

export class PaymentFault extends Error {
  readonly kind: FaultKind;

  constructor(kind: FaultKind, message: string) {
    super(message);
    this.kind = kind;
  }
}
