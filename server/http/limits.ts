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

/** What every request counts against, and a purchase as well against its own. */
export interface RequestLimits {
  purchases: Limiter;
  requestsOfAccount: Limiter;
  requestsOfAddress: Limiter;
}

export function openRequestLimits(config: Config): RequestLimits {
  const open = (name: string, perMinute: number) => limitHere(limitOf(config, name, perMinute));
  return {
    purchases: open('purchases', config.PURCHASES_PER_ACCOUNT_PER_MINUTE),
    requestsOfAccount: open('requests', config.REQUESTS_PER_ACCOUNT_PER_MINUTE),
    requestsOfAddress: open('requests-by-address', config.REQUESTS_PER_ADDRESS_PER_MINUTE),
  };
}

/** What guesses passwords and makes accounts. Rare and worth a round trip to Redis: it counts over all instances. */
export interface AccountLimits {
  /** By account, and only wrong passwords. */
  signInFailures: SharedLimiter;
  signIns: SharedLimiter;
  signUps: SharedLimiter;
}

export function openAccountLimits(redis: Redis, config: Config): AccountLimits {
  const open = (name: string, perMinute: number) => limitEverywhere(redis, limitOf(config, name, perMinute));
  return {
    signInFailures: open('sign-in-failures', config.SIGN_IN_FAILURES_PER_ACCOUNT_PER_MINUTE),
    signIns: open('sign-ins', config.SIGN_INS_PER_ADDRESS_PER_MINUTE),
    signUps: open('sign-ups', config.SIGN_UPS_PER_ADDRESS_PER_MINUTE),
  };
}

/** The e-mail address as a key: Redis need not know it. */
export const accountKeyOf = (email: string) =>
  createHash('sha256').update(normaliseEmail(email)).digest('base64url').slice(0, 22);

/** @returns the standard headers, for the answer; a refusal with 429 when it was not allowed. */
export function allow({ limit }: Pick<Limiter, 'limit'>, taken: Taken): Record<string, string> | Refusal {
  const headers = rateLimitHeaders(limit, taken);
  if (taken.isAllowed) return headers;
  const detail = `At most ${limit.quota} ${limit.name} in ${limit.windowSeconds} seconds`;
  return refuse('too-many-requests', detail, {}, { ...headers, 'Retry-After': String(taken.resetSeconds) });
}

/** draft-ietf-httpapi-ratelimit-headers-08. */
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
