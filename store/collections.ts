import { type ClientSession, type Connection, mongo, Schema } from 'mongoose';
import type { SaleAudit } from '../insight/audit/sale.ts';
import type { LoggedCounts } from '../log/replay.ts';
import type { Change } from '../log/schemas.ts';
import type { PhaseRecord } from '../sale/access/access.ts';
import {
  type AccountRole,
  accountRole,
  type Canceller,
  canceller,
  type Language,
  language,
  type Money,
  type NetworkLimit,
  type ProofOfWork,
  type RejectionReason,
  type RoomSite,
  rejectionReason,
  type SaleMode,
  type SaleStatus,
  type SettledStatus,
  saleMode,
  settledStatus,
} from '../sale/contract.ts';
import type { NewSale } from '../sale/sale.ts';
import { openAccessCollections } from './access-collections.ts';
import { openDeskCollections } from './desk-collections.ts';
import { openEventCollections } from './event-collections.ts';
import { openPaymentCollections } from './payment-collections.ts';
import { openPlaceCollections } from './place-collections.ts';
import { openStaffCollections } from './staff-collections.ts';

/**
 * The documents in MongoDB: one interface and one schema for each collection, with its indexes. Every `_id` is a string of
 * our own, so that ids are the same in URLs, jobs and documents.
 */
export interface UserRecord {
  _id: string;
  email: string;
  name: string;
  /** Empty for an account of the identity provider: no password matches. */
  passwordHash: string;
  role: AccountRole;
  /** The person whose limits count: see person.ts. Absent in records of an earlier version. */
  personId?: string;
  /** Of the mails to this account. Absent when the account was created without a page, or by an earlier version. */
  language?: Language;
  /** The address that the identity provider gave, for an account of its; `email` is a placeholder then. */
  providerEmail?: string;
  /** When the owner of the address confirmed it. Absent until then. */
  emailVerifiedAt?: Date | null;
  createdAt: Date;
}

/** The owner of an e-mail address; the record outlives the account. */
export interface PersonRecord {
  /** HMAC-SHA-256 of the address, in base64url. */
  _id: string;
  /** The id of the first account with that address. */
  personId: string;
}

/** A random key that is created once. */
export interface SecretRecord {
  /** The key's purpose. */
  _id: string;
  /** 32 bytes in base64url. */
  key: string;
}

/** A token that is mailed as a link, and can be redeemed once: see accounts/one-time-token.ts. */
export interface OneTimeTokenRecord {
  _id: string;
  purpose: TokenPurpose;
  /** Whom it is for, e.g. the user's id. */
  subject: string;
  /** SHA-256 of the secret in the link. */
  secretHash: string;
  /** Set when the link is mailed, so that whoever redeems it reads mail to the address. Absent in records of an earlier version. */
  isMailed?: true;
  createdAt: Date;
  expiresAt: Date;
}

const tokenPurpose = ['verify-email', 'reset-password', 'join-staff'] as const;
export type TokenPurpose = (typeof tokenPurpose)[number];

export interface SessionRecord {
  _id: string;
  userId: string;
  /** SHA-256 of the secret in the session's latest token. */
  secretHash: string;
  /** The browser's description of itself at the sign-in. Absent when it gave none, or an earlier version began it. */
  userAgent?: string;
  createdAt: Date;
  /** When its token was last renewed. Absent until then. */
  renewedAt?: Date;
  expiresAt: Date;
}

/** A user who was signed out everywhere, or an ended session, kept while one of its access tokens could still be valid. */
export interface RevocationRecord {
  /** The user's id, or the session's. */
  _id: string;
  /** Access tokens issued before are refused. */
  at: Date;
}

export interface ProductRecord {
  _id: string;
  name: string;
  description: string;
  image: string;
  /** Absent in records of a version that had one picture only. */
  images?: string[];
  createdAt: Date;
}

