import type { LeaderTask } from '../runtime/leader/leader.ts';
import type { Exclusive } from '../runtime/mutex.ts';
import { pause } from '../runtime/pause.ts';
import type { Cancelled } from '../sale/settlement/cancellation.ts';
import { expiredAtOnce, expireHolds, payAuthorisedHolds } from '../sale/settlement/holds.ts';
import type { Settled } from '../sale/settlement/transaction.ts';
import type { Collections } from '../store/collections.ts';

const lookEveryMs = 250;

/**
 * Expires held orders that were not paid in time, and puts their units back on sale.
 * @param exclusive keeps this process from settling meanwhile, which would conflict on the sale.
 * @param announce tells pages about orders that were paid in time after all; pages and gates about each transaction of expiries.
 */
export function holdExpiry(
  collections: Collections,
  exclusive: Exclusive,
  announce: { paid: (paid: Settled) => void; expired: (expired: Cancelled) => Promise<unknown> },
): LeaderTask {
  return async (stopping) => {
    while (!stopping.aborted) {
      const paid = await exclusive(() => payAuthorisedHolds(collections));
      if (paid) announce.paid(paid);
      const expired = await exclusive(() => expireHolds(collections));
      if (expired) await announce.expired(expired);
      const mayBeMore = expired?.settled.orders.length === expiredAtOnce;
      if (!mayBeMore) await pause(lookEveryMs, stopping);
    }
  };
}
