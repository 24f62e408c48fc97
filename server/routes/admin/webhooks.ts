import { z } from 'zod';
import * as shapes from '../../../insight/contract.ts';
import { count, nextCursor } from '../../../sale/contract.ts';
import {
  addWebhook,
  listDeliveries,
  listWebhooks,
  removeWebhook,
  resendFailed,
} from '../../../subscribers/webhooks/endpoints.ts';
import { webhookTypes } from '../../../subscribers/webhooks/webhooks.ts';
import { byId, newestList } from '../../http/inputs.ts';
import { type Refusal, refuse } from '../../http/problems.ts';
import { byOf, type Route, route } from '../../http/route.ts';
import type { Shop } from '../../shop.ts';

/** The endpoint of a webhook: an http or https URL without credentials. */
const newWebhook = z.strictObject({
  // Whitespace is refused first, because `z.url` drops it from a URL, as `new URL` does.
  url: z
    .string()
    .max(2_000)
    .regex(/^[\x21-\x7e]+$/, 'expected printable ASCII: a host in Punycode, other characters percent-encoded')
    .meta({ format: 'uri' })
    .pipe(z.url({ protocol: /^https?$/ }))
    .refine((text) => !URL.canParse(text) || !(new URL(text).username || new URL(text).password), {
      error: 'expected no user and password in it',
    }),
  types: z.array(z.enum(webhookTypes)).min(1).max(webhookTypes.length),
});

export const webhookRoutes = ({ collections }: Shop): Route[] => [
  route({
    method: 'get',
    path: '/api/admin/webhooks',
    access: 'admin',
    summary: 'Where events are sent',
    answer: [200, z.object({ webhooks: z.array(shapes.webhook) })],
    handle: async () => ({ status: 200, body: { webhooks: await listWebhooks(collections) } }),
  }),
  route({
    method: 'post',
    path: '/api/admin/webhooks',
    access: 'admin',
    summary: 'Have events sent to a URL, signed; the secret is shown this once',
    body: newWebhook,
    answer: [201, shapes.webhook.extend({ secret: z.string() })],
    problems: ['too-many-webhooks'],
    async handle({ body, ...call }) {
      const webhook = await addWebhook(collections, body, byOf(call));
      if (webhook === 'too_many') return refuse('too-many-webhooks', 'Delete one before you add another');
      return { status: 201, body: webhook };
    },
  }),
  route({
    method: 'delete',
    path: '/api/admin/webhooks/:id',
    access: 'admin',
    summary: 'Send nothing there any more',
    params: byId,
    answer: [204, null],
    problems: ['not-found'],
    async handle({ params, ...call }) {
      const isRemoved = await removeWebhook(collections, params.id, byOf(call));
      return isRemoved ? { status: 204 } : noWebhook(params.id);
    },
  }),
  route({
    method: 'get',
    path: '/api/admin/webhooks/:id/deliveries',
    access: 'admin',
    summary: 'What was sent there within 30 days, and what became of it',
    params: byId,
    query: newestList,
    answer: [200, z.object({ deliveries: z.array(shapes.delivery), nextCursor })],
    problems: ['not-found'],
    async handle({ params, query }) {
      const page = await listDeliveries(collections, params.id, query);
      return page ? { status: 200, body: page } : noWebhook(params.id);
    },
  }),
  route({
    method: 'post',
    path: '/api/admin/webhooks/:id/resend',
    access: 'admin',
    summary: 'Send again what failed at every attempt',
    params: byId,
    answer: [202, z.object({ resent: count })],
    problems: ['not-found'],
    async handle({ params, ...call }) {
      const resent = await resendFailed(collections, params.id, byOf(call));
      return resent === null ? noWebhook(params.id) : { status: 202, body: { resent } };
    },
  }),
];

function noWebhook(id: string): Refusal {
  return refuse('not-found', `There is no webhook ${id}`);
}
