import { Schema } from 'mongoose';
import {
  type Delivery,
  deliveryState,
  type SaleMinute,
  type UnsentState,
  unsentState,
} from '../insight/contract.ts';
import type { CloudEvent, EventType } from '../log/schemas.ts';
import type { Language } from '../sale/contract.ts';
import type { OpenCollection, TokenPurpose } from './collections.ts';

/** The documents of the event log's relay and of the subscribers. */

/** A registered subscription. It is stored here too, so that the relay still knows it when the bus lost its data. */
export interface SubscriptionRecord {
  /** Its name. */
  _id: string;
  types: string[];
  /** Number of publishes to its queue: a queue with a lower count has lost its events. */
  publishes: number;
  /** How often its queue was lost. */
  losses: number;
  createdAt: Date;
}

/** A subscription's position in a sale's log, as numbers of log documents. */
export interface PositionRecord {
  /** The last document whose events were published to it. */
  seq: number;
  /** The last document whose events it has certainly handled; after a loss of its queue, later ones are published again. */
  handled: number;
  /** Number of its events after `seq`, up to the relay's position. */
  waiting: number;
  /** The subscription's `losses` when this was written. */
  losses: number;
}

/** The relay's position in a sale's log. */
export interface RelayRecord {
  /** The sale's id. */
  _id: string;
  /** Number of the last document that was relayed; also the position of subscriptions that have none of their own. */
  seq: number;
  /** By subscription name. Absent in records of an earlier version. */
  positions?: Record<string, PositionRecord>;
}

/** Counts of a sale's order events in one minute. */
export interface MinuteRecord extends Omit<SaleMinute, 'minute'> {
  /** `<saleId>:<ISO 8601 minute>` */
  _id: string;
  saleId: string;
  minute: Date;
}

/** The position of the analytics subscriber in a sale's log. */
export interface AnalyticsRecord {
  /** The sale's id. */
  _id: string;
  /** The newest counted event: its log document's number, and its index in that document. */
  seq: number;
  index: number;
  /** Ids of events whose counting failed, and that may be republished. */
  skipped?: string[];
}

/** What a mail about an account says, and to whom. */
export interface AccountMail {
  kind: TokenPurpose | 'password-changed';
  /** The account's address and language are looked up when the mail is sent. */
  to: { userId: string } | { address: string; language?: Language };
  /** Of the link in it. The mail is not sent when the token is redeemed or expired. */
  tokenId?: string;
}

/**
 * A mail to a buyer; the event's id as `_id` makes one mail of each event, and a mail about an account or a call has an id of its own.
 * A sent mail keeps only `sentAt`. A record with neither a state nor `sentAt` is from an earlier version whose process died
 * while it sent the mail.
 */
export interface MailRecord {
  /** The event's id, or a random one. */
  _id: string;
  /** `unsure`: transmitted twice without an answer of the mail server. `skipped`: the buyer has no account. */
  state?: UnsentState | 'skipped';
  event?: CloudEvent;
  /** Set beside the event of a draw: the id of the place whose person gets the mail. */
  placeId?: string;
  /** Set instead of `event` for a mail about a call into a waiting room. */
  call?: { placeId: string; number: number };
  /** Set instead of `event` for a mail about an account. */
  account?: AccountMail;
  /** How often staff had it sent again after it had ended. */
  resends?: number;
  /** Attempts that the mail server refused or did not answer; attempts while it was unavailable do not count. */
  attempts?: number;
  /** How often it was transmitted without an answer. */
  unanswered?: number;
  /** Time of the next attempt; while it is being sent, the time after which it counts as abandoned. */
  dueAt?: Date;
  /** The mail server's last answer, without the address. */
  answer?: string | null;
  sentAt?: Date;
  createdAt: Date;
}

/** A shop's endpoint for events. */
export interface WebhookRecord {
  _id: string;
  url: string;
  types: EventType[];
  /** `whsec_` and the key in base64. It is needed for signing, so it cannot be stored as a hash. */
  secret: string;
  createdAt: Date;
}

/** The delivery of an event to a webhook. */
export interface DeliveryRecord {
  /** `<webhookId>:<event id>` */
  _id: string;
  webhookId: string;
  event: CloudEvent;
  state: Delivery['state'];
  attempts: number;
  /** Time of the next attempt; of the last attempt once it is no longer `waiting`. */
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
    placeId: { type: String },
    call: { type: Schema.Types.Mixed } as never,
    account: { type: Schema.Types.Mixed } as never,
    attempts: { type: Number },
    unanswered: { type: Number },
    resends: { type: Number },
    dueAt: { type: Date },
    answer: { type: String },
    sentAt: { type: Date },
    createdAt: forgotten,
  },
  { ...options, collection: 'mails' },
)
  // A sent mail has neither field, and so is not in this sparse index.
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

export function openEventCollections(open: OpenCollection) {
  return {
    subscriptions: open<SubscriptionRecord>('Subscription', subscription),
    relays: open<RelayRecord>('Relay', relay),
    minutes: open<MinuteRecord>('Minute', minute),
    analytics: open<AnalyticsRecord>('Analytics', analytics),
    mails: open<MailRecord>('Mail', mail),
    webhooks: open<WebhookRecord>('Webhook', webhook),
    deliveries: open<DeliveryRecord>('Delivery', delivery),
  };
}
