import type { LeaderTask } from '../../runtime/leader/leader.ts';
import type { Exclusive } from '../../runtime/mutex.ts';
import { pause } from '../../runtime/pause.ts';
import { cancelCalledOff } from '../../sale/settlement/called-off.ts';
import type { Cancelled } from '../../sale/settlement/cancellation.ts';
import type { Collections } from '../../store/collections.ts';

const lookEveryMs = 1_000;
/** Between two batches, in which purchases of other sales are settled. */
const betweenBatchesMs = 20;

/**
 * Cancels the orders of sales that were called off, batch by batch.
 * @param announce tells pages and gates about each transaction.
 */
export function cancelCalledOffSales(
  collections: Collections,
  exclusive: Exclusive,
  announce: (cancelled: Cancelled) => Promise<unknown>,
): LeaderTask {
  return async (stopping) => {
    while (!stopping.aborted) {
      const hasMore = await cancelCalledOff(collections, exclusive, announce);
      await pause(hasMore ? betweenBatchesMs : lookEveryMs, stopping);
    }
  };
}
