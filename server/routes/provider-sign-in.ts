import { parseCookie, stringifySetCookie } from 'cookie';
import {
  authorizationCodeGrant,
  buildAuthorizationUrl,
  calculatePKCECodeChallenge,
  randomNonce,
  randomPKCECodeVerifier,
  randomState,
} from 'openid-client';
import { z } from 'zod';
import type { ProviderIdentity } from '../../accounts/provider/provider.ts';
import { updateProviderAccount } from '../../accounts/provider/provider-account.ts';
import { ProviderAway } from '../../accounts/provider/provider-keys.ts';
import { providerStaffSeconds } from '../../accounts/session.ts';
import { allow } from '../http/limits.ts';
import { isRefusal } from '../http/problems.ts';
import { type Answer, type Route, route } from '../http/route.ts';
import type { Shop } from '../shop.ts';
import { answerWithSession } from './sessions.ts';

/**
 * Sign-in at the shop's identity provider, by authorization code with PKCE. The provider's tokens stay on the server: the
 * browser gets the same session cookie as after a sign-in with a password.
 */
const path = '/sign-in';
const callbackPath = '/sign-in/callback';

/** What a sign-in needs when the browser comes back, kept in Redis for as long as a sign-in may take. */
interface Pending {
  codeVerifier: string;
  nonce: string;
  returnTo: string;
}
const pendingSeconds = 600;
const pendingKey = (state: string) => `sign-in:${state}`;

/** Binds a sign-in to the browser that began it. Not strict, because the browser comes back from another site. */
const cookie = { name: 'stampede_sign_in', path, httpOnly: true, sameSite: 'lax' } as const;

const returnTo = z.string().regex(/^\/(?:[\w-][\w./-]*)?$/, 'expected the path of a page of this site');

export function providerSignInRoutes(shop: Shop): Route[] {
  const { collections, redis, limits, provider, aliasDomains, log } = shop;
  /** A shop without a provider has its own page for signing in. */
  const noProvider = () => redirectTo('/account');
  const redirectUri = `${shop.publicUrl}${callbackPath}`;

  /** The page tells why in the reader's language. */
  const failed = (why: 'away' | 'refused' | 'expired') => redirectTo(`/account#sign-in-failed=${why}`);

  return [
    route({
      method: 'get',
      path: '/api/sign-in',
      access: 'anyone',
      summary: 'Where to sign in: with a password, at the shop’s identity provider, or both',
      answer: [
        200,
        z.object({
          provider: z
            .object({ name: z.string(), path: z.string() })
            .nullable()
            .describe('The shop’s identity provider; null when there is none'),
          passwords: z.boolean().describe('Whether there are accounts with passwords'),
        }),
      ],
      handle: () => ({
        status: 200,
        body: {
          provider: provider && { name: provider.name, path },
          passwords: shop.takesPasswords,
        },
      }),
    }),
    route({
      method: 'get',
      path,
      access: 'anyone',
      summary: 'For browsers: on to the identity provider of the shop',
      query: z.object({ returnTo: returnTo.default('/') }),
      answer: [303, null],
      headers: ['Location'],
      async handle({ query, request }) {
        if (!provider) return noProvider();
        const allowed = allow(limits.signIns, await limits.signIns.take(request.network));
        if (isRefusal(allowed)) return allowed;
        const [state, nonce, codeVerifier] = [randomState(), randomNonce(), randomPKCECodeVerifier()];
        try {
          const target = buildAuthorizationUrl(await provider.configure(), {
            redirect_uri: redirectUri,
            scope: 'openid email profile',
            code_challenge: await calculatePKCECodeChallenge(codeVerifier),
            code_challenge_method: 'S256',
            state,
            nonce,
          });
          const pending: Pending = { codeVerifier, nonce, returnTo: query.returnTo };
          await redis.set(pendingKey(state), JSON.stringify(pending), 'EX', pendingSeconds);
          const value = { ...cookie, value: state, maxAge: pendingSeconds, secure: request.isSecure };
          return redirectTo(target.href, { 'Set-Cookie': stringifySetCookie(value) });
        } catch (error) {
          if (!(error instanceof ProviderAway)) throw error;
          log.warn({ error: error.message }, 'identity provider unavailable, a sign-in failed');
          return failed('away');
        }
      },
    }),
    route({
      method: 'get',
      path: callbackPath,
      access: 'anyone',
      summary: 'For browsers: back from the identity provider; begins a session',
      query: z.object({ state: z.string().max(200).optional() }),
      answer: [303, null],
      headers: ['Location'],
      async handle({ query: { state = '' }, request }) {
        if (!provider) return noProvider();
        const allowed = allow(limits.signIns, await limits.signIns.take(request.network));
        if (isRefusal(allowed)) return allowed;
        const isOwn = parseCookie(request.header('cookie') ?? '')[cookie.name] === state;
        const stored = isOwn ? await redis.getdel(pendingKey(state)) : null;
        if (stored === null) return failed('expired');
        const pending: Pending = JSON.parse(stored);
        let identity: ProviderIdentity;
        try {
          const url = new URL(request.url, shop.publicUrl);
          const answer = await authorizationCodeGrant(await provider.configure(), url, {
            pkceCodeVerifier: pending.codeVerifier,
            expectedState: state,
            expectedNonce: pending.nonce,
            idTokenExpected: true,
          });
          identity = provider.identityOf(answer.claims() ?? {});
        } catch (error) {
          const isAway = error instanceof ProviderAway || isNetworkError(error);
          log.warn({ error: (error as Error).message }, 'a sign-in at the identity provider failed');
          return failed(isAway ? 'away' : 'refused');
        }
        const origin = { issuer: provider.issuer, aliasDomains };
        const { account, revocation } = await updateProviderAccount(collections, identity, origin);
        if (revocation) shop.revokeTokens(revocation);
        const seconds =
          account.user.role === 'buyer'
            ? shop.sessionSeconds
            : Math.min(shop.sessionSeconds, providerStaffSeconds);
        const { headers = {} } = await answerWithSession(
          { ...shop, sessionSeconds: seconds },
          request,
          account,
        );
        return redirectTo(`${pending.returnTo}#signed-in`, headers);
      },
    }),
  ];
}

const redirectTo = (target: string, headers: Record<string, string> = {}): Answer => ({
  status: 303,
  headers: { ...headers, Location: target },
});

/** openid-client passes on what `fetch` throws: a TypeError, or the error of the time-out. */
const isNetworkError = (error: unknown) =>
  error instanceof TypeError || ['AbortError', 'TimeoutError'].includes((error as Error).name);
