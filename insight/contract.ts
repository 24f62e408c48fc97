/** The schemas of the admin API. sale/contract.ts has the glossary, and says what is derived from a schema. */

import { z } from 'zod';
import {
  canceller,
  count,
  instant,
  jobCounts,
  nextCursor,
  order,
  paymentState,
  rejectionReason,
  saleSnapshot,
  staffRole,
} from '../sale/contract.ts';

const ms = z.number().min(0);
const perSecond = z.number().min(0);

/** Answer to `POST /api/admin/pictures`. */
export const picture = z.object({
  /** Path of the large picture, which never changes. Replace `-1200.` by `-480.` for the small one. */
  path: z.string(),
});
export type Picture = z.infer<typeof picture>;

/** Counts of one second, over all instances. */
const secondFigures = z.object({
  /** Unix time in seconds. */
  second: count,
  /** Answers to presses of Buy, by outcome: `admitted`, `sold_out`, `over_limit`, `busy`, `fault` … */
  answers: z.record(z.string(), count),
  /** Answers 5xx to any request: by the servers, and by nginx itself. */
  faults: z.object({ servers: count, nginx: count }),
  held: count,
  paid: count,
  rejected: count,
  expired: count,
  refunded: count,
  /** Absent in an answer of the version before. */
  cancelled: count.exactOptional(),
  /** From accepted to settled, of the orders settled in this second; null without any. */
  p50Ms: ms.nullable(),
  p99Ms: ms.nullable(),
  queued: count.nullable(),
  oldestMs: ms.nullable(),
});
export type SecondFigures = z.infer<typeof secondFigures>;

/** A process with a recent heartbeat. */
const alive = z.object({
  id: z.string(),
  role: z.enum(['server', 'worker']),
  instance: z.string(),
  startedAt: instant,
  memoryMb: z.number(),
  lateMs: ms,
  /** How far its machine's clock is ahead of Redis'; absent before the first read of that clock. */
  clockAheadMs: z.number().exactOptional(),
  sockets: count.exactOptional(),
});
export type Alive = z.infer<typeof alive>;

/** The result of the last audit. */
const auditStatus = z.object({
  state: z.enum(['never', 'running', 'ok', 'breached', 'failed']),
  at: instant.nullable(),
  breaches: count,
  /** The first breaches, or why it failed. */
  examples: z.array(z.string()),
  orders: count,
  ordersReadAt: instant
    .nullable()
    .exactOptional()
    .describe('When the orders of a large open sale were read last, if that was before this audit'),
  closedReadAt: instant
    .nullable()
    .exactOptional()
    .describe('When the orders of a closed sale were read last, if that was before this audit'),
});
export type AuditStatus = z.infer<typeof auditStatus>;

const settledMs = ms.nullable().describe('From accepted to settled, over the last minute');

/** The queue's key figures over all instances. The Prometheus metrics are counted at the same places. */
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
  /** Null when there were none. */
  successRate: z
    .number()
    .nullable()
    .describe("The share of the last minute's answers that were no fault of the shop"),
});
export type QueueFigures = z.infer<typeof queueFigures>;

/** When a part of the figures was read; null when it never was. */
const readAt = instant.nullable();

/**
 * Answer to `GET /api/admin/live?since=`: the charts and status indicators of the control room. What cannot be read now is
 * as it was read last, at `readAt`.
 */
export const liveFigures = z.object({
  serverTime: instant,
  away: z.array(
    z.object({
      what: z.string().describe('redis, redis-master (one of a cluster), mongodb or rabbitmq'),
      since: instant.describe('When it answered last'),
    }),
  ),
  readAt: z.object({
    processes: readAt,
    queue: readAt,
    lag: readAt,
    money: readAt.exactOptional(),
    audit: readAt,
    sales: readAt,
  }),
  seconds: z.array(secondFigures),
  living: z.array(alive),
  /** Ids of processes whose heartbeat stopped within the last minute. */
  silent: z.array(z.string()),
  figures: queueFigures.nullable(),
  queue: jobCounts.extend({ purchases: count }).nullable(),
  /** Holds and payments of the whole shop; absent in an answer of the version before, null when never read. */
  money: z
    .object({
      holds: count.describe('Orders that are held until they are paid, up to 100,000'),
      failedRefunds: count.describe('Payments with a refund that the provider refused for good'),
      dueMs: ms.describe('How long the next step of a payment has been due'),
    })
    .nullable()
    .exactOptional(),
  audit: auditStatus,
  sales: z.array(saleSnapshot),
  /** The `cursor` of `GET /api/sales` for further sales; null when these are all. */
  salesNextCursor: nextCursor,
  /** The number of sockets that watch each sale. */
  people: z.record(z.string(), count),
});
export type LiveFigures = z.infer<typeof liveFigures>;

