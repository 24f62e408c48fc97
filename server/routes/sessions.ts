import type { z } from 'zod';
import { beginSession, endSession, renewSession, revokeTokensOf } from '../../accounts/session.ts';
import { type Account, findUserByPassword } from '../../accounts/user.ts';
import { mongoClock } from '../../runtime/clock.ts';
import { accountKeyOf, requireAllowed } from '../http/limits.ts';
import { isFromOwnPage } from '../http/origin.ts';
import { HttpProblem } from '../http/problems.ts';
import type { Answer, Call } from '../http/route.ts';
import { noSessionCookie, sessionCookie, sessionTokenIn } from '../http/session-cookie.ts';
import type { Shop } from '../shop.ts';
import type { credentials } from './inputs.ts';

export async function signIn(
  shop: Shop,
  call: Call<unknown, unknown, z.infer<typeof credentials>>,
): Promise<Answer> {
  const { collections, limits, bcryptCost } = shop;
  const address = accountKeyOf(call.body.email);
  requireAllowed(limits.signIns, await limits.signIns.take(call.network));
  // Counted before the password is looked at, so that guesses at the same time count as well.
  const headers = requireAllowed(limits.signInFailures, await limits.signInFailures.take(address));
  const account = await findUserByPassword(collections, call.body, { bcryptCost });
  if (!account) {
    throw new HttpProblem('unauthorized', 'The e-mail address or the password is wrong', {}, headers);
  }
  await limits.signInFailures.giveBack(address);
  return await welcome(shop, call, account);
}

/** The answer to who signed up or in: a token for now, and a cookie with which to renew it. */
export async function welcome(
  { collections, tokens, sessionSeconds }: Shop,
  call: Pick<Call, 'isSecure'>,
  { user, personId }: Account,
): Promise<Answer> {
  const cookie = await beginSession(collections, user.id, { seconds: sessionSeconds });
  const expiresAt = new Date(mongoClock.now().getTime() + sessionSeconds * 1_000);
  return {
    status: 201,
    body: { user, token: tokens.issue(user, personId) },
    headers: { 'Set-Cookie': sessionCookie(cookie, expiresAt, call) },
  };
}

/** A new access token for the session in the cookie, whose own token changes with it. */
export async function renew(shop: Shop, call: Call): Promise<Answer> {
  // The one POST of these: a form of another site could send it, and cannot say that it is JSON.
  if (!/^application\/json\b/i.test(call.header('content-type') ?? '')) {
    throw new HttpProblem('unsupported-media-type', 'expected `Content-Type: application/json`');
  }
  const token = requireCookie(shop, call);
  const renewal = await renewSession(shop.collections, token);
  if (renewal.outcome === 'reused') shop.onSessionReused(renewal.userId);
  if (renewal.outcome !== 'renewed') {
    const gone = { 'Set-Cookie': noSessionCookie(call) };
    throw new HttpProblem('unauthorized', 'The session is over: sign in again', {}, gone);
  }
  const { user, personId } = renewal.account;
  return {
    status: 200,
    body: { user, token: shop.tokens.issue(user, personId) },
    headers: { 'Set-Cookie': sessionCookie(renewal.token, renewal.expiresAt, call) },
  };
}

export async function signOut(shop: Shop, call: Call): Promise<Answer> {
  await endSession(shop.collections, requireCookie(shop, call));
  return { status: 204, headers: { 'Set-Cookie': noSessionCookie(call) } };
}

/** Ends every session of this account, and what was opened by them: access tokens and sockets. */
export async function signOutEverywhere(shop: Shop, call: Call): Promise<Answer> {
  const userId = call.identity?.userId ?? '';
  shop.revokeTokens(await revokeTokensOf(shop.collections, userId));
  return { status: 204, headers: { 'Set-Cookie': noSessionCookie(call) } };
}

/** The cookie comes by itself, so whoever sends it has to be this site's own page. */
function requireCookie({ allowedOrigins }: Shop, { header }: Call): string {
  if (!isFromOwnPage({ origin: header('origin'), host: header('host') }, allowedOrigins)) {
    throw new HttpProblem('forbidden', 'This is for pages of this site');
  }
  const token = sessionTokenIn(header('cookie'));
  if (!token) throw new HttpProblem('unauthorized', 'There is no session: sign in');
  return token;
}
