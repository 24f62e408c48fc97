import type { z } from 'zod';
import { discard } from '../../../sale/settlement/dead-letters.ts';
import { type Refusal, refuse } from '../../http/problems.ts';
import type { Answer, Call } from '../../http/route.ts';
import type { Shop } from '../../shop.ts';
import type { byJobId, deadLetterList } from '../inputs.ts';

type ByJobId = z.infer<typeof byJobId>;

export async function showDeadLetters(
  { queue }: Shop,
  { query }: Call<unknown, z.infer<typeof deadLetterList>>,
): Promise<Answer> {
  const [deadLetters, { failed: total }] = await Promise.all([
    queue.listDeadLetters(query),
    queue.countJobs(),
  ]);
  const next = query.start + query.limit;
  return { status: 200, body: { deadLetters, total, nextStart: next < total ? next : null } };
}

export async function showDeadLetter({ queue }: Shop, { params }: Call<ByJobId>): Promise<Answer | Refusal> {
  const letter = await queue.findDeadLetter(params.id);
  if (!letter) return noDeadLetter(params.id);
  return { status: 200, body: letter };
}

export async function republishDeadLetter(
  { queue }: Shop,
  { params }: Call<ByJobId>,
): Promise<Answer | Refusal> {
  if (!(await queue.republish(params.id))) return noDeadLetter(params.id);
  return { status: 202, body: { id: params.id, status: 'republished' } };
}

export async function discardDeadLetter(shop: Shop, { params }: Call<ByJobId>): Promise<Answer | Refusal> {
  if (!(await discard(shop, params.id))) return noDeadLetter(params.id);
  return { status: 204 };
}

function noDeadLetter(id: string): Refusal {
  return refuse('not-found', `There is no dead letter ${id}: it may be republished or discarded already`);
}
