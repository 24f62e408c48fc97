import type { LeaderTask } from '../runtime/leader/leader.ts';
import type { Exclusive } from '../runtime/mutex.ts';
import { pause } from '../runtime/pause.ts';
import type { Cancelled } from '../sale/settlement/cancellation.ts';
import { expiredAtOnce, expireHolds, isHoldDue } from '../sale/settlement/holds.ts';
import type { Collections } from '../store/collections.ts';

const lookEveryMs = 250;

/**
 * Expires held orders that were not paid in time, and puts their units back on sale.
 * @param exclusive keeps this process from settling meanwhile, which would conflict on the sale; it is not taken while no hold is
 *   due.
 * @param announce tells pages and gates about each transaction.
 */
export function holdExpiry(
  collections: Collections,
  exclusive: Exclusive,
  announce: (expired: Cancelled) => Promise<unknown>,
): LeaderTask {
  return async (stopping) => {
    while (!stopping.aborted) {
      const isDue = await isHoldDue(collections);
      const expired = isDue ? await exclusive(() => expireHolds(collections)) : null;
      if (expired) await announce(expired);
      const mayBeMore = expired?.settled.orders.length === expiredAtOnce;
      if (!mayBeMore) await pause(lookEveryMs, stopping);
    }
  };
}