/** A sale's development so far, computed from its event log. */
const saleCurve = z.object({
  stock: count,
  units: count,
  paidOrders: count.describe('Ever, with those that were cancelled or refunded later'),
  paidUnits: count,
  soldOrders: count.describe('Paid, and neither cancelled nor refunded as a whole'),
  soldUnits: count,
  heldUnits: count.describe('Of orders that are held now'),
  expiredUnits: count.describe('Of orders that were not paid in time, which went back on sale'),
  cancelledUnits: count.describe('Of paid orders'),
  refundedUnits: count.describe('Of paid orders that were refunded as a whole; they did not go back on sale'),
  refundedAmount: count.describe('What was given back by refunds of the shop, in minor units'),
  amount: count.describe(
    'The price of the orders that were paid and not cancelled, without what was refunded, in minor units',
  ),
  items: z.array(
    z.object({
      itemId: z.string(),
      stock: count,
      units: count.describe('Sold and left'),
      amount: z.int().describe('The price of what is sold of it, before refunds of a part, in minor units'),
      /** When its last unit was sold; null while units are left. */
      soldOutAt: instant.nullable(),
    }),
  ),
  rejected: z.partialRecord(rejectionReason, count),
  firstPaidAt: instant.nullable(),
  /** When the last unit was sold; null while units are left. */
  soldOutAt: instant.nullable(),
  /** The stock over time: [Unix ms, units left]. */
  points: z.array(z.tuple([count, count])),
});
export type SaleCurve = z.infer<typeof saleCurve>;

