import type { Config } from '../../runtime/config.ts';
import type { LeaderTask } from '../../runtime/leader/leader.ts';
import type { Exclusive } from '../../runtime/mutex.ts';
import { pause } from '../../runtime/pause.ts';
import { logStageChanges } from '../../sale/opening.ts';
import type { Collections } from '../../store/collections.ts';

/** Writes to the event log when a sale opens and ends. Admission does not depend on it: the gate knows the sale's times. */
export function saleClock(
  collections: Collections,
  exclusive: Exclusive,
  { SALE_CLOCK_INTERVAL_MS }: Pick<Config, 'SALE_CLOCK_INTERVAL_MS'>,
): LeaderTask {
  return async (stopping) => {
    while (!stopping.aborted) {
      await logStageChanges(collections, exclusive);
      await pause(SALE_CLOCK_INTERVAL_MS, stopping);
    }
  };
}
