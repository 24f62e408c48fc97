import type { ClientSession } from 'mongoose';
import { firstItemId, linesWith } from '../sale/items.ts';
import { type Collections, type EventRecord, insertAll } from '../store/collections.ts';
import type { Change, CloudEvent, CreatedItem, EventData, EventType, OrderChange } from './schemas.ts';

/**
 * Appends to the event log. Each transaction writes its changes as one document for each sale, numbered without gaps by the
 * sale's `eventSeq`, so the documents of a sale in order are its history. Documents store changes in a compact form;
 * `eventsOf` expands them to CloudEvents.
 */
export async function appendChanges(
  collections: Collections,
  entries: { saleId: string; seq: number; changes: Change[] }[],
  at: Date,
  session: ClientSession,
): Promise<void> {
  const records = entries.map(
    (entry): EventRecord => ({ _id: eventKey(entry.saleId, entry.seq), ...entry, at }),
  );
  if (records.length > 0) await insertAll(collections, collections.events, records, session);
}

const seqDigits = 10;

/** The `_id` of a log document; the padded number makes a sale's documents sort in order. */
export function eventKey(saleId: string, seq: number): string {
  return `${saleId}:${String(seq).padStart(seqDigits, '0')}`;
}

/** The filter for a sale's documents after number `after`, and before number `before`. */
export function documentsOf(saleId: string, { after = 0, before }: { after?: number; before?: number } = {}) {
  const end = before === undefined ? `${saleId}:~` : eventKey(saleId, before);
  return { _id: { $gt: eventKey(saleId, after), $lt: end } };
}

/** A sale's documents after number `after`, in order; `limit` 0 means all of them. */
export function readChanges({ events }: Collections, saleId: string, { after = 0, limit = 0 } = {}) {
  return events.find(documentsOf(saleId, { after })).sort({ _id: 1 }).limit(limit);
}

/** Expands a document to its events. Event ids are deterministic, so that a subscriber can detect duplicates. */
export function eventsOf({ _id, saleId, at, changes }: EventRecord): CloudEvent[] {
  const [source, time] = [`/api/sales/${saleId}`, at.toISOString()];
  const events: CloudEvent[] = [];
  for (const change of changes) {
    for (const { type, data, traceparent } of expand(saleId, change)) {
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

interface ExpandedEvent {
  type: EventType;
  data: EventData;
  traceparent?: string | undefined;
}

/** A change of an order becomes events about the order and events about the stock. */
function expand(saleId: string, change: Change): ExpandedEvent[] {
  switch (change.type) {
    case 'order.held':
      return [
        ...ofOrder(saleId, change, ['order.placed', 'inventory.reserved']),
        ...ofOrder(saleId, change, ['order.held'], { holdExpiresAt: change.holdExpiresAt }),
      ];
    case 'order.paid': {
      const { paymentId } = change;
      if (paymentId) return ofOrder(saleId, change, ['order.paid'], { paymentId });
      return ofOrder(saleId, change, ['order.placed', 'inventory.reserved', 'order.paid']);
    }
    case 'order.expired':
      return ofOrder(saleId, change, ['order.expired', 'inventory.released']);
    case 'order.rejected':
      return [
        ...ofOrder(saleId, change, ['order.placed']),
        ...ofOrder(saleId, change, ['inventory.failed', 'order.rejected'], {
          reason: change.reason,
          ...(change.left !== undefined && { left: change.left }),
        }),
      ];
    case 'order.cancelled': {
      const { cancelledBy, cancelReason, keptBack, unpaid } = change;
      const why = {
        ...(cancelledBy && { cancelledBy }),
        ...(cancelReason && { cancelReason }),
        ...(keptBack && { keptBack }),
        ...(unpaid && { unpaid }),
      };
      const released: EventType[] = keptBack ? [] : ['inventory.released'];
      return [...ofOrder(saleId, change, ['order.cancelled'], why), ...ofOrder(saleId, change, released)];
    }
    case 'order.refunded': {
      const { refundAmount, isWhole, refundReason } = change;
      const why = { ...(isWhole && { isWhole }), ...(refundReason && { refundReason }) };
      return ofOrder(saleId, change, ['order.refunded'], { refundAmount, ...why });
    }
    case 'order.refund_failed':
      return ofOrder(saleId, change, ['order.refund_failed'], { refundAmount: change.refundAmount });
    case 'sale.created':
    case 'sale.changed': {
      const { type, ...rest } = change;
      const { currency } = change.price;
      return [{ type, data: { saleId, ...rest, currency, items: createdItemsOf(change) } }];
    }
    case 'sale.stock_added':
    case 'sale.stock_withdrawn': {
      const { type, itemId = firstItemId, ...rest } = change;
      return [{ type, data: { saleId, itemId, ...rest } }];
    }
    default: {
      const { type, ...rest } = change;
      return [{ type, data: { saleId, ...rest } }];
    }
  }
}

function ofOrder(
  saleId: string,
  { orderId, buyerId, quantity, traceparent, ...change }: OrderChange,
  types: EventType[],
  more = {},
): ExpandedEvent[] {
  const { amount, currency, lines, refundedAmount } = change;
  const refunded = refundedAmount !== undefined && { refundedAmount };
  const money = amount !== undefined &&
    currency !== undefined && {
      lines: linesWith({ quantity, lines }, { label: '', amount }),
      amount,
      currency,
    };
  const data = { saleId, orderId, buyerId, quantity, ...money, ...refunded, ...more };
  return types.map((type) => ({ type, data, traceparent }));
}

/** The items of a new sale. The log names them only where they say more than the sale does. */
export function createdItemsOf(
  created: Extract<Change, { type: 'sale.created' | 'sale.changed' }>,
): CreatedItem[] {
  const { items, productId, price, stock } = created;
  return (
    items ?? [{ itemId: firstItemId, productId, label: '', amount: price.amount, stock, limitPerBuyer: null }]
  );
}
