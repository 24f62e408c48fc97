import { setTimeout as delay } from 'node:timers/promises';
import type { Redis } from 'ioredis';
import type { Config } from '../runtime/config.ts';
import { openDuty } from '../runtime/duty.ts';
import type { Log } from '../runtime/log.ts';
import type { Collections } from '../sale/collections.ts';
import { turnPhases } from '../sale/phases.ts';

/** Notes in the log when a sale opens and ends, in one worker at a time. The gate needs nobody to tell it. */
export function openSaleClock(
  collections: Collections,
  redis: Redis,
  { JOB_LOCK_MS, SALE_CLOCK_INTERVAL_MS }: Pick<Config, 'JOB_LOCK_MS' | 'SALE_CLOCK_INTERVAL_MS'>,
  log: Log,
): { close: () => Promise<void> } {
  return openDuty({ redis, name: 'sale-clock', ttlMs: JOB_LOCK_MS, log }, async (stopping) => {
    while (!stopping.aborted) {
      await turnPhases(collections);
      await delay(SALE_CLOCK_INTERVAL_MS, undefined, { signal: stopping }).catch(() => {});
    }
  });
}
