import { z } from 'zod';
import * as answers from './answers.ts';
import type { Operation } from './operations.ts';

/** What the control room's routes answer. Loosely: its page is their only reader, and insight/contract.ts says all. */
const count = z.int().min(0);

const deadLetter = z.object({
  id: z.string(),
  reason: z.string(),
  attempts: count,
  failedAt: z.iso.datetime(),
  data: z.unknown().describe('What the job carries'),
  stacks: z.array(z.string()),
});

const perSecond = z.number().min(0);
const settledMs = z.number().min(0).nullable().describe('From accepted to settled, over the last minute');
const figures = z.object({
  depth: count.describe('Purchases accepted and not yet settled'),
  oldestMs: z.number().min(0).describe('How long the oldest of them has been waiting'),
  inPerSecond: perSecond.describe('Purchases accepted a second, over the last 10 s'),
  outPerSecond: perSecond.describe('Purchases settled a second, over the last 10 s'),
  lag: z.record(z.string(), count).describe('Events that wait for each subscriber'),
  p50Ms: settledMs,
  p99Ms: settledMs,
  deadLetters: count,
  deadLetterGrowth: z.int().describe('How many more there are than five minutes ago'),
  successRate: z.number().nullable().describe('Of those that ended within a minute, the share not given up'),
});

const webhook = z.object({
  id: z.string(),
  url: z.string(),
  types: z.array(z.string()),
  createdAt: z.iso.datetime(),
});

const delivery = z.object({
  eventId: z.string(),
  type: z.string(),
  time: z.iso.datetime(),
  state: z.enum(['waiting', 'delivered', 'failed']),
  attempts: count,
  dueAt: z.iso.datetime(),
  status: count.nullable(),
  error: z.string().nullable(),
});

const unsentMail = z.object({
  eventId: z.string(),
  type: z.string(),
  orderId: z.string(),
  state: z.enum(['waiting', 'failed', 'unsure']),
  attempts: count,
  dueAt: z.iso.datetime(),
  answer: z.string().nullable(),
  createdAt: z.iso.datetime(),
});

const minute = z.object({
  minute: z.iso.datetime(),
  accepted: count,
  paid: count,
  rejected: count,
  cancelled: count,
  units: count,
  cancelledUnits: count,
});

const overview = z.looseObject({
  sales: z.array(answers.snapshot),
  salesNextCursor: answers.nextCursor,
  queuedPurchases: count,
  jobs: z.looseObject({ waiting: count, active: count, delayed: count, failed: count }),
  figures,
});

