import { z } from 'zod';
import { createApiKey, listApiKeys, revokeApiKey } from '../../../accounts/api-key.ts';
import { apiKey, apiScope } from '../../../insight/contract.ts';
import { byId, name } from '../../http/inputs.ts';
import { refuse } from '../../http/problems.ts';
import { byOf, type Route, route } from '../../http/route.ts';
import type { Shop } from '../../shop.ts';

export const apiKeyRoutes = ({ collections }: Shop): Route[] => [
  route({
    method: 'get',
    path: '/api/admin/api-keys',
    access: 'admin',
    summary: 'The keys of the servers that call this API',
    answer: [200, z.object({ apiKeys: z.array(apiKey) })],
    handle: async () => ({ status: 200, body: { apiKeys: await listApiKeys(collections) } }),
  }),
  route({
    method: 'post',
    path: '/api/admin/api-keys',
    access: 'admin',
    summary: 'Make a key for a server; it is shown this once',
    body: z.strictObject({
      name: name(100),
      scopes: z.array(apiScope).min(1, 'expected at least one scope').max(apiScope.options.length),
    }),
    answer: [201, apiKey.extend({ key: z.string().describe('For `Authorization: Bearer`') })],
    problems: ['too-many-api-keys'],
    async handle({ body, ...call }) {
      const made = await createApiKey(collections, body, byOf(call));
      if (made === 'too_many') return refuse('too-many-api-keys', 'Revoke one before you make another');
      return { status: 201, body: made };
    },
  }),
  route({
    method: 'delete',
    path: '/api/admin/api-keys/:id',
    access: 'admin',
    summary: 'Revoke a key: its next request is refused',
    params: byId,
    answer: [204, null],
    problems: ['not-found'],
    async handle({ params: { id }, ...call }) {
      const isRevoked = await revokeApiKey(collections, id, byOf(call));
      return isRevoked ? { status: 204 } : refuse('not-found', `There is no API key ${id}`);
    },
  }),
];