/** A resized picture, named by the hash of its upload. */
export interface PictureRecord {
  _id: string;
  bytes: Buffer;
  createdAt: Date;
}

/** Whether a sale has opened yet, or ended. */
export type SaleStage = Extract<SaleStatus, 'scheduled' | 'open' | 'ended' | 'called_off'>;

/** What a sale offers, without its counts. */
export interface ItemRecord {
  /** '1', '2', … in the order of the sale's items. */
  id: string;
  productId: string;
  /** What tells it from the sale's other items, such as a size; may be empty. */
  label: string;
  /** The price, and the earlier price or null, in minor units of the sale's currency. */
  amount: number;
  oldAmount: number | null;
  /** Null when only the sale's own limit counts. */
  limitPerBuyer: number | null;
}

/** Each means for one item what the sale's field of that name means for all of them. */
export interface ItemCounts {
  stock: number;
  unitsOnSale: number;
  unitsReturned: number;
  /** Absent until units of it are kept back. */
  unitsKept?: number;
}

/** Read its items through sale/items.ts, which also reads records of an earlier version. */
export interface SaleRecord {
  _id: string;
  /** At most 50. Absent in records of a version in which a sale had no items: its one item is in the fields below. */
  items?: ItemRecord[];
  /** By item id; only of a sale with several items, because the counts of a single one are the sale's own. */
  itemCounts?: Record<string, ItemCounts>;
  /** Product, price and earlier price of the first item. */
  productId: string;
  price: Money;
  oldAmount?: number | null;
  opensAt: Date;
  closesAt: Date;
  paused: boolean;
  /** The last stage written to the event log; it is not one of `phases`. Absent in records of an earlier version. */
  phase?: SaleStage | null;
  limitPerBuyer: number;
  /** Who may buy from when on; at most 5. Absent: everybody from the opening on. */
  phases?: PhaseRecord[];
  /** Whether only buyers with a verified address may buy, from its creation on. Absent: everybody may. */
  requiresVerifiedEmail?: true;
  /** How units are given out; absent for `open`. In a draw people enter from `opensAt` to `drawAt`. */
  mode?: SaleMode;
  /** How many people a minute are let in from a waiting room, at most. Absent: as many as it can take. */
  roomPerMinute?: number;
  /** Only of a waiting room in front of another site: nothing is bought in such a sale. */
  site?: RoomSite;
  /** Only of a draw. */
  drawAt?: Date;
  /** Whether the draw is still to be made; a waiting room has one at its opening. */
  drawPending?: true;
  drawnAt?: Date;
  /** Whether the draw depends on a public random number too. */
  drawBeacon?: true;
  /** Whether people can wait for units that come back after a sell-out. */
  waitingList?: boolean;
  /** Ids of the items whose units go only to the people who wait for them: see places/reserve.ts. Absent: none. */
  reservedItems?: string[];
  /** What is demanded against bots, each absent when it is not. */
  proofOfWork?: ProofOfWork;
  networkLimit?: NetworkLimit;
  captcha?: true;
  /** Of the mails to buyers whose account has no language. Absent: English. */
  language?: Language;
  /** Units left. Only ever changed by `$inc`, with a `$gte` guard when it shrinks. */
  stock: number;
  /** Counts the changes of `stock`. */
  stockVersion: number;
  /** Units put on sale: sold and left. It shrinks by units that are withdrawn, and of cancelled orders that are kept back. */
  unitsOnSale: number;
  /** Units of cancelled orders that were kept back. It never shrinks. Absent in records of an earlier version. */
  unitsKept?: number;
  /** Units ever put back on sale by cancellations. It never shrinks. Absent in records of an earlier version. */
  unitsReturned?: number;
  /**
   * For how long after the sale's end a buyer may cancel an order; null when only the shop may. Absent in records of an
   * earlier version, which stands for an hour.
   */
  cancelWindowSeconds?: number | null;
  /** For how long an order is held until it is paid. Absent or 0 when orders are paid at once. */
  paymentWindowSeconds?: number;
  /** Number of the sale's newest document in the event log. */
  eventSeq: number;
  /** Counts the changes by admins; the gate takes over only a newer revision. */
  revision: number;
  /** Null in a draft. Absent in records of an earlier version, whose sales were published when they were made. */
  publishedAt?: Date | null;
  calledOffAt?: Date | null;
  /** Set when its opening was moved to a later time after it had opened, because buyers may have bought meanwhile. */
  hasOpened?: true;
  /** While orders of a sale that was called off remain to be cancelled: the last log document whose orders are. */
  cancelledUpToSeq?: number;
  createdAt: Date;
}

