import { createHash } from 'node:crypto';
import type { Redis } from 'ioredis';
import { normaliseEmail } from '../../accounts/email-address.ts';
import type { Config } from '../../runtime/config.ts';
import {
  type Limiter,
  limitEverywhere,
  limitHere,
  type SharedLimiter,
  type Taken,
} from '../../runtime/rate-limit.ts';
import { type Refusal, refuse } from './problems.ts';

const windowSeconds = 60;
const accountMailsPerHour = 5;

/** The rate limits of requests: each request counts against one of them, and purchases have a limit of their own. */
export interface RequestLimits {
  purchases: Limiter;
  requestsOfAccount: Limiter;
  requestsOfApiKey: Limiter;
  requestsOfAddress: Limiter;
}

export function openRequestLimits(config: Config): RequestLimits {
  const open = (name: string, perMinute: number) => limitHere(limitOf(config, name, perMinute));
  return {
    purchases: open('purchases', config.PURCHASES_PER_ACCOUNT_PER_MINUTE),
    requestsOfAccount: open('requests', config.REQUESTS_PER_ACCOUNT_PER_MINUTE),
    requestsOfApiKey: open('requests-by-key', config.REQUESTS_PER_API_KEY_PER_MINUTE),
    requestsOfAddress: open('requests-by-address', config.REQUESTS_PER_ADDRESS_PER_MINUTE),
  };
}

/**
 * The rate limits of sign-ins and sign-ups. They count over all instances, because these requests guess passwords and create
 * accounts, and are rare enough for a round trip to Redis.
 */
export interface AccountLimits {
  /** Counts wrong passwords by account. */
  signInFailures: SharedLimiter;
  signIns: SharedLimiter;
  signUps: SharedLimiter;
  /** Counts mails that strangers can cause, by address. */
  accountMails: SharedLimiter;
}

export function openAccountLimits(redis: Redis, config: Config): AccountLimits {
  const open = (name: string, perMinute: number) => limitEverywhere(redis, limitOf(config, name, perMinute));
  return {
    signInFailures: open('sign-in-failures', config.SIGN_IN_FAILURES_PER_ACCOUNT_PER_MINUTE),
    signIns: open('sign-ins', config.SIGN_INS_PER_ADDRESS_PER_MINUTE),
    signUps: open('sign-ups', config.SIGN_UPS_PER_ADDRESS_PER_MINUTE),
    accountMails: limitEverywhere(redis, {
      ...limitOf(config, 'mails', accountMailsPerHour),
      windowSeconds: 3_600,
    }),
  };
}

/** The hashed e-mail address as a key, so that Redis does not store the address. */
export const accountKeyOf = (email: string) =>
  createHash('sha256').update(normaliseEmail(email)).digest('base64url').slice(0, 22);

/**
 * The key of the mails that verify an address, which also count when its account is deleted and made again. It differs from
 * the key of the mails about a password, whose limit would tell otherwise that there is a new account.
 */
export const verificationKeyOf = (email: string) => `verify:${accountKeyOf(email)}`;

/** @returns the rate limit headers of the answer, or a refusal with 429 when the request exceeds the limit. */
export function allow({ limit }: Pick<Limiter, 'limit'>, taken: Taken): Record<string, string> | Refusal {
  const headers = rateLimitHeaders(limit, taken);
  if (taken.isAllowed) return headers;
  const detail = `At most ${limit.quota} ${limit.name} in ${limit.windowSeconds} seconds`;
  return refuse('too-many-requests', detail, {}, { ...headers, 'Retry-After': String(taken.resetSeconds) });
}

/** The headers of draft-ietf-httpapi-ratelimit-headers-08. */
function rateLimitHeaders(
  { name, quota, windowSeconds }: Limiter['limit'],
  taken: Taken,
): Record<string, string> {
  if (quota === Infinity) return {};
  return {
    'RateLimit-Policy': `"${name}";q=${quota};w=${windowSeconds}`,
    RateLimit: `"${name}";r=${taken.remaining};t=${taken.resetSeconds}`,
  };
}

export function limitOf({ LIMIT_FACTOR }: Config, name: string, perMinute: number) {
  const quota = LIMIT_FACTOR === 0 ? Infinity : Math.max(1, Math.floor(perMinute * LIMIT_FACTOR));
  return { name, quota, windowSeconds };
}
