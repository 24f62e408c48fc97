import type { Redis } from 'ioredis';
import { within } from '../runtime/within.ts';
import type { EventBus } from './bus.ts';

/** Set of the names of every subscription there ever was: one whose process is down is the one that falls behind. */
const namesKey = 'subscriptions:seen';
const patienceMs = 500;

export async function noteSubscription(redis: Redis, name: string): Promise<void> {
  await redis.sadd(namesKey, name);
}

/** Events that wait for each subscription; without those whose engine does not say so in time. */
export async function countLag(redis: Redis, bus: EventBus): Promise<Record<string, number>> {
  const names = await redis.smembers(namesKey);
  const counts = await Promise.all(
    names.map(async (name) => {
      const waiting = await within(patienceMs, bus.countWaiting(name)).catch(() => null);
      return waiting === null ? [] : [[name, waiting] as const];
    }),
  );
  return Object.fromEntries(counts.flat());
}
