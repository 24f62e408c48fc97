import { type Connection, Schema } from 'mongoose';
import {
  type Delivery,
  deliveryState,
  type SaleMinute,
  type UnsentState,
  unsentState,
} from '../insight/contract.ts';
import type { CloudEvent, EventType } from '../log/schemas.ts';

/** What MongoDB holds for those who follow the event log: the relay and the subscribers. */

/** Who gets events. It is kept here and not only on the bus, whose loss must not make the relay publish to nobody. */
export interface SubscriptionRecord {
  /** Its name. */
  _id: string;
  types: string[];
  /** How often something was put into its queue: a queue that knows of fewer has lost what waited in it. */
  publishes: number;
  /** How often its queue was lost. */
  losses: number;
  createdAt: Date;
}

/** How far a subscription is with the log of a sale, by the numbers of the log's documents. */
export interface PositionRecord {
  /** The newest one whose events are in its queue. */
  seq: number;
  /** The newest one whose events it has surely handled: from there on they are published again after a loss. */
  handled: number;
  /** Events between `seq` and the newest document that the relay has read. */
  waiting: number;
  /** The subscription's losses when this was written. */
  losses: number;
}

/** How far the relay is with the log of a sale. */
export interface RelayRecord {
  /** The sale's id. */
  _id: string;
  /** Number of the newest document that it has read; a subscription without a position of its own is there, too. */
  seq: number;
  /** By name of the subscription. Absent in records from before each had its own. */
  positions?: Record<string, PositionRecord>;
}

/** What happened to a sale's orders within a minute. */
export interface MinuteRecord extends Omit<SaleMinute, 'minute'> {
  /** `<saleId>:<ISO 8601 minute>` */
  _id: string;
  saleId: string;
  minute: Date;
}

/** How far analytics is with a sale. */
export interface AnalyticsRecord {
  /** The sale's id. */
  _id: string;
  /** Of the newest event that is counted: its document's number in the log, and its place in that. */
  seq: number;
  index: number;
  /** Ids of events that could not be counted: they may come again. */
  skipped?: string[];
}

/**
 * A mail to a buyer, so that an event becomes one mail. One that was sent keeps nothing but `sentAt`; so does a record from
 * before there were states, and without it such a record was in the hands of somebody who died.
 */
export interface MailRecord {
  /** The event's id. */
  _id: string;
  /** `unsure`: transmitted twice, and the mail server never said whether it took it. `skipped`: nobody to send it to. */
  state?: UnsentState | 'skipped';
  event?: CloudEvent;
  /** Attempts that the mail server refused or did not answer; that it was away does not count. */
  attempts?: number;
  /** How often it was transmitted without an answer. */
  unanswered?: number;
  /** When it is tried next; while it is being sent, when it is taken for abandoned. */
  dueAt?: Date;
  /** What the last attempt came to, without the address. */
  answer?: string | null;
  sentAt?: Date;
  createdAt: Date;
}

/** A shop's address for events. */
export interface WebhookRecord {
  _id: string;
  url: string;
  types: EventType[];
  /** `whsec_` and the key in base64. It signs, so it cannot be kept as a hash. */
  secret: string;
  createdAt: Date;
}

/** An event on its way to a webhook. */
export interface DeliveryRecord {
  /** `<webhookId>:<event id>` */
  _id: string;
  webhookId: string;
  event: CloudEvent;
  state: Delivery['state'];
  attempts: number;
  /** When it is tried next; when it was, once it no longer waits. */
  dueAt: Date;
  /** HTTP status of the last answer; null when there was none. */
  status: number | null;
  /** Why the last attempt failed; null when it did not. */
  error: string | null;
  createdAt: Date;
}

const id = { type: String, required: true } as const;
const time = { type: Date, required: true } as const;
const count = { type: Number, default: 0 } as const;
const mixed = { type: Schema.Types.Mixed, required: true } as never;
const options = { versionKey: false, minimize: false, strict: 'throw' } as const;

const keptDays = 30;
const forgotten = { ...time, expires: keptDays * 86_400 } as const;

const subscription = new Schema<SubscriptionRecord>(
  { _id: id, types: { type: [String], required: true }, publishes: count, losses: count, createdAt: time },
  { ...options, collection: 'subscriptions' },
);

const relay = new Schema<RelayRecord>(
  { _id: id, seq: { type: Number, required: true }, positions: { type: Schema.Types.Mixed } as never },
  { ...options, collection: 'relays' },
);

const minute = new Schema<MinuteRecord>(
  {
    _id: id,
    saleId: id,
    minute: time,
    accepted: count,
    paid: count,
    rejected: count,
    cancelled: count,
    units: count,
    cancelledUnits: count,
  },
  { ...options, collection: 'minutes' },
).index({ saleId: 1, minute: -1 });

const analytics = new Schema<AnalyticsRecord>(
  { _id: id, seq: count, index: count, skipped: { type: [String] } },
  { ...options, collection: 'analytics' },
);

const mail = new Schema<MailRecord>(
  {
    _id: id,
    state: { type: String, enum: [...unsentState.options, 'skipped'] },
    event: { type: Schema.Types.Mixed } as never,
    attempts: { type: Number },
    unanswered: { type: Number },
    dueAt: { type: Date },
    answer: { type: String },
    sentAt: { type: Date },
    createdAt: forgotten,
  },
  { ...options, collection: 'mails' },
)
  // What was sent has none of them, and is not in it.
  .index({ state: 1, attempts: 1, dueAt: 1 }, { sparse: true });

const webhook = new Schema<WebhookRecord>(
  { _id: id, url: id, types: { type: [String], required: true }, secret: id, createdAt: time },
  { ...options, collection: 'webhooks' },
);

const delivery = new Schema<DeliveryRecord>(
  {
    _id: id,
    webhookId: id,
    event: mixed,
    state: { type: String, required: true, enum: deliveryState.options },
    attempts: count,
    dueAt: time,
    status: { type: Number, default: null },
    error: { type: String, default: null },
    createdAt: forgotten,
  },
  { ...options, collection: 'deliveries' },
)
  .index({ webhookId: 1, state: 1, dueAt: 1 })
  .index({ webhookId: 1, createdAt: -1, _id: -1 });

export function openEventCollections(mongo: Connection) {
  return {
    subscriptions: mongo.model<SubscriptionRecord>('Subscription', subscription),
    relays: mongo.model<RelayRecord>('Relay', relay),
    minutes: mongo.model<MinuteRecord>('Minute', minute),
    analytics: mongo.model<AnalyticsRecord>('Analytics', analytics),
    mails: mongo.model<MailRecord>('Mail', mail),
    webhooks: mongo.model<WebhookRecord>('Webhook', webhook),
    deliveries: mongo.model<DeliveryRecord>('Delivery', delivery),
  };
}
