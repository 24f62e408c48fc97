import { nanoid } from 'nanoid';
import type { z } from 'zod';
import { type AccountReading, deleteAccount, exportAccount } from '../../accounts/account.ts';
import { revokeTokensOf } from '../../accounts/session.ts';
import { createUser } from '../../accounts/user.ts';
import { allow } from '../http/limits.ts';
import { isRefusal, type Refusal, refuse } from '../http/problems.ts';
import type { Answer, Call } from '../http/route.ts';
import { noSessionCookie } from '../http/session-cookie.ts';
import type { Shop } from '../shop.ts';
import type { newUser } from './inputs.ts';
import { welcome } from './sessions.ts';

export async function signUp(
  shop: Shop,
  { body, request }: Call<unknown, unknown, z.infer<typeof newUser>, null>,
): Promise<Answer | Refusal> {
  const { collections, limits, challenges, bcryptCost } = shop;
  const allowed = allow(limits.signUps, await limits.signUps.take(request.network));
  if (isRefusal(allowed)) return allowed;
  const unpaid = await challenges.requireWork(body.email, request.header('proof-of-work'), nanoid());
  if (unpaid) return unpaid;
  const account = await createUser(collections, body, { bcryptCost });
  if (account === 'email_taken') return refuse('email-taken', 'Sign in instead');
  return await welcome(shop, request, account);
}

/** A guest's token, with which a page may watch. */
export function enterAsVisitor({ tokens }: Shop): Answer {
  return { status: 201, body: { token: tokens.issueVisitor() } };
}

export async function giveExport(
  { collections, gate }: Shop,
  { identity: { userId } }: Call,
): Promise<Answer | Refusal> {
  const account = await exportAccount(collections, userId, await gate.listQueuedOf(userId));
  if (!account) return noAccount();
  return {
    status: 200,
    text: jsonOf(account),
    headers: {
      'Content-Type': 'application/json; charset=utf-8',
      'Content-Disposition': 'attachment; filename="stampede-account.json"',
    },
  };
}

/** An account with all its orders may be long, so it is written while it is read. */
async function* jsonOf({ sessions, orders, ...account }: AccountReading): AsyncGenerator<string> {
  yield JSON.stringify(account).slice(0, -1);
  for (const [name, list] of [['sessions', sessions] as const, ['orders', orders] as const]) {
    yield `,"${name}":[`;
    let before = '';
    for await (const entry of list) {
      yield before + JSON.stringify(entry);
      before = ',';
    }
    yield ']';
  }
  yield '}';
}

export async function forgetAccount(
  shop: Shop,
  { identity: { userId }, request }: Call,
): Promise<Answer | Refusal> {
  const isDeleted = await deleteAccount(shop.collections, userId);
  // Also when it was deleted before: whoever did so could have died before anybody heard of it.
  shop.revokeTokens(await revokeTokensOf(shop.collections, userId));
  if (!isDeleted) return noAccount();
  return { status: 204, headers: { 'Set-Cookie': noSessionCookie(request) } };
}

function noAccount(): Refusal {
  return refuse('not-found', 'There is no such account');
}