/** A sale that is not public yet. It is stored apart from the sales, so that nothing sells or lists it by mistake. */
export interface DraftRecord {
  /** The id of the sale that it becomes. */
  _id: string;
  sale: NewSale;
  /** Hash of the request that made it, for its Idempotency-Key. */
  requestHash: string;
  /** Counts its changes. */
  revision: number;
  createdAt: Date;
}

/** The units of one item in an order. */
export interface OrderLineRecord {
  itemId: string;
  label: string;
  quantity: number;
  /** The price of all its units, in minor units. */
  amount: number;
}

export interface OrderRecord {
  _id: string;
  saleId: string;
  buyerId: string;
  /** Absent when it is the buyer's own id. */
  personId?: string;
  /** Units of all lines. */
  quantity: number;
  /** Absent when it has one line, of item 1, which has no label. */
  lines?: OrderLineRecord[];
  /** The price of all lines, in minor units. Absent in orders of an earlier version, and of an unknown sale. */
  amount?: number;
  /** ISO 4217. Absent where `amount` is. */
  currency?: string;
  idempotencyKey: string;
  status: SettledStatus;
  reason: RejectionReason | null;
  /** The id of the code that it redeemed. Absent when it needed none. */
  code?: string;
  /** Units that were left of the only line of an order rejected as sold out. Absent in orders of an earlier version. */
  left?: number;
  createdAt: Date;
  settledAt: Date;
  /** Only of a cancelled or refunded order, as the next three; absent when an earlier version cancelled it. */
  cancelledBy?: Canceller;
  cancelledAt?: Date;
  /** What the shop tells the buyer about it. */
  cancelReason?: string;
  /** Set when its units did not go back on sale. */
  keptBack?: true;
  /** When it expires unless it is paid by then. Absent in sales without a payment window. */
  holdExpiresAt?: Date | null;
  /** Set when the hold was lengthened, because the provider was processing a payment; it happens once. */
  holdLengthened?: true;
  /** The payment that it was paid with. Absent where none was needed, and until then. */
  paymentId?: string;
  /** What of its payment went back or is on its way, in minor units. Absent when nothing is. */
  refundedAmount?: number;
  /** The request by staff that ended it as refunded: its Idempotency-Key, and how much it gave back. Absent without a key. */
  wholeRefund?: { key: string; amount: number };
  /** W3C trace context of the purchase's request. */
  traceparent?: string | undefined;
}

/**
 * The units that a person has of a sale or, where an item has a limit of its own, of that item; and the orders that a code has let
 * in.
 */
export interface AllowanceRecord {
  /** `<saleId>:<personId>`, `<saleId>:<personId>:<itemId>` or `<saleId>:code:<codeId>` */
  _id: string;
  units: number;
}

/** A document that all writers of a bounded collection update, so that their transactions run one after the other. */
export interface GuardRecord {
  /** The collection's name. */
  _id: string;
  writes: number;
}

/** Part of the sales: see sale/shard.ts. */
export interface ShardRecord {
  /** The shard's number. */
  _id: string;
  /** How many shards this database was made with; only in the first one. */
  of?: number;
  /** Fencing token: it grows with each worker that begins to settle the shard, and only the newest one's writes succeed. */
  token?: number;
  /** Counts the transactions that settled purchases of it, so that each writes the document. */
  transactions?: number;
}

