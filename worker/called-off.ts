import type { LeaderTask } from '../runtime/leader/leader.ts';
import type { Exclusive } from '../runtime/mutex.ts';
import type { Log } from '../runtime/observe/log.ts';
import { pause } from '../runtime/pause.ts';
import type { Gate } from '../sale/admission/gate.ts';
import { cancelCalledOff } from '../sale/settlement/called-off.ts';
import type { Settled } from '../sale/settlement/transaction.ts';
import type { Collections } from '../store/collections.ts';

const lookEveryMs = 1_000;
/** Between two batches, in which purchases of other sales are settled. */
const betweenBatchesMs = 20;

interface CalledOffDependencies {
  collections: Collections;
  gate: Gate;
  exclusive: Exclusive;
  announceSettled: (settled: Settled) => void;
}

/** Cancels the orders of sales that were called off, batch by batch. */
export function cancelCalledOffSales(
  { collections, gate, exclusive, announceSettled }: CalledOffDependencies,
  log: Log,
): LeaderTask {
  return async (stopping) => {
    while (!stopping.aborted) {
      const hasMore = await cancelCalledOff(collections, exclusive, async ({ settled, returned }) => {
        announceSettled(settled);
        try {
          await gate.returnUnits(returned);
        } catch (error) {
          // The comparison of the gates returns the units.
          log.warn({ error: (error as Error).message }, 'orders cancelled, but updating their gates failed');
        }
      });
      await pause(hasMore ? betweenBatchesMs : lookEveryMs, stopping);
    }
  };
}
