import type { Config } from '../runtime/config.ts';
import type { Task } from '../runtime/leader/leader.ts';
import { pause } from '../runtime/pause.ts';
import { turnPhases } from '../sale/phases.ts';
import type { Collections } from '../store/collections.ts';

/** Notes in the log when a sale opens and ends. The gate needs nobody to tell it. */
export function saleClock(
  collections: Collections,
  { SALE_CLOCK_INTERVAL_MS }: Pick<Config, 'SALE_CLOCK_INTERVAL_MS'>,
): Task {
  return async (stopping) => {
    while (!stopping.aborted) {
      await turnPhases(collections);
      await pause(SALE_CLOCK_INTERVAL_MS, stopping);
    }
  };
}