/** What the last audit of a closed or a large sale found, when it was in order: see insight/audit/audit.ts. */
export interface SaleAuditRecord {
  /** The sale's id. */
  _id: string;
  /** The sale's counts and number in the log; with another one it has to be audited again. */
  state: string;
  found: SaleAudit;
  at: Date;
  /** How long it took to read it. */
  tookMs?: number;
  /** What the log gave up to a number, from which a look at an open sale goes on. */
  log?: LoggedCounts;
}

export interface EventRecord {
  /** `<saleId>:<seq>`, the seq with leading zeros. */
  _id: string;
  saleId: string;
  /** From 1, without gaps. */
  seq: number;
  at: Date;
  changes: Change[];
}

/** The stored answer to a change of a sale with an Idempotency-Key. */
export interface SaleChangeKeyRecord {
  /** `<saleId>:<key>` */
  _id: string;
  /** Hash of the requested change. */
  bodyHash: string;
  /** The sale in the answer. */
  sale: SaleRecord;
  createdAt: Date;
}

/** The driver's own, without what mongoose's handle of a collection, which stands for it, does not have. */
export type Collection<Record extends { _id: string }> = Omit<
  mongo.Collection<Record>,
  | 'db'
  | 'dbName'
  | 'namespace'
  | 'readConcern'
  | 'readPreference'
  | 'writeConcern'
  | 'bsonOptions'
  | 'hint'
  | 'timeoutMS'
>;

const id = { type: String, required: true } as const;
const options = { versionKey: false, minimize: false, strict: 'throw' } as const;

/** Lifetime of documents that are needed for at most one day. */
const keptSeconds = 2 * 86_400;

const user = new Schema<UserRecord>(
  {
    _id: id,
    email: { type: String, required: true, unique: true },
    name: { type: String, required: true },
    passwordHash: { type: String, default: '' },
    role: { type: String, required: true, enum: accountRole.options, index: true },
    personId: { type: String },
    language: { type: String, enum: language.options },
    providerEmail: { type: String, index: true, sparse: true },
    emailVerifiedAt: { type: Date },
    createdAt: { type: Date, required: true },
  },
  { ...options, collection: 'users' },
)
  // For the search by name. Words are not reduced to their stems, and no field of a document names its language.
  .index({ name: 'text' }, { default_language: 'none', language_override: 'no_language' });

const person = new Schema<PersonRecord>(
  { _id: id, personId: { type: String, required: true } },
  { ...options, collection: 'people' },
);

const secret = new Schema<SecretRecord>(
  { _id: id, key: { type: String, required: true } },
  { ...options, collection: 'secrets' },
);

const oneTimeToken = new Schema<OneTimeTokenRecord>(
  {
    _id: id,
    purpose: { type: String, required: true, enum: tokenPurpose },
    subject: { type: String, required: true },
    secretHash: { type: String, required: true },
    isMailed: { type: Boolean },
    createdAt: { type: Date, required: true },
    expiresAt: { type: Date, required: true, expires: 0 },
  },
  { ...options, collection: 'one_time_tokens' },
).index({ subject: 1, purpose: 1 });

const session = new Schema<SessionRecord>(
  {
    _id: id,
    userId: { type: String, required: true, index: true },
    secretHash: { type: String, required: true },
    userAgent: { type: String },
    createdAt: { type: Date, required: true },
    renewedAt: { type: Date },
    // A TTL index: MongoDB deletes the session within a minute after this time.
    expiresAt: { type: Date, required: true, expires: 0 },
  },
  { ...options, collection: 'sessions' },
);

const revocation = new Schema<RevocationRecord>(
  { _id: id, at: { type: Date, required: true, expires: keptSeconds } },
  { ...options, collection: 'expulsions' },
);

