/**
 * The glossary, and the shape of everything that crosses a process: HTTP bodies, the job in the queue, the
 * messages a settled batch sends, and the socket events. The pages in public/ are type-checked against this file.
 *
 *   purchase   what a buyer asks for: some units of one sale. It is *admitted* (202) or *refused* (409).
 *   gate       Redis' running count of the units a sale can still admit. A fast guess; never the truth.
 *   flush      purchases that arrived together, sent to Redis in one round trip.
 *   job        what one flush leaves in Bull: its admitted purchases.
 *   settle     turn a batch of admitted purchases into orders, in one MongoDB transaction.
 *   order      the final outcome of an admitted purchase, and the truth about it.
 *   person     who has an e-mail address. Accounts come and go, and a sale's limit is a person's: see person.ts.
 *   allowance  how many units of a sale one person already has.
 *
 * Times are ISO 8601 strings in UTC; money is an integer count of the currency's minor unit.
 */

import type { EventData } from '../log/schemas.ts';

export type Role = 'visitor' | 'buyer' | 'admin';

export interface User {
  id: string;
  email: string;
  name: string;
  role: Role;
}

/** Answer to `POST /api/users` and `POST /api/sessions`. */
export interface Session {
  user: User;
  token: string;
}

export interface Money {
  /** In minor units: 12900 is 129.00 EUR. */
  amount: number;
  /** ISO 4217, e.g. `EUR`. */
  currency: string;
}

export interface Product {
  id: string;
  name: string;
  description: string;
  /** Path or URL of a picture; empty when there is none. */
  image: string;
  /** Every picture of it, the first of which is `image`. */
  images: string[];
}

export type SaleStatus = 'scheduled' | 'open' | 'paused' | 'sold_out' | 'ended';

/** Answer to `GET /api/sales/:id`, and what the socket event `sale` carries. */
export interface SaleSnapshot {
  id: string;
  product: Product;
  price: Money;
  /** What it cost before; null when the shop does not say. */
  oldPrice: Money | null;
  status: SaleStatus;
  opensAt: string;
  closesAt: string;
  /** Units not yet sold, as settled in MongoDB. */
  stock: number;
  /** Grows with every change of the stock: a page drops a message whose version is lower than the one it shows. */
  stockVersion: number;
  /** Every unit ever put on sale: sold + left. */
  unitsOnSale: number;
  limitPerBuyer: number;
  /** The clock that a page's countdown follows. */
  serverTime: string;
}

/** Answer to `GET /api/sales`, those that end last first. */
export interface SalePage {
  sales: SaleSnapshot[];
  /** Pass as `cursor` to read on; null on the last page. */
  nextCursor: string | null;
}

export type OrderStatus = 'queued' | 'held' | 'paid' | 'rejected' | 'expired' | 'cancelled';
export type RejectionReason = 'sold_out' | 'over_limit' | 'unknown_sale' | 'failed';

/** Answer to `GET /api/orders/:id`, and what the socket event `order` carries. */
export interface Order {
  id: string;
  saleId: string;
  quantity: number;
  status: OrderStatus;
  /** Why it was rejected; null otherwise. `failed`: we could not settle it, and the shop knows. */
  reason: RejectionReason | null;
  createdAt: string;
  settledAt: string | null;
  /** Reserved for sales with a payment window; null without one. */
  holdExpiresAt: string | null;
}

/** Answer to `GET /api/orders`, newest first. */
export interface OrderPage {
  orders: Order[];
  /** Pass as `cursor` to read on; null on the last page. */
  nextCursor: string | null;
  /** So many purchases wait to be settled that only the newest were looked at; older ones of yours are left out. */
  queuedOmitted?: true;
}

/** Answer 202 to `POST /api/sales/:id/purchases`. */
export interface PurchaseReceipt {
  orderId: string;
  status: 'queued';
}

