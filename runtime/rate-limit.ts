import type { Redis } from 'ioredis';
import { RateLimiterRedis } from 'rate-limiter-flexible';
import { withTimeout } from './with-timeout.ts';

/** So much for each key in each window of time. */
export interface Limit {
  name: string;
  /** `Infinity`: no limit. */
  quota: number;
  windowSeconds: number;
}

export interface Taken {
  isAllowed: boolean;
  remaining: number;
  resetSeconds: number;
}

export interface Limiter<Result = Taken> {
  readonly limit: Limit;
  /** Counts one for this key. */
  take(key: string): Result;
}

export type SharedLimiter = Limiter<Promise<Taken>> & {
  /** Takes back what was counted for something that turned out not to count. */
  giveBack(key: string): Promise<void>;
};

/** More keys than this in one window are let through uncounted: the memory is bounded. */
const maxKeys = 200_000;

/**
 * Counts in this process. For what is frequent: at thousands a second a count in Redis, which writes each one to its
 * disk before it answers, would cost more than what it protects (see docs/decisions). The limiter in memory of
 * rate-limiter-flexible keeps any number of keys, each with a timer: 500,000 took 214 MB here.
 */
export function limitHere(limit: Limit): Limiter & { giveBack(key: string): void } {
  const windowMs = limit.windowSeconds * 1_000;
  /** A key's window begins with its first count. */
  const windows = new Map<string, { count: number; endsAt: number }>();
  let sweepAt = performance.now() + windowMs;

  function sweep(now: number): void {
    for (const [key, { endsAt }] of windows) if (endsAt <= now) windows.delete(key);
    sweepAt = now + windowMs;
  }
  return {
    limit,
    take(key) {
      // Whoever sets this machine's clock back must not lengthen a window.
      const now = performance.now();
      if (now >= sweepAt) sweep(now);
      let window = windows.get(key);
      if (!window || window.endsAt <= now) {
        window = { count: 0, endsAt: now + windowMs };
        if (windows.size < maxKeys) windows.set(key, window);
      }
      window.count += 1;
      return takenOf(limit, window.count, window.endsAt - now);
    },
    giveBack(key) {
      const window = windows.get(key);
      if (window && window.count > 0) window.count -= 1;
    },
  };
}

/** After this time without an answer of Redis the request is counted in this process. */
const deadlineMs = 250;

/** The library's own `reward` would begin a new window at -1 when the counted one is over. */
const giveBackIfCounted = `if redis.call('EXISTS', KEYS[1]) == 1 then return redis.call('DECR', KEYS[1]) end`;

/** Counts in Redis, for all instances together; while Redis is away, each instance counts for itself. */
export function limitEverywhere(redis: Redis, limit: Limit): SharedLimiter {
  const { name, quota, windowSeconds } = limit;
  const shared = new RateLimiterRedis({
    storeClient: redis,
    keyPrefix: `limit:${name}`,
    points: Math.min(quota, Number.MAX_SAFE_INTEGER),
    duration: windowSeconds,
  });
  const here = limitHere(limit);
  return {
    limit,
    async take(key) {
      if (quota === Infinity) return takenOf(limit, 0, windowSeconds * 1_000);
      try {
        // A penalty counts as `consume` does, and resolves also when the quota is used up.
        const { consumedPoints, msBeforeNext } = await withTimeout(shared.penalty(key), deadlineMs);
        return takenOf(limit, consumedPoints, msBeforeNext);
      } catch {
        return here.take(key);
      }
    },
    async giveBack(key) {
      if (quota === Infinity) return;
      const given = redis.eval(giveBackIfCounted, 1, `limit:${name}:${key}`);
      await withTimeout(given, deadlineMs).catch(() => here.giveBack(key));
    },
  };
}

function takenOf({ quota }: Limit, count: number, leftMs: number): Taken {
  return {
    isAllowed: count <= quota,
    remaining: Math.max(quota - count, 0),
    resetSeconds: Math.max(Math.ceil(leftMs / 1_000), 1),
  };
}
