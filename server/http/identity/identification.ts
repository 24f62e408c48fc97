import { LRUCache } from 'lru-cache';
import { isApiKey, useApiKey } from '../../../accounts/api-key.ts';
import { hashOfSecret } from '../../../accounts/secret.ts';
import { currentRole } from '../../../accounts/staff.ts';
import { isMongoAway } from '../../../runtime/databases/connections.ts';
import { type Limiter, limitHere } from '../../../runtime/rate-limit.ts';
import { withTimeout } from '../../../runtime/with-timeout.ts';
import { role as roles } from '../../../sale/contract.ts';
import type { Collections } from '../../../store/collections.ts';
import type { ProviderAccess } from '../../provider-access.ts';
import { allow } from '../limits.ts';
import { isRefusal, type Refusal, refuse } from '../problems.ts';
import type { Access, Route } from '../route.ts';
import { bearerOf, type Identity, type Tokens } from './tokens.ts';

const rolePatienceMs = 1_000;

/** @returns null on a route for anyone, a refusal with 401, 403 or 429. */
export type Identify = (
  route: Pick<Route, 'access' | 'scope' | 'isForOutages'>,
  request: { network: string; header(name: string): string | undefined },
) => Identity | null | Refusal | Promise<Identity | Refusal>;

/**
 * Finds out who sends a request, and whether they may. A buyer is identified by the token alone. Staff and API keys are also
 * looked up in MongoDB, so that a changed role or a revoked key counts at the next request on every instance. The role in a
 * token of the shop's identity provider is the provider's own word, and counts as it is.
 */
export function openIdentification(
  tokens: Tokens,
  collections: Collections,
  wrongKeysLimit: Limiter['limit'],
  provider: ProviderAccess | null,
  isMongoKnownAway: () => boolean,
): Identify {
  /** Counts unknown keys by address, because each costs a look-up. */
  const wrongKeys = limitHere(wrongKeysLimit);
  /** Hashes of keys that were right before: they are looked up, but wrong keys of the same address do not block them. */
  const rightKeys = new LRUCache<string, true>({ max: 1_000 });

  async function identifyServer(
    { scope }: Pick<Route, 'scope'>,
    token: string,
    network: string,
  ): Promise<Identity | Refusal> {
    const hash = hashOfSecret(token);
    const wasRight = rightKeys.has(hash);
    if (!wasRight) {
      // Counted before the look-up, so that concurrent guesses count as well.
      const allowed = allow(wrongKeys, wrongKeys.take(network));
      if (isRefusal(allowed)) return allowed;
    }
    const key = await useApiKey(collections, token);
    if (!key) {
      rightKeys.delete(hash);
      return refuse('unauthorized', 'the API key is unknown, or was revoked');
    }
    rightKeys.set(hash, true);
    if (!wasRight) wrongKeys.giveBack(network);
    if (!scope) return refuse('forbidden', 'This takes no API key');
    if (!key.scopes.includes(scope))
      return refuse('forbidden', `expected an API key with the scope ${scope}`);
    return {
      userId: key._id,
      personId: key._id,
      role: 'api_key',
      keyName: key.name,
      emailVerified: false,
      sessionId: undefined,
    };
  }

  async function identifyStaff(
    identity: Identity,
    { access, isForOutages }: Pick<Route, 'access' | 'isForOutages'>,
  ): Promise<Identity | Refusal> {
    const role = isForOutages ? await roleInTime(identity) : await roleNow(identity);
    return reaches(role, access) ? { ...identity, role } : forbidden(access);
  }

  const roleNow = ({ userId, role }: Identity) => currentRole(collections, userId, role);

  /** The role in the token counts while MongoDB does not answer: it lasts for minutes, and revocations are known here. */
  async function roleInTime(identity: Identity): Promise<Identity['role']> {
    if (isMongoKnownAway()) return identity.role;
    const lookUp = roleNow(identity).catch((error) => {
      if (isMongoAway(error)) return identity.role;
      throw error;
    });
    const late = new Error('late');
    return await withTimeout(lookUp, rolePatienceMs, () => late).catch((error) => {
      if (error === late) return identity.role;
      throw error;
    });
  }

  return (route, request) => {
    const { access } = route;
    if (access === 'anyone') return null;
    const token = bearerOf(request.header('authorization'));
    if (token && isApiKey(token)) return identifyServer(route, token, request.network);
    const identity = token && tokens.verify(token);
    if (!identity || identity.role === 'visitor') {
      if (token && !identity && provider) return identifyByProvider(provider, token, access);
      return unauthorized(token);
    }
    if (access === 'buyer') return identity;
    return reaches(identity.role, access) ? identifyStaff(identity, route) : forbidden(access);
  };
}

async function identifyByProvider(
  provider: ProviderAccess,
  token: string,
  access: Access,
): Promise<Identity | Refusal> {
  const identity = await provider.identify(token);
  if (!identity) return unauthorized(token);
  return reaches(identity.role, access) ? identity : forbidden(access);
}

function unauthorized(token: string | null | undefined): Refusal {
  const detail = token
    ? 'the token is not valid, or has expired'
    : 'expected `Authorization: Bearer <token>`';
  return refuse('unauthorized', detail);
}

const rankOf = (name: Identity['role'] | Access) => roles.options.indexOf(name as never);

const reaches = (role: Identity['role'], access: Access) => rankOf(role) >= rankOf(access);

const forWhom: Partial<Record<Access, string>> = {
  viewer: "This is for the shop's staff",
  desk: 'This is for the order desk and admins',
  admin: 'This is for admins',
};

const forbidden = (access: Access) => refuse('forbidden', forWhom[access] ?? '');
