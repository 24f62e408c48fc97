/** What only admins are told. sale/contract.ts has the words, and says what follows from a schema. */

import { z } from 'zod';
import {
  count,
  instant,
  jobCounts,
  nextCursor,
  order,
  rejectionReason,
  saleSnapshot,
} from '../sale/contract.ts';

const ms = z.number().min(0);
const perSecond = z.number().min(0);

/** Answer to `POST /api/admin/pictures`. */
export const picture = z.object({
  /** Never changes what it shows. The width is in its name; `-480.` instead of `-1200.` is the small one. */
  path: z.string(),
});
export type Picture = z.infer<typeof picture>;

/** What happened in one second, over all instances. */
const secondFigures = z.object({
  /** Unix time in seconds. */
  second: count,
  /** Answers to presses of Buy, by outcome: `admitted`, `sold_out`, `over_limit`, `busy` … */
  answers: z.record(z.string(), count),
  paid: count,
  rejected: count,
  /** From accepted to settled, of the orders settled in this second; null without any. */
  p50Ms: ms.nullable(),
  p99Ms: ms.nullable(),
  queued: count.nullable(),
  oldestMs: ms.nullable(),
});
export type SecondFigures = z.infer<typeof secondFigures>;

/** A process that said so within the last seconds. */
const alive = z.object({
  id: z.string(),
  role: z.enum(['server', 'worker']),
  instance: z.string(),
  startedAt: instant,
  memoryMb: z.number(),
  lateMs: ms,
  /** How far its machine's clock is ahead of Redis', which decides; absent until it asked. */
  clockAheadMs: z.number().exactOptional(),
  sockets: count.exactOptional(),
});
export type Alive = z.infer<typeof alive>;

/** What the last audit found, whoever asked for it. */
const auditLight = z.object({
  state: z.enum(['never', 'running', 'ok', 'breached', 'failed']),
  at: instant.nullable(),
  breaches: count,
  /** The first breaches, or why it failed. */
  examples: z.array(z.string()),
  orders: count,
});
export type AuditLight = z.infer<typeof auditLight>;

const settledMs = ms.nullable().describe('From accepted to settled, over the last minute');

/** The six figures that a queue is run by, over all instances. The metrics count the same at the same places. */
export const queueFigures = z.object({
  depth: count.describe('Purchases accepted and not yet settled'),
  oldestMs: ms.describe('How long the oldest of them has been waiting'),
  inPerSecond: perSecond.describe('Purchases accepted a second, over the last 10 s'),
  outPerSecond: perSecond.describe('Purchases settled a second, over the last 10 s'),
  lag: z.record(z.string(), count).describe('Events that wait for each subscriber'),
  /** Null without any. */
  p50Ms: settledMs,
  p99Ms: settledMs,
  deadLetters: count,
  deadLetterGrowth: z.int().describe('How many more there are than five minutes ago'),
  /** Null when none ended. */
  successRate: z.number().nullable().describe('Of those that ended within a minute, the share not given up'),
});
export type QueueFigures = z.infer<typeof queueFigures>;

/** Answer to `GET /api/admin/live?since=`: the charts and lamps of the control room. */
export const liveFigures = z.object({
  serverTime: instant,
  seconds: z.array(secondFigures),
  living: z.array(alive),
  /** Ids of processes that fell silent within the last minute. */
  silent: z.array(z.string()),
  figures: queueFigures,
  queue: jobCounts.extend({ purchases: count }),
  audit: auditLight,
  sales: z.array(saleSnapshot),
  /** For the `cursor` of `GET /api/sales`, when there are more; null when these are all. */
  salesNextCursor: nextCursor,
  /** How many sockets watch each sale. */
  people: z.record(z.string(), count),
});
export type LiveFigures = z.infer<typeof liveFigures>;

/** A sale's story so far, as its event log tells it. */
const saleCurve = z.object({
  stock: count,
  units: count,
  paidOrders: count,
  paidUnits: count,
  cancelledUnits: count,
  rejected: z.partialRecord(rejectionReason, count),
  firstPaidAt: instant.nullable(),
  /** When the last unit went; null while there are units. */
  soldOutAt: instant.nullable(),
  /** When (ms), and what was left then. */
  points: z.array(z.tuple([count, count])),
});
export type SaleCurve = z.infer<typeof saleCurve>;

/** Answer to `GET /api/admin/sales/:id/report`. */
export const saleReport = saleCurve.extend({
  sale: saleSnapshot,
  /** What the gate refused, by reason. Counted in Redis for the eye. */
  refused: z.record(z.string(), count),
  admitted: count,
  /** From the opening to the last unit. */
  soldOutAfterMs: ms.nullable(),
  p50Ms: ms.nullable(),
  p99Ms: ms.nullable(),
  fastestMs: ms.nullable(),
  slowestMs: ms.nullable(),
});
export type SaleReport = z.infer<typeof saleReport>;

/** One of the answer to `GET /api/admin/sales/:id/minutes`: what happened to a sale's orders within a minute. */
export const saleMinute = z.object({
  /** When it began. */
  minute: instant,
  /** Purchases that were let in, whatever became of them. */
  accepted: count,
  paid: count,
  rejected: count,
  cancelled: count,
  /** Of the paid orders. */
  units: count,
  /** Of the cancelled ones. */
  cancelledUnits: count,
});
export type SaleMinute = z.infer<typeof saleMinute>;

/** A shop's address for events. Its secret is shown once, when it is made. */
export const webhook = z.object({
  id: z.string(),
  url: z.string(),
  /** Not an enum: whoever reads it must bear with types of a later version. */
  types: z.array(z.string()),
  createdAt: instant,
});
export type Webhook = z.infer<typeof webhook>;

export const deliveryState = z.enum(['waiting', 'delivered', 'failed']);

/** An event on its way to a webhook, or there. */
export const delivery = z.object({
  eventId: z.string(),
  type: z.string(),
  /** When it happened. */
  time: instant,
  state: deliveryState,
  attempts: count,
  /** When it is tried next; when it was, once it no longer waits. */
  dueAt: instant,
  /** HTTP status of the last answer; null when there was none. */
  status: count.nullable(),
  /** Why the last attempt failed; null when it did not. */
  error: z.string().nullable(),
});
export type Delivery = z.infer<typeof delivery>;

/** `unsure`: it was transmitted twice without an answer, and may have been delivered. */
export const unsentState = z.enum(['waiting', 'failed', 'unsure']);
export type UnsentState = z.infer<typeof unsentState>;

/** A mail to a buyer that was not sent so far. */
export const unsentMail = z.object({
  /** Of the event that it tells. */
  eventId: z.string(),
  type: z.string(),
  orderId: z.string(),
  state: unsentState,
  attempts: count,
  /** When it is tried next, or was tried last. */
  dueAt: instant,
  /** What the mail server answered last, without the address; null before that. */
  answer: z.string().nullable(),
  createdAt: instant,
});
export type UnsentMail = z.infer<typeof unsentMail>;

export const adminOrder = order.extend({
  buyerId: z.string(),
  /** Null for a buyer without an account here. */
  email: z.string().nullable(),
  name: z.string().nullable(),
});
export type AdminOrder = z.infer<typeof adminOrder>;

/** Answer to `GET /api/admin/orders`. */
export const adminOrderPage = z.object({
  orders: z.array(adminOrder),
  nextCursor: z
    .union([count, z.string()])
    .nullable()
    .describe('Pass as `cursor` to read on; null on the last page'),
});
export type AdminOrderPage = z.infer<typeof adminOrderPage>;
