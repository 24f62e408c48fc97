import { readChanges } from '../../log/events.ts';
import { failpoint } from '../../runtime/failpoints.ts';
import type { Exclusive } from '../../runtime/mutex.ts';
import type { Collections, EventRecord } from '../../store/collections.ts';
import { type Cancelled, cancelOrders } from './cancellation.ts';

/** One document of the log holds at most as many orders as are settled in one transaction. */
const documentsAtOnce = 10;
const ordersAtOnce = 500;

/**
 * Cancels the next orders of a sale that was called off. The sale's log names them in the order of settlement, and the sale
 * stores how far it was read, so that another worker goes on after a crash. An order that is cancelled already stays as it is.
 * @param exclusive keeps this process from settling meanwhile, which would conflict on the sale.
 * @param announce tells pages and gates about each transaction.
 * @returns whether there may be more.
 */
export async function cancelCalledOff(
  collections: Collections,
  exclusive: Exclusive,
  announce: (cancelled: Cancelled) => Promise<unknown>,
): Promise<boolean> {
  const { sales } = collections;
  const sale = await sales.findOne({ phase: 'called_off', cancelledUpToSeq: { $exists: true } });
  if (!sale) return false;
  const { _id, cancelledUpToSeq: after = 0, eventSeq } = sale;
  const documents = await readChanges(collections, _id, { after, limit: documentsAtOnce }).toArray();
  const taken = documents.flatMap(takenOrders);
  for (let start = 0; start < taken.length; start += ordersAtOnce) {
    const batch = taken.slice(start, start + ordersAtOnce);
    const { cancelled } = await exclusive(() => cancelOrders(collections, batch));
    if (cancelled) failpoint('written');
    if (cancelled) await announce(cancelled);
  }
  const upTo = documents.at(-1)?.seq ?? after;
  // Purchases that were queued may still be settled, and their log documents are read as well.
  const isDone = upTo >= eventSeq;
  await sales.updateOne(
    { _id, ...(isDone && { eventSeq: upTo }) },
    isDone ? { $unset: { cancelledUpToSeq: 1 } } : { $set: { cancelledUpToSeq: upTo } },
  );
  return true;
}

const takenOrders = ({ changes }: EventRecord) =>
  changes.flatMap((change) =>
    change.type === 'order.paid' || change.type === 'order.held'
      ? [{ orderId: change.orderId, by: 'staff' as const, staff: null, reason: 'called_off', restock: true }]
      : [],
  );
