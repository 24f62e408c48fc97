import type { ClientSession } from 'mongoose';
import { mongoClock } from '../../runtime/clock.ts';
import { Stale, untilFresh } from '../../runtime/databases/transact.ts';
import { failpoint } from '../../runtime/failpoints.ts';
import type { Collections, OrderRecord } from '../../store/collections.ts';
import { byOrder } from '../../store/payment-collections.ts';
import { type Mark, markPaid } from '../payment/mark-paid.ts';
import { payingStates } from '../payment/payment.ts';
import { inSales } from '../sale.ts';
import { type Cancelled, writeEnded } from './cancellation.ts';
import type { Settled } from './transaction.ts';

/** Holds that end in one transaction. */
export const expiredAtOnce = 1_000;
/** How long a batch is retried after write conflicts; the next pass tries again. */
const patienceMs = 5_000;

const dueHolds = () => ({ status: 'held' as const, holdExpiresAt: { $lte: mongoClock.now() } });

/** @returns the milliseconds until the next payment window ends, 0 or less when one has ended; null while no order is held. */
export async function nextHoldEndsInMs({ orders }: Collections): Promise<number | null> {
  const projection = { holdExpiresAt: 1 } as const;
  const held = { status: 'held' as const, holdExpiresAt: { $gte: new Date(0) } };
  const next = await orders.findOne(held, { sort: { holdExpiresAt: 1 }, projection });
  return next?.holdExpiresAt ? next.holdExpiresAt.getTime() - mongoClock.now().getTime() : null;
}

/**
 * Marks the orders paid whose payment was authorised, but which were not marked before their payment window passed: their
 * buyers were in time. At most `expiredAtOnce`.
 * @returns what changed, for pages; null when nothing did.
 */
export async function payAuthorisedHolds(collections: Collections): Promise<Settled | null> {
  const marks = await findAuthorised(collections, await findDue(collections));
  const marked = marks.length > 0 ? await markPaid(collections, marks) : null;
  return marked?.settled ?? null;
}

/**
 * Expires the held orders whose payment window has passed by MongoDB's clock, those that are due longest first, in one
 * transaction: their units go back on sale. At most `expiredAtOnce`. An order whose payment is authorised stays held, until
 * it is marked paid.
 * @returns what changed, for pages and gates; null when none was due.
 */
export async function expireHolds(collections: Collections): Promise<Cancelled | null> {
  const { sales, connection } = collections;
  return await untilFresh(
    connection,
    async (write) => {
      const due = await findDue(collections);
      const inTime = new Set((await findAuthorised(collections, due)).map(({ orderId }) => orderId));
      const expired = due
        .filter(({ _id }) => !inTime.has(_id))
        .map((order) => ({ ...order, status: 'expired' as const }));
      if (expired.length === 0) return null;
      const saleIds = [...new Set(expired.map(({ saleId }) => saleId))];
      const found = await sales.find({ _id: { $in: saleIds } }).toArray();
      const saleById = new Map(found.map((sale) => [sale._id, sale]));
      failpoint('expiring');
      const ended = await write(async (session) => {
        const cancelled = await writeEnded(collections, expired, saleById, [], session);
        // It has written to their payments too, so one that is authorised later makes this transaction conflict.
        if ((await findAuthorised(collections, expired, session)).length > 0) throw new Stale();
        return cancelled;
      });
      failpoint('expired');
      return ended;
    },
    { patienceMs },
  );
}

const findDue = ({ orders }: Collections): Promise<OrderRecord[]> =>
  orders.find(dueHolds()).sort({ holdExpiresAt: 1 }).limit(expiredAtOnce).toArray();

/** The payments that pay one of these orders while it is held. */
async function findAuthorised(
  { payments }: Collections,
  due: OrderRecord[],
  session?: ClientSession,
): Promise<Mark[]> {
  if (due.length === 0) return [];
  const found = await payments
    .find(
      { orderId: { $in: due.map(({ _id }) => _id) }, ...inSales(due), state: { $in: [...payingStates] } },
      { projection: { orderId: 1 }, hint: byOrder, ...(session && { session }) },
    )
    .sort({ createdAt: 1 })
    .toArray();
  return found.map(({ _id: paymentId, orderId }) => ({ orderId, paymentId }));
}
