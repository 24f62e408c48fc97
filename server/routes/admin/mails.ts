import type { z } from 'zod';
import {
  countUnsentMails,
  listUnsentMails,
  resendFailedMails,
  resendMail,
} from '../../../subscribers/mail/unsent-mails.ts';
import { type Refusal, refuse } from '../../http/problems.ts';
import type { Answer, Call } from '../../http/route.ts';
import type { Shop } from '../../shop.ts';
import type { byEventId, unsentMailList } from '../inputs.ts';

export async function showUnsentMails(
  { collections }: Shop,
  { query }: Call<unknown, z.infer<typeof unsentMailList>>,
): Promise<Answer> {
  const [counts, list] = await Promise.all([
    countUnsentMails(collections),
    listUnsentMails(collections, query),
  ]);
  return { status: 200, body: { counts, ...list } };
}

export async function resendOneMail(
  { collections }: Shop,
  { params }: Call<z.infer<typeof byEventId>>,
): Promise<Answer | Refusal> {
  if (!(await resendMail(collections, params.id)))
    return refuse('not-found', `No mail about ${params.id} failed or may have been delivered`);
  return { status: 202, body: { resent: 1 } };
}

export async function resendMails({ collections }: Shop): Promise<Answer> {
  return { status: 202, body: { resent: await resendFailedMails(collections) } };
}