const product = new Schema<ProductRecord>(
  {
    _id: id,
    name: { type: String, required: true },
    description: { type: String, default: '' },
    image: { type: String, default: '' },
    images: { type: [String] },
    createdAt: { type: Date, required: true },
  },
  { ...options, collection: 'products' },
);

const picture = new Schema<PictureRecord>(
  { _id: id, bytes: { type: Buffer, required: true }, createdAt: { type: Date, required: true } },
  { ...options, collection: 'pictures' },
);

const sale = new Schema<SaleRecord>(
  {
    _id: id,
    productId: { type: String, required: true },
    price: { amount: { type: Number, required: true }, currency: { type: String, required: true } },
    oldAmount: { type: Number, default: null },
    items: { type: Schema.Types.Mixed } as never,
    itemCounts: { type: Schema.Types.Mixed } as never,
    opensAt: { type: Date, required: true },
    closesAt: { type: Date, required: true },
    paused: { type: Boolean, default: false },
    phase: { type: String },
    limitPerBuyer: { type: Number, required: true, min: 1 },
    phases: { type: Schema.Types.Mixed } as never,
    requiresVerifiedEmail: { type: Boolean },
    mode: { type: String, enum: saleMode.options },
    roomPerMinute: { type: Number },
    site: { type: Schema.Types.Mixed } as never,
    drawAt: { type: Date },
    drawPending: { type: Boolean },
    drawnAt: { type: Date },
    drawBeacon: { type: Boolean },
    waitingList: { type: Boolean },
    reservedItems: { type: [String], default: undefined },
    proofOfWork: { type: Schema.Types.Mixed } as never,
    networkLimit: { type: Schema.Types.Mixed } as never,
    captcha: { type: Boolean },
    language: { type: String, enum: language.options },
    stock: { type: Number, required: true, min: 0 },
    stockVersion: { type: Number, default: 0 },
    unitsOnSale: { type: Number, required: true, min: 0 },
    unitsKept: { type: Number, default: 0 },
    unitsReturned: { type: Number, default: 0 },
    cancelWindowSeconds: { type: Number },
    paymentWindowSeconds: { type: Number },
    eventSeq: { type: Number, default: 0 },
    revision: { type: Number, default: 0 },
    publishedAt: { type: Date },
    calledOffAt: { type: Date },
    hasOpened: { type: Boolean },
    cancelledUpToSeq: { type: Number },
    createdAt: { type: Date, required: true },
  },
  { ...options, collection: 'sales' },
)
  .index({ closesAt: -1, _id: -1 })
  .index({ productId: 1, closesAt: -1 })
  .index({ 'items.productId': 1, closesAt: -1 })
  .index({ phase: 1, opensAt: 1 })
  .index({ drawAt: 1 }, { partialFilterExpression: { drawPending: true } })
  // The waiting rooms whose draw is due, and those that have not ended.
  .index({ mode: 1, opensAt: 1 }, { partialFilterExpression: { drawPending: true } })
  .index({ mode: 1, closesAt: 1 }, { partialFilterExpression: { mode: 'room' } });

const draft = new Schema<DraftRecord>(
  {
    _id: id,
    sale: { type: Schema.Types.Mixed, required: true } as never,
    requestHash: { type: String, required: true },
    revision: { type: Number, default: 0 },
    createdAt: { type: Date, required: true },
  },
  { ...options, collection: 'drafts' },
).index({ createdAt: -1, _id: -1 });

