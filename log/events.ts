import type { ClientSession } from 'mongoose';
import { type Collections, driverOf, type EventRecord, insertAll } from '../store/collections.ts';
import type { Change, CloudEvent, EventData, EventType, OrderChange } from './schemas.ts';

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
  if (records.length > 0) await insertAll(events, records, session);
}

const seqDigits = 10;

/** Sorts a sale's documents by their number. */
export function eventKey(saleId: string, seq: number): string {
  return `${saleId}:${String(seq).padStart(seqDigits, '0')}`;
}

/** A sale's documents after number `after`, in order: all of them, or as many as `limit` says. */
export function readChanges({ events }: Collections, saleId: string, { after = 0, limit = 0 } = {}) {
  return driverOf(events)
    .find({ _id: { $gt: eventKey(saleId, after), $lt: `${saleId}:~` } })
    .sort({ _id: 1 })
    .limit(limit);
}

/** Spells a document out. The ids of its events are the same at every reading, so a subscriber can tell repeats. */
export function eventsOf({ _id, saleId, at, changes }: EventRecord): CloudEvent[] {
  const [source, time] = [`/api/sales/${saleId}`, at.toISOString()];
  const events: CloudEvent[] = [];
  for (const change of changes) {
    for (const { type, data, traceparent } of spell(saleId, change)) {
      events.push({
        specversion: '1.0',
        id: `${_id}:${events.length}`,
        source,
        type,
        subject: 'orderId' in data ? data.orderId : saleId,
        time,
        datacontenttype: 'application/json',
        dataschema: `/schemas/${type}/1`,
        ...(traceparent && { traceparent }),
        data,
      });
    }
  }
  return events;
}

interface Spelled {
  type: EventType;
  data: EventData;
  traceparent?: string | undefined;
}

/** What happens to an order is news of the order and of the stock. */
function spell(saleId: string, change: Change): Spelled[] {
  switch (change.type) {
    case 'order.paid':
      return ofOrder(saleId, change, ['order.placed', 'inventory.reserved', 'order.paid']);
    case 'order.rejected':
      return [
        ...ofOrder(saleId, change, ['order.placed']),
        ...ofOrder(saleId, change, ['inventory.failed', 'order.rejected'], { reason: change.reason }),
      ];
    case 'order.cancelled':
      return ofOrder(saleId, change, ['order.cancelled', 'inventory.released']);
    default: {
      const { type, ...rest } = change;
      return [{ type, data: { saleId, ...rest } }];
    }
  }
}

function ofOrder(
  saleId: string,
  { orderId, buyerId, quantity, traceparent }: OrderChange,
  types: EventType[],
  more = {},
): Spelled[] {
  const data = { saleId, orderId, buyerId, quantity, ...more };
  return types.map((type) => ({ type, data, traceparent }));
}
