import type { z } from 'zod';
import { createUser, findUserByPassword } from '../sale/user.ts';
import type { credentials, newUser } from './inputs.ts';
import { HttpProblem } from './problems.ts';
import type { Answer, Call } from './route.ts';
import type { Shop } from './shop.ts';

export async function signUp(
  { collections, tokens, bcryptCost }: Shop,
  { body }: Call<unknown, unknown, z.infer<typeof newUser>>,
): Promise<Answer> {
  const user = await createUser(collections, body, { bcryptCost });
  if (user === 'email_taken') throw new HttpProblem('email-taken', 'Sign in instead');
  return { status: 201, body: { user, token: tokens.issue(user) } };
}

export async function signIn(
  { collections, tokens, bcryptCost }: Shop,
  { body }: Call<unknown, unknown, z.infer<typeof credentials>>,
): Promise<Answer> {
  const user = await findUserByPassword(collections, body, { bcryptCost });
  if (!user) throw new HttpProblem('unauthorized', 'The e-mail address or the password is wrong');
  return { status: 201, body: { user, token: tokens.issue(user) } };
}

/** A guest's token, with which a page may watch. */
export function enterAsVisitor({ tokens }: Shop): Answer {
  return { status: 201, body: { token: tokens.issueVisitor() } };
}