const order = new Schema<OrderRecord>(
  {
    _id: id,
    saleId: { type: String, required: true },
    buyerId: { type: String, required: true },
    personId: { type: String },
    quantity: { type: Number, required: true, min: 1 },
    lines: { type: Schema.Types.Mixed } as never,
    amount: { type: Number },
    currency: { type: String },
    idempotencyKey: { type: String, required: true },
    status: { type: String, required: true, enum: settledStatus.options },
    reason: { type: String, default: null, enum: [...rejectionReason.options, null] },
    code: { type: String },
    left: { type: Number },
    createdAt: { type: Date, required: true },
    settledAt: { type: Date, required: true },
    cancelledBy: { type: String, enum: canceller.options },
    cancelledAt: { type: Date },
    cancelReason: { type: String },
    keptBack: { type: Boolean },
    holdExpiresAt: { type: Date },
    holdLengthened: { type: Boolean },
    paymentId: { type: String },
    refundedAmount: { type: Number },
    wholeRefund: { type: { _id: false, key: String, amount: Number } },
    traceparent: { type: String },
  },
  { ...options, collection: 'orders' },
)
  .index({ buyerId: 1, createdAt: -1, _id: -1 })
  // For the audit of one sale.
  .index({ saleId: 1 })
  // Partial, so that an order that is not held costs nothing more.
  .index({ holdExpiresAt: 1 }, { partialFilterExpression: { status: 'held' } });

const allowance = new Schema<AllowanceRecord>(
  { _id: id, units: { type: Number, required: true, min: 0 } },
  { ...options, collection: 'allowances' },
);

const event = new Schema<EventRecord>(
  {
    _id: id,
    saleId: { type: String, required: true },
    seq: { type: Number, required: true },
    at: { type: Date, required: true },
    changes: { type: Schema.Types.Mixed, required: true } as never,
  },
  { ...options, collection: 'events' },
);

const saleChangeKey = new Schema<SaleChangeKeyRecord>(
  {
    _id: id,
    bodyHash: { type: String, required: true },
    sale: { type: Schema.Types.Mixed, required: true } as never,
    createdAt: { type: Date, required: true, expires: keptSeconds },
  },
  { ...options, collection: 'sale_change_keys' },
);

const guard = new Schema<GuardRecord>(
  { _id: id, writes: { type: Number, required: true } },
  { ...options, collection: 'guards' },
);

const shard = new Schema<ShardRecord>(
  { _id: id, of: { type: Number }, token: { type: Number }, transactions: { type: Number } },
  { ...options, collection: 'shards' },
);

const saleAudit = new Schema<SaleAuditRecord>(
  {
    _id: id,
    state: { type: String, required: true },
    found: { type: Schema.Types.Mixed, required: true } as never,
    at: { type: Date, required: true },
    tookMs: { type: Number },
    log: { type: Schema.Types.Mixed } as never,
  },
  { ...options, collection: 'sale_audits' },
);

export type Collections = ReturnType<typeof openCollections>;

/**
 * The collections, as MongoDB's driver has them: everything is read and written through these. mongoose knows their
 * schemas, makes their indexes and keeps the connection, which is here for sessions and transactions.
 */
export function openCollections(connection: Connection) {
  const open = collectionOpener(connection);
  return {
    connection,
    users: open<UserRecord>('User', user),
    people: open<PersonRecord>('Person', person),
    secrets: open<SecretRecord>('Secret', secret),
    oneTimeTokens: open<OneTimeTokenRecord>('OneTimeToken', oneTimeToken),
    sessions: open<SessionRecord>('Session', session),
    expulsions: open<RevocationRecord>('Revocation', revocation),
    products: open<ProductRecord>('Product', product),
    pictures: open<PictureRecord>('Picture', picture),
    sales: open<SaleRecord>('Sale', sale),
    drafts: open<DraftRecord>('Draft', draft),
    orders: open<OrderRecord>('Order', order),
    allowances: open<AllowanceRecord>('Allowance', allowance),
    events: open<EventRecord>('Event', event),
    saleChangeKeys: open<SaleChangeKeyRecord>('SaleChangeKey', saleChangeKey),
    guards: open<GuardRecord>('Guard', guard),
    shards: open<ShardRecord>('Shard', shard),
    saleAudits: open<SaleAuditRecord>('SaleAudit', saleAudit),
    ...openEventCollections(open),
    ...openStaffCollections(open),
    ...openDeskCollections(open),
    ...openPaymentCollections(open),
    ...openPlaceCollections(open),
    ...openAccessCollections(open),
  };
}

