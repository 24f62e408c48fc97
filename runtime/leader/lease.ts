import type { Redis } from 'ioredis';
import { nanoid } from 'nanoid';

/** KEYS[1] the lease; ARGV: who asks, for how long (ms). Returns 1 when the lease is theirs now. */
const takeOrRenew = `
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
return redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2]) and 1 or 0`;

/** KEYS[1] the lease; ARGV: who lets it go. */
const letGo = `if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end`;

/** A task that one process at a time should do. When that process dies, another gets it after `ttlMs`. */
export interface Lease {
  /** Takes the lease or keeps it; false while another process has it. */
  hold(): Promise<boolean>;
  release(): Promise<void>;
}

export function openLease(redis: Redis, name: string, ttlMs: number): Lease {
  const owner = nanoid();
  const key = `lease:${name}`;
  return {
    hold: async () => (await redis.eval(takeOrRenew, 1, key, owner, ttlMs)) === 1,
    release: async () => {
      await redis.eval(letGo, 1, key, owner);
    },
  };
}