export const adminOperations: Record<string, Operation> = {
  'POST /api/products': { summary: 'Make a product', answer: [201, answers.product] },
  'PATCH /api/products/:id': {
    summary: 'Change a product',
    answer: [200, answers.product],
    problems: ['not-found'],
  },
  'POST /api/sales': {
    summary: 'Put a product on sale',
    answer: [201, answers.snapshot],
    problems: ['not-found', 'key-reused'],
    headers: ['Location'],
    takesIdempotencyKey: true,
  },
  'PATCH /api/sales/:id': {
    summary: 'Pause or resume a sale, add stock, move its window',
    answer: [200, answers.snapshot],
    problems: ['not-found', 'key-reused', 'busy'],
    takesIdempotencyKey: true,
  },
  'GET /api/admin/overview': { summary: 'The shop at a glance', answer: [200, overview] },
  'GET /api/admin/live': {
    summary: 'The charts and lamps of the control room',
    answer: [
      200,
      z.looseObject({
        serverTime: z.iso.datetime(),
        sales: z.array(answers.snapshot),
        salesNextCursor: answers.nextCursor,
      }),
    ],
  },
  'POST /api/admin/audits': {
    summary: 'Begin an audit',
    answer: [202, z.object({ state: z.literal('running') })],
    problems: ['busy'],
  },
  'GET /api/admin/products': {
    summary: 'The products, newest first, page by page',
    answer: [200, z.object({ products: z.array(answers.product), nextCursor: answers.nextCursor })],
  },
  'POST /api/admin/pictures': {
    summary: 'Put up a picture: JPEG, PNG, WebP or AVIF',
    answer: [201, z.object({ path: z.string() })],
    problems: ['invalid-input', 'body-too-large', 'unsupported-media-type'],
    headers: ['Location'],
  },
  'GET /api/admin/orders': {
    summary: 'Find orders by id, buyer or e-mail address',
    answer: [
      200,
      z.looseObject({
        orders: z.array(z.looseObject({ id: z.string() })),
        nextCursor: z
          .union([count, z.string()])
          .nullable()
          .describe('Pass as `cursor` to read on; null on the last page'),
      }),
    ],
  },
  'GET /api/admin/sales/:id/report': {
    summary: 'The story of a sale',
    answer: [200, z.looseObject({ sale: answers.snapshot })],
    problems: ['not-found'],
  },
  'GET /api/admin/sales/:id/orders.csv': {
    summary: 'Every order of a sale, in the order in which they were settled',
    answer: [200, z.string()],
    media: 'text/csv',
    problems: ['not-found'],
  },
  'GET /api/admin/sales/:id/minutes': {
    summary: 'What happened to its orders, minute by minute: pages of 1,440, the newest page first',
    answer: [200, z.object({ minutes: z.array(minute), nextCursor: answers.nextCursor })],
    problems: ['not-found'],
  },
  'GET /api/admin/mails': {
    summary:
      'Mails that failed or may have been delivered, or those of one state; `more` says that there are others',
    answer: [
      200,
      z.object({
        counts: z.object({ waiting: count, failed: count, unsure: count }).describe('Up to 10,000 of each'),
        mails: z.array(unsentMail),
        more: z.boolean(),
      }),
    ],
  },
  'POST /api/admin/mails/resend': {
    summary: 'Send again what failed; not what may have been delivered',
    answer: [202, z.object({ resent: count })],
  },
  'POST /api/admin/mails/:id/resend': {
    summary: 'Send one again that failed or may have been delivered',
    answer: [202, z.object({ resent: count })],
    problems: ['not-found'],
  },
  'GET /api/admin/webhooks': {
    summary: 'Where events are sent',
    answer: [200, z.object({ webhooks: z.array(webhook) })],
  },
  'POST /api/admin/webhooks': {
    summary: 'Have events sent to a URL, signed; the secret is shown this once',
    answer: [201, webhook.extend({ secret: z.string() })],
    problems: ['too-many-webhooks'],
  },
  'DELETE /api/admin/webhooks/:id': {
    summary: 'Send nothing there any more',
    answer: [204, null],
    problems: ['not-found'],
  },
  'GET /api/admin/webhooks/:id/deliveries': {
    summary: 'What was sent there within 30 days, and what became of it',
    answer: [200, z.object({ deliveries: z.array(delivery), nextCursor: answers.nextCursor })],
    problems: ['not-found'],
  },
  'POST /api/admin/webhooks/:id/resend': {
    summary: 'Send again what failed at every attempt',
    answer: [202, z.object({ resent: count })],
    problems: ['not-found'],
  },
  'POST /api/admin/queue-visits': {
    summary: 'A ticket for one visit to the board of the queue',
    answer: [201, z.object({ path: z.string() })],
  },
  'GET /api/admin/dead-letters': {
    summary: 'Jobs that could not be settled',
    answer: [
      200,
      z.object({
        deadLetters: z.array(deadLetter),
        total: count,
        nextStart: count.nullable().describe('Pass as `start` to read on; null on the last page'),
      }),
    ],
  },
  'GET /api/admin/dead-letters/:id': {
    summary: 'One of them',
    answer: [200, deadLetter],
    problems: ['not-found'],
  },
  'POST /api/admin/dead-letters/:id/republish': {
    summary: 'Have it settled again',
    answer: [202, z.object({ id: z.string(), status: z.literal('republished') })],
    problems: ['not-found'],
  },
  'DELETE /api/admin/dead-letters/:id': {
    summary: 'Put it away for good',
    answer: [204, null],
    problems: ['not-found'],
  },
};