export type OpenCollection = ReturnType<typeof collectionOpener>;

/** Gives out mongoose's handle of a collection, because unlike the driver's it exists before the first connection. */
function collectionOpener(connection: Connection) {
  return <Record extends { _id: string }>(name: string, schema: Schema<Record>) =>
    connection.model<Record>(name, schema).collection as unknown as Collection<Record>;
}

/** The names of all collections in MongoDB. */
export function collectionNames({ connection }: Collections): string[] {
  return Object.values(connection.models).map((model) => model.collection.collectionName);
}

/** Creates the collections and their indexes beforehand, because a transaction should not create a collection. */
export async function prepareCollections({ connection }: Collections): Promise<void> {
  for (const model of Object.values(connection.models)) {
    await model.createCollection();
    await model.createIndexes();
  }
}

/**
 * Inserts all documents in one command. The driver's `insertMany` serialises each document twice to learn its size, which
 * took a sixth of a worker's CPU time; our batches are far below MongoDB's limits.
 * @param session of the transaction.
 * @throws MongoServerError of the first document that cannot be inserted.
 */
export async function insertAll<Record extends { _id: string }>(
  { connection }: Pick<Collections, 'connection'>,
  collection: Collection<Record>,
  records: Record[],
  session: ClientSession,
): Promise<void> {
  const insert = { insert: collection.collectionName, documents: records };
  const { writeErrors } = await connection.getClient().db(connection.name).command(insert, { session });
  const [error] = writeErrors ?? [];
  if (error) throw new mongo.MongoServerError(error);
}

/** The index for a filter that names a sale beside ids: the sale's own index would find all of its records. */
export const byId = { _id: 1 } as const;

/**
 * The options for the driver's `withTransaction`. They name a read concern, because without one the driver changes the default
 * read concern object of the connection, which all its other reads use.
 */
export const transactionOptions = () => ({ readConcern: { level: 'local' as const } });

/**
 * Inserts a document unless its collection has `max` already. Concurrent calls cannot exceed the limit, because each
 * transaction updates the collection's guard document, so that they run one after the other.
 * @param also writes more in the same transaction.
 * @returns whether it was inserted.
 */
export async function insertWithin<Record extends { _id: string }>(
  { connection, guards }: Collections,
  collection: Collection<Record>,
  record: Record,
  max: number,
  also: (session: ClientSession) => Promise<void>,
): Promise<boolean> {
  const guard = { _id: collection.collectionName };
  await guards.updateOne(guard, { $setOnInsert: { writes: 0 } }, { upsert: true });
  return await connection.withSession((session) =>
    session.withTransaction(async () => {
      await guards.updateOne(guard, { $inc: { writes: 1 } }, { session });
      if ((await collection.countDocuments({}, { session })) >= max) return false;
      await insertAll({ connection }, collection, [record], session);
      await also(session);
      return true;
    }, transactionOptions()),
  );
}

/**
 * Inserts a document unless there is one with its `_id`; of several processes that do so at once, one inserts.
 * @returns the document that is there now.
 */
export async function findOrInsert<Record extends { _id: string }>(
  collection: Collection<Record>,
  { _id, ...rest }: Record,
  session?: ClientSession,
): Promise<Record> {
  const filter = { _id } as mongo.Filter<Record>;
  const update = { $setOnInsert: rest } as unknown as mongo.UpdateFilter<Record>;
  return (await collection.findOneAndUpdate(filter, update, {
    upsert: true,
    returnDocument: 'after',
    ...(session && { session }),
  })) as Record;
}

const duplicateKey = 11_000;

/** Whether the error is MongoDB's duplicate key error. */
export function isDuplicateKey(error: unknown): boolean {
  return (error as { code?: unknown }).code === duplicateKey;
}
