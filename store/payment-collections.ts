import { Schema } from 'mongoose';
import {
  type PaymentStage,
  type ProviderName,
  providerNames,
  type RefundStage,
} from '../sale/payment/provider.ts';
import type { OpenCollection } from './collections.ts';

/** `requested`: the provider has not confirmed that it knows of it. */
export type RefundState = 'requested' | RefundStage;

export interface RefundRecord {
  /** `<payment's id>-<number>`; the provider keeps it, and it is the idempotency key. */
  id: string;
  amount: number;
  reason: string;
  state: RefundState;
  /** How often the provider was asked without success. */
  attempts: number;
  /** How often it refused. */
  refusals: number;
  /** The provider's id of it; null before it answered. */
  providerId: string | null;
  /** Why the last attempt failed; null when it did not. */
  error: string | null;
  requestedAt: Date;
  /** The Idempotency-Key with which staff asked for it. */
  key?: string;
}

/** `refunded`: all that was captured went back. */
export type PaymentState = PaymentStage | 'refunded';

/** One attempt to pay an order. An order has a second one only when the first can take no money any more. */
export interface PaymentRecord {
  /** `<orderId>.<number>`, so that of several servers that start the same attempt one succeeds. */
  _id: string;
  orderId: string;
  saleId: string;
  provider: ProviderName;
  /** The provider's id of it; null before the provider answered, when nobody can have paid. */
  providerId: string | null;
  /** In minor units; the price of the order. */
  amount: number;
  currency: string;
  state: PaymentState;
  /** Whether the provider was processing an attempt to pay when it was asked last. */
  isProcessing: boolean;
  /** Why the buyer's last attempt was refused, in the provider's word; null when none was. */
  failure: string | null;
  /** A hash of the provider's fingerprint of the card; null where there is none, absent in payments of an earlier version. */
  methodKey?: string | null;
  capturedAmount: number;
  refunds: RefundRecord[];
  createdAt: Date;
  authorisedAt: Date | null;
  capturedAt: Date | null;
  /** When it became voided or refunded. */
  endedAt: Date | null;
  /** When its next step is due, should no server have taken it by then; null when nothing is left to do. */
  dueAt: Date | null;
  /** How often the current step failed. */
  attempts: number;
  /** Why it failed last; null when it did not. */
  error: string | null;
  /** Counts the writes, so that two writers notice each other. */
  revision: number;
}

/** A payment in the ledger of the simulated provider, which knows nothing of the shop's own records. */
export interface SimulatedPaymentRecord {
  /** The provider's id of it. */
  _id: string;
  /** The shop's id of it. */
  paymentId: string;
  clientSecret: string;
  amount: number;
  currency: string;
  stage: PaymentStage;
  failure: string | null;
  /** The test card that it was paid with; null before. */
  card: string | null;
  /** The card's fingerprint, as the test has set it. */
  fingerprint?: string;
  /** Until then the provider is processing an attempt to pay. */
  processingUntil: Date | null;
  capturedAmount: number;
  refunds: { refundId: string; amount: number }[];
  /** How many refunds were refused. */
  refusals: number;
  createdAt: Date;
}

const id = { type: String, required: true } as const;
const time = { type: Date, required: true } as const;
const timeOrNull = { type: Date, default: null } as const;
const textOrNull = { type: String, default: null } as const;
const count = { type: Number, default: 0, min: 0 } as const;
const options = { versionKey: false, minimize: false, strict: 'throw' } as const;

const refund = new Schema<RefundRecord>(
  {
    id,
    amount: { type: Number, required: true, min: 1 },
    reason: { type: String, required: true },
    state: { type: String, required: true, enum: ['requested', 'pending', 'succeeded', 'failed'] },
    attempts: count,
    refusals: count,
    providerId: textOrNull,
    error: textOrNull,
    requestedAt: time,
    key: { type: String },
  },
  { _id: false, strict: 'throw' },
);

/** The index by which an order's payments are found, also where a filter names the sale as well. */
export const byOrder = { orderId: 1 } as const;

const payment = new Schema<PaymentRecord>(
  {
    _id: id,
    orderId: id,
    saleId: id,
    provider: { type: String, required: true, enum: providerNames },
    providerId: textOrNull,
    amount: { type: Number, required: true, min: 0 },
    currency: id,
    state: {
      type: String,
      required: true,
      enum: ['started', 'failed', 'authorised', 'voided', 'captured', 'refunded'],
    },
    isProcessing: { type: Boolean, default: false },
    failure: textOrNull,
    methodKey: textOrNull,
    capturedAmount: count,
    refunds: { type: [refund], default: [] },
    createdAt: time,
    authorisedAt: timeOrNull,
    capturedAt: timeOrNull,
    endedAt: timeOrNull,
    dueAt: timeOrNull,
    attempts: count,
    error: textOrNull,
    revision: count,
  },
  { ...options, collection: 'payments' },
)
  .index(byOrder)
  .index({ providerId: 1 })
  .index({ saleId: 1 })
  .index(
    { 'refunds.state': 1 },
    { name: 'failed_refunds', partialFilterExpression: { 'refunds.state': 'failed' } },
  )
  .index({ createdAt: 1 })
  .index({ dueAt: 1 }, { partialFilterExpression: { dueAt: { $type: 'date' } } });

const simulatedPayment = new Schema<SimulatedPaymentRecord>(
  {
    _id: id,
    paymentId: id,
    clientSecret: { type: String, required: true, unique: true },
    amount: { type: Number, required: true },
    currency: id,
    stage: { type: String, required: true },
    failure: textOrNull,
    card: textOrNull,
    fingerprint: { type: String },
    processingUntil: timeOrNull,
    capturedAmount: count,
    refunds: { type: [{ _id: false, refundId: id, amount: Number }], default: [] },
    refusals: count,
    createdAt: time,
  },
  { ...options, collection: 'simulated_payments' },
).index({ createdAt: 1 });

export function openPaymentCollections(open: OpenCollection) {
  return {
    payments: open<PaymentRecord>('Payment', payment),
    simulatedPayments: open<SimulatedPaymentRecord>('SimulatedPayment', simulatedPayment),
  };
}
