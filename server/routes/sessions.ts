import { z } from 'zod';
import { rememberNetwork } from '../../accounts/network.ts';
import {
  beginSession,
  endSession,
  listSessions,
  renewSession,
  revokeSession,
  revokeTokensOf,
} from '../../accounts/session.ts';
import { type Account, findUserByPassword } from '../../accounts/user.ts';
import * as shapes from '../../sale/contract.ts';
import { isFromOwnPage } from '../http/identity/origin.ts';
import { noSessionCookie, sessionCookie, sessionTokenIn } from '../http/identity/session-cookie.ts';
import { byId, typedEmail, typedPassword } from '../http/inputs.ts';
import { accountKeyOf, allow } from '../http/limits.ts';
import type { HttpRequest } from '../http/pipeline.ts';
import { isRefusal, type Refusal, refuse } from '../http/problems.ts';
import { type Answer, type Route, route } from '../http/route.ts';
import type { Shop } from '../shop.ts';
import { noPasswords } from './passwords.ts';

export function sessionRoutes(shop: Shop): Route[] {
  const { collections, limits, tokens, bcryptCost } = shop;
  return [
    route({
      method: 'post',
      path: '/api/sessions',
      access: 'anyone',
      summary: 'Sign in',
      body: z.strictObject({ email: typedEmail, password: typedPassword }),
      answer: [201, shapes.session],
      headers: ['Set-Cookie'],
      problems: ['unauthorized', 'no-passwords'],
      async handle({ body, request }) {
        if (!shop.takesPasswords) return noPasswords(shop);
        const address = accountKeyOf(body.email);
        const allowed = allow(limits.signIns, await limits.signIns.take(request.network));
        if (isRefusal(allowed)) return allowed;
        // Counted before the password is checked, so that concurrent guesses count as well.
        const headers = allow(limits.signInFailures, await limits.signInFailures.take(address));
        if (isRefusal(headers)) return headers;
        const account = await findUserByPassword(collections, body, { bcryptCost });
        if (!account)
          return refuse('unauthorized', 'The e-mail address or the password is wrong', {}, headers);
        await limits.signInFailures.giveBack(address);
        return await answerWithSession(shop, request, account);
      },
    }),
    route({
      method: 'get',
      path: '/api/account/sessions',
      access: 'buyer',
      summary: 'Where I am signed in, the newest sign-in first',
      answer: [200, shapes.sessionList],
      async handle({ identity }) {
        const { sessions, more } = await listSessions(collections, identity.userId);
        const listed = sessions.map(({ _id, userAgent = '', createdAt, renewedAt, expiresAt }) => ({
          id: _id,
          userAgent,
          createdAt: createdAt.toISOString(),
          renewedAt: renewedAt?.toISOString() ?? null,
          expiresAt: expiresAt.toISOString(),
          isCurrent: _id === identity.sessionId,
        }));
        return { status: 200, body: { sessions: listed, more } };
      },
    }),
    route({
      method: 'delete',
      path: '/api/sessions',
      access: 'buyer',
      summary: 'Sign out everywhere: every session, access token and socket of this account',
      answer: [204, null],
      headers: ['Set-Cookie'],
      async handle({ identity, request }) {
        shop.revokeTokens(await revokeTokensOf(collections, identity.userId));
        return { status: 204, headers: { 'Set-Cookie': noSessionCookie(request) } };
      },
    }),
    route({
      method: 'post',
      path: '/api/sessions/renewal',
      access: 'anyone',
      summary: 'A new access token for the session in the cookie, which changes with it',
      takesSessionCookie: true,
      answer: [200, shapes.session],
      headers: ['Set-Cookie'],
      problems: ['unauthorized', 'forbidden', 'unsupported-media-type'],
      async handle({ request }) {
        // A form of another site could send this POST with the cookie, but not with this content type.
        if (!/^application\/json\b/i.test(request.header('content-type') ?? ''))
          return refuse('unsupported-media-type', 'expected `Content-Type: application/json`');
        const token = tokenInCookie(shop, request);
        if (isRefusal(token)) return token;
        const renewal = await renewSession(collections, token);
        if (renewal.outcome === 'reused') shop.onSessionReused(renewal.userId);
        if (renewal.outcome !== 'renewed') {
          const gone = { 'Set-Cookie': noSessionCookie(request) };
          return refuse('unauthorized', 'The session is over: sign in again', {}, gone);
        }
        const { user, personId } = renewal.account;
        await rememberNetwork(collections, user.id, request.network);
        return {
          status: 200,
          body: { user, token: tokens.issue(user, personId, renewal.id) },
          headers: { 'Set-Cookie': sessionCookie(renewal.token, renewal.expiresAt, request) },
        };
      },
    }),
    route({
      method: 'delete',
      path: '/api/sessions/current',
      access: 'anyone',
      summary: 'Sign out: ends the session in the cookie',
      takesSessionCookie: true,
      answer: [204, null],
      headers: ['Set-Cookie'],
      problems: ['unauthorized', 'forbidden'],
      async handle({ request }) {
        const token = tokenInCookie(shop, request);
        if (isRefusal(token)) return token;
        await endSession(collections, token);
        return { status: 204, headers: { 'Set-Cookie': noSessionCookie(request) } };
      },
    }),
    route({
      method: 'delete',
      path: '/api/account/sessions/:id',
      access: 'buyer',
      summary: 'Sign out somewhere: ends one of my sessions, with its access tokens and sockets',
      params: byId,
      answer: [204, null],
      problems: ['not-found'],
      async handle({ params, identity }) {
        const revocation = await revokeSession(collections, identity.userId, params.id);
        if (!revocation) return refuse('not-found', 'You have no such session');
        shop.revokeTokens(revocation);
        return { status: 204 };
      },
    }),
  ];
}

/** The answer to a sign-up or sign-in: an access token, and a cookie with the session that renews it. */
export async function answerWithSession(
  { collections, tokens, sessionSeconds: seconds }: Shop,
  request: Pick<HttpRequest, 'isSecure' | 'header' | 'network'>,
  { user, personId }: Account,
): Promise<Answer> {
  const userAgent = request.header('user-agent');
  const { id, token, expiresAt } = await beginSession(collections, user.id, { seconds, userAgent });
  await rememberNetwork(collections, user.id, request.network);
  return {
    status: 201,
    body: { user, token: tokens.issue(user, personId, id) },
    headers: { 'Set-Cookie': sessionCookie(token, expiresAt, request) },
  };
}

/** Requires a page of this site, because browsers also send the cookie with requests of other pages. */
function tokenInCookie({ allowedOrigins }: Shop, request: HttpRequest): string | Refusal {
  const from = { origin: request.header('origin'), host: request.header('host') };
  if (!isFromOwnPage(from, allowedOrigins)) return refuse('forbidden', 'This is for pages of this site');
  return sessionTokenIn(request.header('cookie')) ?? refuse('unauthorized', 'There is no session: sign in');
}
