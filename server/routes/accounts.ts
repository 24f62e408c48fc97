import { nanoid } from 'nanoid';
import type { z } from 'zod';
import { type AccountReading, deleteAccount, exportAccount } from '../../accounts/account.ts';
import { revokeTokensOf } from '../../accounts/session.ts';
import { createUser } from '../../accounts/user.ts';
import { requireAllowed } from '../http/limits.ts';
import { HttpProblem } from '../http/problems.ts';
import type { Answer, Call } from '../http/route.ts';
import { noSessionCookie } from '../http/session-cookie.ts';
import type { Shop } from '../shop.ts';
import type { newUser } from './inputs.ts';
import { welcome } from './sessions.ts';

export async function signUp(
  shop: Shop,
  call: Call<unknown, unknown, z.infer<typeof newUser>>,
): Promise<Answer> {
  const { collections, limits, bcryptCost } = shop;
  requireAllowed(limits.signUps, await limits.signUps.take(call.network));
  await shop.challenges.requireWork(call.body.email, call.header('proof-of-work'), nanoid());
  const account = await createUser(collections, call.body, { bcryptCost });
  if (account === 'email_taken') throw new HttpProblem('email-taken', 'Sign in instead');
  return await welcome(shop, call, account);
}

/** A guest's token, with which a page may watch. */
export function enterAsVisitor({ tokens }: Shop): Answer {
  return { status: 201, body: { token: tokens.issueVisitor() } };
}

export async function giveExport({ collections, gate }: Shop, { identity }: Call): Promise<Answer> {
  const userId = identity?.userId ?? '';
  const account = await exportAccount(collections, userId, await gate.listQueuedOf(userId));
  if (!account) throw noAccount();
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

export async function forgetAccount(shop: Shop, call: Call): Promise<Answer> {
  const userId = call.identity?.userId ?? '';
  const isDeleted = await deleteAccount(shop.collections, userId);
  // Also when it was deleted before: whoever did so could have died before anybody heard of it.
  shop.revokeTokens(await revokeTokensOf(shop.collections, userId));
  if (!isDeleted) throw noAccount();
  return { status: 204, headers: { 'Set-Cookie': noSessionCookie(call) } };
}

function noAccount(): HttpProblem {
  return new HttpProblem('not-found', 'There is no such account');
}
