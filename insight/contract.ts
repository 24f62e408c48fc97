/** The control room's part of the contract: what only admins are told. See contract.ts for the words. */

import type { EventType, Order, OrderStatus, RejectionReason, SaleSnapshot } from '../sale/contract.ts';

/** Answer to `POST /api/admin/pictures`. */
export interface Picture {
  /** Never changes what it shows. The width is in its name; `-480.` instead of `-1200.` is the small one. */
  path: string;
}

/** What happened in one second, over all instances. */
export interface SecondFigures {
  /** Unix time in seconds. */
  second: number;
  /** Answers to presses of Buy, by outcome: `admitted`, `sold_out`, `over_limit`, `busy` … */
  answers: Record<string, number>;
  paid: number;
  rejected: number;
  /** From accepted to settled, of the orders settled in this second; null without any. */
  p50Ms: number | null;
  p99Ms: number | null;
  queued: number | null;
  oldestMs: number | null;
}

/** A process that said so within the last seconds. */
export interface Alive {
  id: string;
  role: 'server' | 'worker';
  instance: string;
  startedAt: string;
  memoryMb: number;
  lateMs: number;
  /** How far its machine's clock is ahead of Redis', which decides; absent until it asked. */
  clockAheadMs?: number;
  sockets?: number;
}

/** What the last audit found, whoever asked for it. */
export interface AuditLight {
  state: 'never' | 'running' | 'ok' | 'breached' | 'failed';
  at: string | null;
  breaches: number;
  /** The first breaches, or why it failed. */
  examples: string[];
  orders: number;
}

/** The six figures that a queue is run by, over all instances. The metrics count the same at the same places. */
export interface QueueFigures {
  /** Purchases accepted and not yet settled, and how long the oldest has been waiting. */
  depth: number;
  oldestMs: number;
  /** Purchases accepted and settled a second, over the last 10 s. */
  inPerSecond: number;
  outPerSecond: number;
  /** Events that wait for each subscriber. */
  lag: Record<string, number>;
  /** From accepted to settled, over the last minute; null without any. */
  p50Ms: number | null;
  p99Ms: number | null;
  /** And how many more there are than five minutes ago. */
  deadLetters: number;
  deadLetterGrowth: number;
  /** Of the purchases that ended within the last minute, the share that was not given up; null without any. */
  successRate: number | null;
}

/** Answer to `GET /api/admin/live?since=`: the charts and lamps of the control room. */
export interface LiveFigures {
  serverTime: string;
  seconds: SecondFigures[];
  living: Alive[];
  /** Ids of processes that fell silent within the last minute. */
  silent: string[];
  figures: QueueFigures;
  queue: { purchases: number; waiting: number; active: number; delayed: number; failed: number };
  audit: AuditLight;
  sales: SaleSnapshot[];
  /** For the `cursor` of `GET /api/sales`, when there are more; null when these are all. */
  salesNextCursor: string | null;
  /** How many sockets watch each sale. */
  people: Record<string, number>;
}

/** A sale's story so far, as its event log tells it. */
export interface SaleCurve {
  stock: number;
  units: number;
  paidOrders: number;
  paidUnits: number;
  cancelledUnits: number;
  rejected: Partial<Record<RejectionReason, number>>;
  firstPaidAt: string | null;
  /** When the last unit went; null while there are units. */
  soldOutAt: string | null;
  /** When (ms), and what was left then. */
  points: [number, number][];
}

/** Answer to `GET /api/admin/sales/:id/report`. */
export interface SaleReport extends SaleCurve {
  sale: SaleSnapshot;
  /** What the gate refused, by reason. Counted in Redis for the eye. */
  refused: Record<string, number>;
  admitted: number;
  /** From the opening to the last unit. */
  soldOutAfterMs: number | null;
  p50Ms: number | null;
  p99Ms: number | null;
  fastestMs: number | null;
  slowestMs: number | null;
}

/** One of the answer to `GET /api/admin/sales/:id/minutes`: what happened to a sale's orders within a minute. */
export interface SaleMinute {
  /** When it began. */
  minute: string;
  /** Purchases that were let in, whatever became of them. */
  accepted: number;
  paid: number;
  rejected: number;
  cancelled: number;
  /** Of the paid orders. */
  units: number;
  /** Of the cancelled ones. */
  cancelledUnits: number;
}

/** A shop's address for events. Its secret is shown once, when it is made. */
export interface Webhook {
  id: string;
  url: string;
  types: EventType[];
  createdAt: string;
}

/** An event on its way to a webhook, or there. */
export interface Delivery {
  eventId: string;
  type: EventType;
  /** When it happened. */
  time: string;
  state: 'waiting' | 'delivered' | 'failed';
  attempts: number;
  /** When it is tried next; when it was, once it no longer waits. */
  dueAt: string;
  /** HTTP status of the last answer; null when there was none. */
  status: number | null;
  /** Why the last attempt failed; null when it did not. */
  error: string | null;
}

/** A mail to a buyer that was not sent so far. */
export interface UnsentMail {
  /** Of the event that it tells. */
  eventId: string;
  type: string;
  orderId: string;
  /** `unsure`: it was transmitted twice without an answer, and may have been delivered. */
  state: 'waiting' | 'failed' | 'unsure';
  attempts: number;
  /** When it is tried next, or was tried last. */
  dueAt: string;
  /** What the mail server answered last, without the address; null before that. */
  answer: string | null;
  createdAt: string;
}

export interface AdminOrder extends Order {
  status: OrderStatus;
  buyerId: string;
  /** Null for a buyer without an account here. */
  email: string | null;
  name: string | null;
}

/** Answer to `GET /api/admin/orders`. */
export interface AdminOrderPage {
  orders: AdminOrder[];
  /** Pass as `cursor` to read on; null on the last page. */
  nextCursor: number | string | null;
}
