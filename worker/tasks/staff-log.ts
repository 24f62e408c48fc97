import { numberStaffEntries } from '../../accounts/staff-log.ts';
import type { LeaderTask } from '../../runtime/leader/leader.ts';
import { pause } from '../../runtime/pause.ts';
import type { Collections } from '../../store/collections.ts';

const intervalMs = 1_000;

/** Appends new entries to the staff log, whose hash chain protects them from then on. */
export function numberStaffLog(collections: Collections): LeaderTask {
  return async (stopping) => {
    while (!stopping.aborted) {
      await numberStaffEntries(collections);
      await pause(intervalMs, stopping);
    }
  };
}
