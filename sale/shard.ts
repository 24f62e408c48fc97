import { hash } from 'node:crypto';
import type { Redis } from 'ioredis';
import { withTimeout } from '../runtime/with-timeout.ts';

/**
 * Sales are spread over shards. All keys of a sale's purchases carry the hash tag of its shard, so that each script runs in
 * one hash slot of Redis Cluster, and each shard has a Bull queue of its own.
 */
export type Shard = number;

/**
 * The keys of the previous version, which had no hash tag. They are used while one of its processes lives; what is queued then is
 * settled, found and counted afterwards too. Remove it in the next version.
 */
export const unsharded: Shard = -1;

/** @param shards how many there are, which must not change while purchases are queued. */
export function shardOf(saleId: string, shards: number): Shard {
  return hash('sha256', saleId, 'buffer').readUInt32BE(0) % shards;
}

/** The shards that may hold purchases. The previous version could not run on Redis Cluster. */
export function shardsIn(redis: Redis, shards: number): Shard[] {
  return [...Array(shards).keys(), ...(redis.isCluster ? [] : [unsharded])];
}

const tagOf = (shard: Shard) => (shard === unsharded ? '' : `{s${shard}}:`);

/** The names of a shard's keys. */
export const keysOf = (shard: Shard) => ({
  /** Prefix of gates, before the sale's id. */
  gates: `gate:${tagOf(shard)}`,
  /** Prefix of admitted purchases as JSON, before the order's id. */
  purchases: `purchase:${tagOf(shard)}`,
  /** Prefix of the people of each network who take part in a sale, before the sale's id. */
  networks: `networks:${tagOf(shard)}`,
  /** Sorted set of the purchases that are accepted and not yet settled: order id by time of arrival. */
  queued: shard === unsharded ? 'queued' : `queued:{s${shard}}`,
  /** Bull's queue. */
  bull:
    shard === unsharded
      ? { prefix: 'bull', name: 'purchases' }
      : { prefix: `bull:{s${shard}}`, name: `purchases-${shard}` },
});

const keyPattern = /^(gate|purchase):(?:\{s(\d+)\}:)?([^:{}]+)$/;

/** Reads the name of a gate or a purchase; null for any other key. */
export function parseKey(key: string): { kind: 'gate' | 'purchase'; shard: Shard; id: string } | null {
  const [, kind, shard, id] = keyPattern.exec(key) ?? [];
  if (!kind || !id) return null;
  return { kind: kind as 'gate' | 'purchase', shard: shard === undefined ? unsharded : Number(shard), id };
}

/**
 * Asks every shard at once. A master of Redis Cluster may be away while the others answer.
 * @param patienceMs how long each shard is waited for, in ms; without it, for as long as its command takes.
 * @returns what those said that answered; `isWhole` is false when one did not.
 * @throws the first fault when none answers.
 */
export async function askShards<Value>(
  shards: readonly Shard[],
  ask: (shard: Shard) => Promise<Value>,
  patienceMs?: number,
): Promise<{ answers: Value[]; isWhole: boolean }> {
  const asked = await Promise.allSettled(
    shards.map((shard) => (patienceMs ? withTimeout(ask(shard), patienceMs) : ask(shard))),
  );
  const answers = asked.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []));
  const failed = asked.find((one) => one.status === 'rejected');
  if (failed && answers.length === 0) throw failed.reason;
  return { answers, isWhole: !failed };
}

/** Groups values by shard, in their order. */
export function groupByShard<Value>(
  values: Iterable<Value>,
  shardOfValue: (value: Value) => Shard,
): Map<Shard, Value[]> {
  const groups = new Map<Shard, Value[]>();
  for (const value of values) {
    const shard = shardOfValue(value);
    const group = groups.get(shard);
    if (group) group.push(value);
    else groups.set(shard, [value]);
  }
  return groups;
}
