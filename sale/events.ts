import type { ClientSession } from 'mongoose';
import { type Collections, driverOf, type EventRecord } from './collections.ts';
import type { Change, CloudEvent, EventType } from './contract.ts';

/**
 * The event log. What happens to a sale is written in the transaction in which it happens, one document for each sale
 * and transaction, numbered without gaps by the sale's `eventSeq`: whoever reads a sale's documents in order reads its
 * history. The log keeps changes in short; `eventsOf` spells them out as CloudEvents.
 */
export async function appendChanges(
  { events }: Collections,
  entries: { saleId: string; seq: number; changes: Change[] }[],
  at: Date,
  session: ClientSession,
): Promise<void> {
  const records = entries.map(
    (entry): EventRecord => ({ _id: eventKey(entry.saleId, entry.seq), ...entry, at }),
  );
  if (records.length > 0) await driverOf(events).insertMany(records, { session });
}

const seqDigits = 10;

/** Sorts a sale's documents by their number. */
export function eventKey(saleId: string, seq: number): string {
  return `${saleId}:${String(seq).padStart(seqDigits, '0')}`;
}

/** A sale's documents after number `seq`, in order. */
export function readChanges({ events }: Collections, saleId: string, { after = 0, limit = 1_000 } = {}) {
  return driverOf(events)
    .find({ _id: { $gt: eventKey(saleId, after), $lt: `${saleId}:~` } })
    .sort({ _id: 1 })
    .limit(limit);
}

/** Spells a document out. The ids of its events are the same at every reading, so a subscriber can tell repeats. */
export function eventsOf({ _id, saleId, at, changes }: EventRecord): CloudEvent[] {
  const events = changes.flatMap((change) => typesOf(change).map((type) => ({ type, change })));
  return events.map(({ type, change }, index) => ({
    specversion: '1.0',
    id: `${_id}:${index}`,
    source: `/api/sales/${saleId}`,
    type,
    subject: 'orderId' in change ? change.orderId : saleId,
    time: at.toISOString(),
    datacontenttype: 'application/json',
    dataschema: `/schemas/${type}/1`,
    data: { saleId, ...change },
  }));
}

function typesOf(change: Change): EventType[] {
  switch (change.type) {
    case 'order.paid':
      return ['order.placed', 'inventory.reserved', 'order.paid'];
    case 'order.rejected':
      return ['order.placed', 'inventory.failed', 'order.rejected'];
    case 'order.cancelled':
      return ['order.cancelled', 'inventory.released'];
    default:
      return [change.type];
  }
}
