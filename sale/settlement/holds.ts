import { mongoClock } from '../../runtime/clock.ts';
import { untilFresh } from '../../runtime/databases/transact.ts';
import { failpoint } from '../../runtime/failpoints.ts';
import type { Collections } from '../../store/collections.ts';
import { type Cancelled, writeEnded } from './cancellation.ts';

/** Holds that expire in one transaction. */
export const expiredAtOnce = 1_000;
/** How long a batch is retried after write conflicts; the next pass tries again. */
const patienceMs = 5_000;

const dueHolds = () => ({ status: 'held' as const, holdExpiresAt: { $lte: mongoClock.now() } });

/** Whether the payment window of a held order has passed. */
export const isHoldDue = async ({ orders }: Collections) =>
  (await orders.findOne(dueHolds(), { projection: { _id: 1 } })) !== null;

/**
 * Expires the held orders whose payment window has passed by MongoDB's clock, those that are due longest first, in one
 * transaction: their units go back on sale. At most `expiredAtOnce`.
 * @returns what changed, for pages and gates; null when none was due.
 */
export async function expireHolds(collections: Collections): Promise<Cancelled | null> {
  const { orders, sales, connection } = collections;
  return await untilFresh(
    connection,
    async (write) => {
      const due = await orders.find(dueHolds()).sort({ holdExpiresAt: 1 }).limit(expiredAtOnce).toArray();
      if (due.length === 0) return null;
      const saleIds = [...new Set(due.map(({ saleId }) => saleId))];
      const found = await sales.find({ _id: { $in: saleIds } }).toArray();
      const saleById = new Map(found.map((sale) => [sale._id, sale]));
      const expired = due.map((order) => ({ ...order, status: 'expired' as const }));
      failpoint('expiring');
      const ended = await write((session) => writeEnded(collections, expired, saleById, [], session));
      failpoint('expired');
      return ended;
    },
    { patienceMs },
  );
}
