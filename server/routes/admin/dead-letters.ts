import { z } from 'zod';
import { logStaffAction } from '../../../accounts/staff-log.ts';
import { count, deadLetter } from '../../../sale/contract.ts';
import { discard } from '../../../sale/settlement/dead-letters.ts';
import { pageSize, wholeFromText } from '../../http/inputs.ts';
import { type Refusal, refuse } from '../../http/problems.ts';
import { byOf, type Route, route } from '../../http/route.ts';
import type { Shop } from '../../shop.ts';

/** The id of a job in Bull is a number, behind that of its shard; the id of a message in RabbitMQ is longer. */
const byJobId = z.strictObject({
  id: z.string().regex(/^((\d{1,2}-)?\d{1,15}|[\w-]{21,64})$/, "expected a dead letter's id"),
});

export function deadLetterRoutes(shop: Shop): Route[] {
  const { queue, collections } = shop;
  return [
    route({
      method: 'get',
      path: '/api/admin/dead-letters',
      access: 'viewer',
      summary: 'Jobs that could not be settled',
      query: z.strictObject({ start: wholeFromText(0, 1_000_000).default(0), limit: pageSize }),
      answer: [
        200,
        z.object({
          deadLetters: z.array(deadLetter),
          total: count,
          nextStart: count.nullable().describe('Pass as `start` to read on; null on the last page'),
        }),
      ],
      async handle({ query }) {
        const [deadLetters, { failed: total }] = await Promise.all([
          queue.listDeadLetters(query),
          queue.countJobs(),
        ]);
        const next = query.start + query.limit;
        return { status: 200, body: { deadLetters, total, nextStart: next < total ? next : null } };
      },
    }),
    route({
      method: 'get',
      path: '/api/admin/dead-letters/:id',
      access: 'viewer',
      summary: 'One of them',
      params: byJobId,
      answer: [200, deadLetter],
      problems: ['not-found'],
      async handle({ params }) {
        const found = await queue.findDeadLetter(params.id);
        return found ? { status: 200, body: found } : noDeadLetter(params.id);
      },
    }),
    route({
      method: 'post',
      path: '/api/admin/dead-letters/:id/republish',
      access: 'admin',
      summary: 'Have it settled again',
      params: byJobId,
      answer: [202, z.object({ id: z.string(), status: z.literal('republished') })],
      problems: ['not-found'],
      async handle({ params, ...call }) {
        if (!(await queue.findDeadLetter(params.id))) return noDeadLetter(params.id);
        const subject = { kind: 'dead_letter', id: params.id };
        await logStaffAction(collections, { ...byOf(call), action: 'dead_letter.republished', subject });
        if (!(await queue.republish(params.id))) return noDeadLetter(params.id);
        return { status: 202, body: { id: params.id, status: 'republished' } };
      },
    }),
    route({
      method: 'delete',
      path: '/api/admin/dead-letters/:id',
      access: 'admin',
      summary: 'Put it away for good',
      params: byJobId,
      answer: [204, null],
      problems: ['not-found'],
      async handle({ params, ...call }) {
        const isDiscarded = await discard(shop, params.id, byOf(call));
        return isDiscarded ? { status: 204 } : noDeadLetter(params.id);
      },
    }),
  ];
}

function noDeadLetter(id: string): Refusal {
  return refuse('not-found', `There is no dead letter ${id}: it may be republished or discarded already`);
}
