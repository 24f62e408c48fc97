import type { Redis } from 'ioredis';
import { nanoid } from 'nanoid';

/** KEYS[1] the lease; ARGV: owner, lifetime (ms). Returns 1 when the owner holds the lease now. */
const takeOrRenew = `
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
return redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2]) and 1 or 0`;

/** KEYS[1] the lease; ARGV: owner. Another owner's lease is left alone. */
const releaseIfOwned = `if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end`;

/** A lease in Redis that one process at a time holds. When its holder dies, it expires after `ttlMs`. */
export interface Lease {
  /** Acquires or renews the lease; false while another process holds it. */
  hold(): Promise<boolean>;
  release(): Promise<void>;
  /** Whether any process holds it. */
  isHeld(): Promise<boolean>;
}

export function openLease(redis: Redis, name: string, ttlMs: number): Lease {
  const owner = nanoid();
  const key = `lease:${name}`;
  return {
    hold: async () => (await redis.eval(takeOrRenew, 1, key, owner, ttlMs)) === 1,
    release: async () => {
      await redis.eval(releaseIfOwned, 1, key, owner);
    },
    isHeld: async () => (await redis.exists(key)) === 1,
  };
}