/** An admitted purchase as it travels in the job. `orderId` is derived from (buyerId, saleId, idempotencyKey). */
export interface Purchase {
  orderId: string;
  saleId: string;
  buyerId: string;
  /** Whose limit counts, when that is not the buyer's own id. */
  personId?: string;
  /** A whole number of units, at least 1. */
  quantity: number;
  idempotencyKey: string;
  createdAt: string;
  /** W3C trace context of the request. */
  traceparent?: string;
}

/** The payload of one Bull job: the admitted purchases of one flush, in arrival order. */
export interface PurchaseJob {
  purchases: Purchase[];
  /** Set by an operator who republishes dead letters: orders that were given up are decided again. */
  again?: true;
}

/** RFC 9457 problem details, `application/problem+json`. */
export interface Problem {
  /** `/problems/<name>`, stable. */
  type: string;
  title: string;
  status: number;
  detail: string;
  /** For bad input: which field, and what was expected of it. */
  errors?: { field: string; message: string }[];
  /** For `not-open`: when it opens. */
  opensAt?: string;
  /** For `work-required`: what to answer in the header Proof-Of-Work, and how hard that is. */
  challenge?: string;
  difficultyBits?: number;
  /** For `sold-out`: units left, fewer than were asked for. */
  left?: number;
}

/** Socket event `stock`: at most 20 a second for each sale. */
export interface StockMessage {
  saleId: string;
  stock: number;
  stockVersion: number;
  /** When it was committed. */
  at: string;
}

/** Socket event `crowd`: how many sockets watch this sale, over all instances. At most one a second. */
export interface CrowdMessage {
  saleId: string;
  people: number;
}

/** What the server sends over a socket. `order` reaches only the buyer's own room. */
export interface ServerToClientEvents {
  stock: (message: StockMessage) => void;
  sale: (snapshot: SaleSnapshot) => void;
  order: (order: Order) => void;
  crowd: (message: CrowdMessage) => void;
}

/**
 * What a page sends over a socket. `watch` replaces the sale that the socket watched before; `browse` asks for the
 * stock and the changes of every sale, at a slower pace, for the list of them.
 */
export interface ClientToServerEvents {
  browse: (acknowledge?: (answer: { ok: boolean }) => void) => void;
  watch: (
    request: { saleId: string },
    acknowledge?: (answer: { ok: boolean; detail?: string }) => void,
  ) => void;
}

/** What happened to an order, as the event log keeps it. */
export interface OrderChange {
  orderId: string;
  buyerId: string;
  /** Whose limit counts, when that is not the buyer's own id. It stays in the log: subscribers are not told. */
  personId?: string;
  quantity: number;
  /** Of the request that led to it. */
  traceparent?: string;
}

/** One thing that happened to a sale, as the event log keeps it. Amounts of units are whole numbers. */
export type Change =
  | {
      type: 'sale.created';
      productId: string;
      price: Money;
      stock: number;
      limitPerBuyer: number;
      opensAt: string;
      closesAt: string;
    }
  | { type: 'sale.paused' | 'sale.resumed' }
  | { type: 'sale.opened'; opensAt: string }
  | { type: 'sale.ended'; closesAt: string }
  | { type: 'sale.stock_added'; units: number }
  | { type: 'sale.rescheduled'; opensAt: string; closesAt: string }
  | (OrderChange & { type: 'order.paid' | 'order.cancelled' })
  | (OrderChange & { type: 'order.rejected'; reason: RejectionReason });

export type EventType =
  | Change['type']
  | 'order.placed'
  | 'order.held'
  | 'order.expired'
  | 'inventory.reserved'
  | 'inventory.failed'
  | 'inventory.released';

/** CloudEvents 1.0, structured mode. */
export interface CloudEvent {
  specversion: '1.0';
  /** The same at every delivery. */
  id: string;
  source: string;
  type: EventType;
  /** The order's id, or the sale's. */
  subject: string;
  time: string;
  datacontenttype: 'application/json';
  dataschema: string;
  traceparent?: string;
  /** As log/schemas.ts says for its type. */
  data: EventData;
}
