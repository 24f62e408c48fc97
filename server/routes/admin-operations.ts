import { z } from 'zod';
import * as room from '../../insight/contract.ts';
import * as shapes from '../../sale/contract.ts';
import type { Operation } from './operations.ts';

const { count, nextCursor } = shapes;

/** Answers that only the control room's page reads are described loosely: as far as others may rely on them. */
const overview = z.looseObject({
  sales: z.array(shapes.saleSnapshot),
  salesNextCursor: nextCursor,
  queuedPurchases: count,
  jobs: shapes.jobCounts.loose(),
  figures: room.queueFigures,
});
const live = room.liveFigures.pick({ serverTime: true, sales: true, salesNextCursor: true }).loose();
const foundOrders = room.adminOrderPage
  .extend({ orders: z.array(room.adminOrder.pick({ id: true }).loose()) })
  .loose();

export const adminOperations: Record<string, Operation> = {
  'POST /api/products': { summary: 'Make a product', answer: [201, shapes.product] },
  'PATCH /api/products/:id': {
    summary: 'Change a product',
    answer: [200, shapes.product],
    problems: ['not-found'],
  },
  'POST /api/sales': {
    summary: 'Put a product on sale',
    answer: [201, shapes.saleSnapshot],
    problems: ['not-found', 'key-reused'],
    headers: ['Location'],
    takesIdempotencyKey: true,
  },
  'PATCH /api/sales/:id': {
    summary: 'Pause or resume a sale, add stock, move its window',
    answer: [200, shapes.saleSnapshot],
    problems: ['not-found', 'key-reused', 'busy'],
    takesIdempotencyKey: true,
  },
  'GET /api/admin/overview': { summary: 'The shop at a glance', answer: [200, overview] },
  'GET /api/admin/live': {
    summary: 'The charts and lamps of the control room',
    answer: [200, live],
  },
  'POST /api/admin/audits': {
    summary: 'Begin an audit',
    answer: [202, z.object({ state: z.literal('running') })],
    problems: ['busy'],
  },
  'GET /api/admin/products': {
    summary: 'The products, newest first, page by page',
    answer: [200, z.object({ products: z.array(shapes.product), nextCursor })],
  },
  'POST /api/admin/pictures': {
    summary: 'Put up a picture: JPEG, PNG, WebP or AVIF',
    answer: [201, room.picture],
    problems: ['invalid-input', 'body-too-large', 'unsupported-media-type'],
    headers: ['Location'],
  },
  'GET /api/admin/orders': {
    summary: 'Find orders by id, buyer or e-mail address',
    answer: [200, foundOrders],
  },
  'GET /api/admin/sales/:id/report': {
    summary: 'The story of a sale',
    answer: [200, room.saleReport.pick({ sale: true }).loose()],
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
    answer: [200, z.object({ minutes: z.array(room.saleMinute), nextCursor })],
    problems: ['not-found'],
  },
  'GET /api/admin/mails': {
    summary:
      'Mails that failed or may have been delivered, or those of one state; `more` says that there are others',
    answer: [
      200,
      z.object({
        counts: z.object({ waiting: count, failed: count, unsure: count }).describe('Up to 10,000 of each'),
        mails: z.array(room.unsentMail),
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
    answer: [200, z.object({ webhooks: z.array(room.webhook) })],
  },
  'POST /api/admin/webhooks': {
    summary: 'Have events sent to a URL, signed; the secret is shown this once',
    answer: [201, room.webhook.extend({ secret: z.string() })],
    problems: ['too-many-webhooks'],
  },
  'DELETE /api/admin/webhooks/:id': {
    summary: 'Send nothing there any more',
    answer: [204, null],
    problems: ['not-found'],
  },
  'GET /api/admin/webhooks/:id/deliveries': {
    summary: 'What was sent there within 30 days, and what became of it',
    answer: [200, z.object({ deliveries: z.array(room.delivery), nextCursor })],
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
        deadLetters: z.array(shapes.deadLetter),
        total: count,
        nextStart: count.nullable().describe('Pass as `start` to read on; null on the last page'),
      }),
    ],
  },
  'GET /api/admin/dead-letters/:id': {
    summary: 'One of them',
    answer: [200, shapes.deadLetter],
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