/** Answer to `GET /api/admin/sales/:id/report`. */
export const saleReport = saleCurve.extend({
  sale: saleSnapshot,
  taken: z
    .int()
    .describe(
      'Money that came in and did not go back, in minor units: captured less refunds, or the price of what is sold',
    ),
  /** Refusals of the gate by reason. Counted in Redis for display only. */
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

const rehearsalPart = z.object({
  count,
  failed: count,
  /** The most frequent ones, with how often. */
  faults: z.array(z.string()),
  p50Ms: ms,
  p99Ms: ms,
});
export type RehearsalPart = z.infer<typeof rehearsalPart>;

/** One crowd of a rehearsal, and how each part of its way was. */
const rehearsalStep = z.object({
  buyers: count,
  /** Units on sale for this crowd. */
  stock: count,
  parts: z.object({
    browse: rehearsalPart.optional(),
    gather: rehearsalPart.optional(),
    press: rehearsalPart.optional(),
    settle: rehearsalPart.optional(),
    draw: rehearsalPart.optional(),
    pay: rehearsalPart.optional(),
  }),
  /** What became of the presses or entries, e.g. `paid` or `sold-out`. */
  outcomes: z.record(z.string(), count),
  playerShare: z.number().describe('How busy the process that played the buyers was, from 0 to 1'),
});
export type RehearsalStep = z.infer<typeof rehearsalStep>;

/** What a rehearsal found. */
export const rehearsalReport = z.object({
  saleId: z.string(),
  name: z.string(),
  at: instant,
  url: z.string(),
  buyers: count.describe('That were asked for'),
  withinSeconds: count.describe('All of a crowd press within this time'),
  mode: z.enum(['open', 'draw']),
  go: z.boolean(),
  taken: count.describe('The largest crowd for which every target held'),
  weakest: z.string().nullable().describe('Which part gave way first; null when none did'),
  weakestPart: z
    .enum(['browse', 'gather', 'press', 'settle', 'draw', 'pay', 'signIn', 'player'])
    .exactOptional()
    .describe('The same as a word for programs'),
  signIns: rehearsalPart.extend({ perSecond }).describe('`count` is 0 when none was played'),
  steps: z.array(rehearsalStep),
  notes: z.array(z.string()).describe('What was not played, and why'),
});
export type RehearsalReport = z.infer<typeof rehearsalReport>;

/** Answer to `GET /api/admin/rehearsals`. */
export const rehearsalStatus = z.object({
  state: z.enum(['idle', 'running']),
  maxBuyers: count.describe('The bound that the operator set; 0 allows no rehearsal'),
  last: rehearsalReport.nullable(),
  failure: z.string().nullable().describe('Why the last one came to no result'),
});
export type RehearsalStatus = z.infer<typeof rehearsalStatus>;

/** One entry of `GET /api/admin/sales/:id/minutes`: counts of a sale's order events in one minute. */
export const saleMinute = z.object({
  /** Start of the minute. */
  minute: instant,
  /** Admitted purchases, whatever their outcome. */
  accepted: count,
  paid: count,
  rejected: count,
  cancelled: count,
  /** Units of the paid orders. */
  units: count,
  /** Units of the cancelled orders. */
  cancelledUnits: count,
});
export type SaleMinute = z.infer<typeof saleMinute>;

/** A shop's endpoint for events. Its secret is shown only when it is created. */
export const webhook = z.object({
  id: z.string(),
  url: z.string(),
  /** A string rather than an enum, because a later version may add types. */
  types: z.array(z.string()),
  createdAt: instant,
});
export type Webhook = z.infer<typeof webhook>;

export const deliveryState = z.enum(['waiting', 'delivered', 'failed']);

/** The delivery of an event to a webhook. */
export const delivery = z.object({
  eventId: z.string(),
  type: z.string(),
  /** When the event happened. */
  time: instant,
  state: deliveryState,
  attempts: count,
  /** Time of the next attempt; of the last attempt once it is no longer `waiting`. */
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

/** A mail to a buyer that has not been sent. */
export const unsentMail = z.object({
  /** Id of the event that caused it; a mail about an account or a call into a waiting room has an id of its own. */
  eventId: z.string(),
  type: z.string(),
  orderId: z.string().describe('Empty for a mail about an account or a call'),
  state: unsentState,
  attempts: count,
  /** Time of the next attempt, or of the last one. */
  dueAt: instant,
  /** The mail server's last answer without the address; null before the first. */
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
  incomplete: z
    .literal(true)
    .exactOptional()
    .describe('More buyers have this name than were looked at, or the search took too long: say more'),
});
export type AdminOrderPage = z.infer<typeof adminOrderPage>;

/** An entry of the staff log. */
const staffEntry = z.object({
  number: count.describe('From 1 without gaps'),
  at: instant,
  actor: z.object({
    kind: z.enum(['account', 'api_key', 'command']),
    id: z.string(),
    name: z.string().nullable().describe('E-mail address, name of the key, or the command'),
    role: z.string().nullable(),
  }),
  from: z.string().nullable().describe("The client's address, or the host of a command"),
  requestId: z.string().nullable(),
  action: z.string().describe('What was done, e.g. `sale.paused`'),
  subject: z.object({ kind: z.string(), id: z.string() }),
  before: z
    .record(z.string(), z.unknown())
    .nullable()
    .describe('The changed fields, cut off where they are long'),
  after: z.record(z.string(), z.unknown()).nullable(),
  hash: z.string().describe('Of the entry before and this one'),
});
export type StaffEntry = z.infer<typeof staffEntry>;

/** Answer to `GET /api/admin/staff-log`, newest first. */
export const staffEntryPage = z.object({ entries: z.array(staffEntry), nextCursor });
export type StaffEntryPage = z.infer<typeof staffEntryPage>;

const orderEventType = z.enum([
  'order.held',
  'order.paid',
  'order.rejected',
  'order.cancelled',
  'order.expired',
  'order.refunded',
  'order.refund_failed',
]);

/** One step of an order, as the event log has it. */
const orderStep = z.object({
  at: instant,
  type: orderEventType,
  reason: z.string().nullable().describe('Why it was rejected, cancelled or refunded'),
  cancelledBy: canceller.nullable(),
  keptBack: z.boolean().describe('Its units did not go back on sale'),
  amount: count.exactOptional().describe('What goes back with a refund, in minor units'),
});
export type OrderStep = z.infer<typeof orderStep>;

/** `none`: there is no record of it, because none was written or it is older than 30 days. `skipped`: no address is known. */
const orderMail = z.object({
  eventId: z.string(),
  type: z.string(),
  state: z.enum([...unsentState.options, 'sent', 'skipped', 'none']),
  attempts: count,
  /** When it was sent, or when it is tried next. */
  at: instant.nullable(),
  answer: z.string().nullable(),
});
export type OrderMail = z.infer<typeof orderMail>;

const orderDelivery = delivery.omit({ time: true }).extend({ webhookId: z.string(), url: z.string() });
export type OrderDelivery = z.infer<typeof orderDelivery>;

export const orderNote = z.object({ text: z.string(), at: instant, by: z.string().describe('Who wrote it') });
export type OrderNote = z.infer<typeof orderNote>;

const suspectState = z.enum(['marked', 'cleared']);

/** Why an order is worth a look before it is shipped. */
const suspicion = z.object({
  state: suspectState,
  group: z.string().describe('The same for all buyers who share it'),
  shared: z.enum(['network', 'payment_method']).describe('What its buyer shares with others'),
  buyers: count.describe('How many buyers of this sale share it'),
});
export type Suspicion = z.infer<typeof suspicion>;

/** One attempt to pay an order, and what of its money went back. Amounts are in minor units. */
const orderPayment = z.object({
  id: z.string(),
  provider: z.string(),
  providerId: z.string().nullable().describe("The provider's own id of it"),
  state: paymentState,
  amount: count,
  currency: z.string(),
  capturedAmount: count,
  refundableAmount: count.describe('What was captured and neither went back nor is on its way back'),
  refunds: z.array(
    z.object({
      id: z.string(),
      amount: count,
      reason: z.string(),
      state: z
        .enum(['requested', 'pending', 'succeeded', 'failed'])
        .describe('`failed` is final: another refund may be asked for'),
      error: z.string().nullable().describe('Why the last attempt failed'),
      requestedAt: instant,
    }),
  ),
  createdAt: instant,
  authorisedAt: instant.nullable(),
  capturedAt: instant.nullable(),
  error: z.string().nullable().describe('Why its next step failed last; it is tried again'),
});
export type OrderPayment = z.infer<typeof orderPayment>;

/** Answer to `GET /api/admin/orders/:id`. */
export const orderDetails = z.object({
  order: adminOrder,
  keptBack: z.boolean(),
  sale: saleSnapshot.nullable(),
  steps: z.array(orderStep).describe('The oldest first'),
  stepsOmitted: z
    .literal(true)
    .exactOptional()
    .describe('Reading the log took too long: what follows from it (steps, mails, webhooks) is missing'),
  mails: z.array(orderMail),
  deliveries: z.array(orderDelivery),
  notes: z.array(orderNote).describe('The oldest first; at most 100'),
  suspicion: suspicion.nullable(),
  payments: z.array(orderPayment).describe('The oldest first; at most 20'),
});
export type OrderDetails = z.infer<typeof orderDetails>;

/** What became of each order of `POST /api/admin/cancellations`. */
const cancelOutcome = z
  .enum(['cancelled', 'not_found', 'not_settled', 'not_cancellable', 'busy'])
  .describe('`busy`: nothing was changed; send it again');
export type CancelOutcome = z.infer<typeof cancelOutcome>;

/** Answer to `POST /api/admin/cancellations`: one entry for each order, in the same order. */
export const cancellationAnswers = z.object({
  orders: z.array(z.object({ orderId: z.string(), outcome: cancelOutcome })),
});
export type CancellationAnswers = z.infer<typeof cancellationAnswers>;

const suspect = z.object({ order: adminOrder, suspicion });

/** Answer to `GET /api/admin/sales/:id/suspects`: those of one group together. */
export const suspectPage = z.object({
  marked: count.describe('Orders that are marked, up to 10,000'),
  readAt: instant.describe('When they were read; a cancellation takes it as `markedBefore`'),
  suspects: z.array(suspect),
  nextCursor,
  networks: z
    .array(
      z.object({
        group: z
          .string()
          .describe('As in the suspicions of those who share it, where the limit is by address'),
        people: count.describe('Who take part'),
        refused: count.describe('How often more people were refused'),
      }),
    )
    .exactOptional()
    .describe(
      'Of a sale that limits the people of one network: the 20 networks with the most people and refusals; absent on later pages and while Redis is away',
    ),
});
export type SuspectPage = z.infer<typeof suspectPage>;

/** What a server may do with its key. */
export const apiScope = z.enum([
  'sales:read',
  'sales:write',
  'orders:read',
  'orders:write',
  'payments:write',
  'refunds:write',
]);
export type ApiScope = z.infer<typeof apiScope>;

export const apiKey = z.object({
  id: z.string(),
  name: z.string(),
  prefix: z.string().describe('The first characters of the key'),
  scopes: z.array(apiScope),
  createdAt: instant,
  lastUsedAt: instant.nullable().describe('To the minute; null before the first use'),
});
export type ApiKey = z.infer<typeof apiKey>;

export const staffMember = z.object({
  id: z.string(),
  email: z.string().describe('Empty when the identity provider gave none'),
  name: z.string(),
  role: staffRole,
  ofProvider: z
    .literal(true)
    .optional()
    .describe('Set when the role comes from the identity provider, and can be changed only there'),
});
export type StaffMember = z.infer<typeof staffMember>;

/** Somebody who was asked to join the staff and has not answered. */
export const staffInvitation = z.object({
  id: z.string(),
  email: z.string(),
  role: staffRole,
  createdAt: instant,
  expiresAt: instant,
});
export type StaffInvitation = z.infer<typeof staffInvitation>;
