import { z } from 'zod';
import { unsentMail, unsentState } from '../../../insight/contract.ts';
import { count } from '../../../sale/contract.ts';
import {
  countUnsentMails,
  listUnsentMails,
  resendFailedMails,
  resendMail,
} from '../../../subscribers/mail/unsent-mails.ts';
import { pageSize } from '../../http/inputs.ts';
import { refuse } from '../../http/problems.ts';
import { byOf, type Route, route } from '../../http/route.ts';
import type { Shop } from '../../shop.ts';

const resent = z.object({ resent: count });

export const mailRoutes = ({ collections }: Shop): Route[] => [
  route({
    method: 'get',
    path: '/api/admin/mails',
    access: 'desk',
    scope: 'orders:read',
    summary:
      'Mails that failed or may have been delivered, or those of one state; `more` says that there are others',
    query: z.strictObject({ limit: pageSize, state: unsentState.optional() }),
    answer: [
      200,
      z.object({
        counts: z.object({ waiting: count, failed: count, unsure: count }).describe('Up to 10,000 of each'),
        mails: z.array(unsentMail),
        more: z.boolean(),
      }),
    ],
    async handle({ query }) {
      const [counts, list] = await Promise.all([
        countUnsentMails(collections),
        listUnsentMails(collections, query),
      ]);
      return { status: 200, body: { counts, ...list } };
    },
  }),
  route({
    method: 'post',
    path: '/api/admin/mails/resend',
    access: 'desk',
    scope: 'orders:write',
    summary: 'Send again what failed; not what may have been delivered',
    answer: [202, resent],
    async handle(call) {
      return { status: 202, body: { resent: await resendFailedMails(collections, byOf(call)) } };
    },
  }),
  route({
    method: 'post',
    path: '/api/admin/mails/:id/resend',
    access: 'desk',
    scope: 'orders:write',
    summary: 'Send one again that failed or may have been delivered',
    params: z.strictObject({
      id: z
        .string()
        .regex(
          /^([\w-]{1,64}:\d{1,15}:\d{1,9}|call:[\w-]{1,64}:[\w-]{1,64}:\d{1,9}|[\w-]{21})$/,
          "expected a mail's id",
        ),
    }),
    answer: [202, resent],
    problems: ['not-found'],
    async handle({ params: { id }, ...call }) {
      if (await resendMail(collections, id, byOf(call))) return { status: 202, body: { resent: 1 } };
      return refuse('not-found', `No mail about ${id} failed or may have been delivered`);
    },
  }),
];
