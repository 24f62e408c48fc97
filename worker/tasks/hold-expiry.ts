import type { LeaderTask } from '../../runtime/leader/leader.ts';
import type { Exclusive } from '../../runtime/mutex.ts';
import { pause } from '../../runtime/pause.ts';
import type { Cancelled } from '../../sale/settlement/cancellation.ts';
import {
  expiredAtOnce,
  expireHolds,
  nextHoldEndsInMs,
  payAuthorisedHolds,
} from '../../sale/settlement/holds.ts';
import type { Settled } from '../../sale/settlement/transaction.ts';
import type { Collections } from '../../store/collections.ts';

const lookEveryMs = 1_000;
/** A hold that is due stays when its payment was authorised, until its order is marked paid. */
const lookAgainMs = 250;

/**
 * Expires held orders that were not paid in time, and puts their units back on sale.
 * @param exclusive keeps this process from settling meanwhile, which would conflict on the sale; it is not taken while no hold is
 *   due.
 * @param announce tells pages about orders that were paid in time after all; pages and gates about each transaction of expiries.
 */
export function holdExpiry(
  collections: Collections,
  exclusive: Exclusive,
  announce: { paid: (paid: Settled) => void; expired: (expired: Cancelled) => Promise<unknown> },
): LeaderTask {
  return async (stopping) => {
    while (!stopping.aborted) {
      const endsInMs = (await nextHoldEndsInMs(collections)) ?? lookEveryMs;
      const isDue = endsInMs <= 0;
      const paid = isDue ? await exclusive(() => payAuthorisedHolds(collections)) : null;
      if (paid) announce.paid(paid);
      const expired = isDue ? await exclusive(() => expireHolds(collections)) : null;
      if (expired) await announce.expired(expired);
      const mayBeMore = expired?.settled.orders.length === expiredAtOnce;
      if (!mayBeMore) await pause(isDue ? lookAgainMs : Math.min(endsInMs, lookEveryMs), stopping);
    }
  };
}
