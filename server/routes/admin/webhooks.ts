import type { z } from 'zod';
import {
  addWebhook,
  listDeliveries,
  listWebhooks,
  removeWebhook,
  resendFailed,
} from '../../../subscribers/webhooks/endpoints.ts';
import { type Refusal, refuse } from '../../http/problems.ts';
import type { Answer, Call } from '../../http/route.ts';
import type { Shop } from '../../shop.ts';
import type { byId, newestList, newWebhook } from '../inputs.ts';

type ById = z.infer<typeof byId>;

export async function showWebhooks({ collections }: Shop): Promise<Answer> {
  return { status: 200, body: { webhooks: await listWebhooks(collections) } };
}

/** Shows the secret, which signs what is sent there, this once. */
export async function createWebhook(
  { collections }: Shop,
  { body }: Call<unknown, unknown, z.infer<typeof newWebhook>>,
): Promise<Answer | Refusal> {
  const webhook = await addWebhook(collections, body);
  if (webhook === 'too_many') return refuse('too-many-webhooks', 'Delete one before you add another');
  return { status: 201, body: webhook };
}

export async function deleteWebhook(
  { collections }: Shop,
  { params }: Call<ById>,
): Promise<Answer | Refusal> {
  if (!(await removeWebhook(collections, params.id))) return noWebhook(params.id);
  return { status: 204 };
}

export async function showDeliveries(
  { collections }: Shop,
  { params, query }: Call<ById, z.infer<typeof newestList>>,
): Promise<Answer | Refusal> {
  const page = await listDeliveries(collections, params.id, query);
  if (!page) return noWebhook(params.id);
  return { status: 200, body: page };
}

export async function resendDeliveries(
  { collections }: Shop,
  { params }: Call<ById>,
): Promise<Answer | Refusal> {
  const resent = await resendFailed(collections, params.id);
  if (resent === null) return noWebhook(params.id);
  return { status: 202, body: { resent } };
}

function noWebhook(id: string): Refusal {
  return refuse('not-found', `There is no webhook ${id}`);
}
