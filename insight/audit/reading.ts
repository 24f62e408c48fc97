import { setImmediate } from 'node:timers/promises';
import type { mongo } from 'mongoose';
import type { LoggedOrder } from '../../log/schemas.ts';
import type { Snapshot } from '../../runtime/databases/snapshot-read.ts';
import type { OrderStatus, PurchaseLine } from '../../sale/contract.ts';
import type { Collections, OrderRecord } from '../../store/collections.ts';
import { type PayableOrder, type PaymentRow, payableOf, paymentRowOf } from './money.ts';
import type { Partitions } from './partitions.ts';

/** What an order and its entries in the log have to agree on. The log of an earlier version does not have the money. */
export type OrderState = [
  /** Null in an entry that leaves it as it was. */
  status: OrderStatus | null,
  quantity: number,
  buyerId: string,
  /** Null when it is the buyer's own id. */
  personId: string | null,
  refundedAmount: number,
  /** Null for one line of the first item. */
  lines: PurchaseLine[] | null,
];

/** A document was read after the first number of the sale's log was current, and before one above the second was. */
export type Window = [before: number, after: number];

/** Everything of a sale that has to agree, in partitions by order, and by whose limit counts. */
export interface Rows {
  orders: [id: string, state: OrderState, code: string | null, payable: PayableOrder | null, window: Window];
  log: [id: string, state: OrderState, seq: number];
  payments: PaymentRow;
  allowances: [holder: string, units: number, window: Window];
  /** Units that orders take from a limit from a number of the log on, or with a negative count give back. */
  claims: [holder: string, units: number, limit: number, seq: number];
}

export type Order = Rows['orders'];

/** One sale as it is read for an audit. */
export interface Reading {
  collections: Collections;
  saleId: string;
  rows: Partitions<Rows>;
  /** Absent while a large sale is read, which takes longer than MongoDB keeps a snapshot. */
  snapshot: Snapshot | undefined;
  /** The number of the log at which reading began: every later read sees what the log has up to it. */
  startSeq: number;
  /** The log's number now. */
  seqNow(): Promise<number>;
  batchSize: number;
}

/** In a snapshot the whole log comes before everything else. */
const endOfLog = Number.MAX_SAFE_INTEGER;

export async function openReading(
  collections: Collections,
  saleId: string,
  rows: Partitions<Rows>,
  { snapshot, batchSize }: Pick<Reading, 'snapshot' | 'batchSize'>,
): Promise<Reading> {
  const seqNow = async () => {
    if (snapshot) return endOfLog;
    const sale = await collections.sales.findOne({ _id: saleId }, { projection: { eventSeq: 1 } });
    return sale?.eventSeq ?? endOfLog;
  };
  return { collections, saleId, rows, snapshot, startSeq: await seqNow(), seqNow, batchSize };
}

/** Documents in batches, each with its window. The next batch is on its way while one is worked on. */
async function* batchesOf<Record>(
  { seqNow }: Reading,
  cursor: mongo.FindCursor<Record>,
): AsyncGenerator<{ records: Record[]; window: Window }> {
  const startNext = () => {
    const next = cursor.hasNext();
    // It is awaited later; without this its failure would end the process before.
    next.catch(() => {});
    return next;
  };
  try {
    let before = await seqNow();
    for (let next = startNext(); await next; ) {
      const records = cursor.readBufferedDocuments();
      const after = await seqNow();
      next = startNext();
      // Lets the request go out before the batch keeps this process busy.
      await setImmediate();
      yield { records, window: [before, after] };
      before = after;
    }
  } finally {
    await cursor.close();
  }
}

const ofOrder = {
  buyerId: 1,
  personId: 1,
  quantity: 1,
  'lines.itemId': 1,
  'lines.quantity': 1,
  amount: 1,
  idempotencyKey: 1,
  status: 1,
  code: 1,
  cancelledAt: 1,
  holdExpiresAt: 1,
  paymentId: 1,
  refundedAmount: 1,
} as const;

/**
 * @param limit so many orders are read at most, because others may be made faster than they are read.
 * @param onOrder is called with each order.
 */
export async function readOrders(
  reading: Reading,
  limit: number,
  onOrder: (order: OrderRecord) => void,
): Promise<void> {
  const { collections, saleId, rows, snapshot, batchSize } = reading;
  const options = { ...snapshot, projection: ofOrder, batchSize, limit };
  const found = collections.orders.find({ saleId }, options);
  for await (const { records, window } of batchesOf(reading, found)) {
    for (const record of records) {
      onOrder(record);
      rows.add('orders', record._id, orderOf(record, window));
    }
  }
}

const idsAtOnce = 1_000;

/** Orders by their ids as they are now. */
export async function* findOrders(
  { collections, saleId }: Reading,
  ids: string[],
): AsyncGenerator<OrderRecord> {
  for (let start = 0; start < ids.length; start += idsAtOnce) {
    const _id = { $in: ids.slice(start, start + idsAtOnce) };
    const found = collections.orders.find({ _id }, { projection: { ...ofOrder, saleId: 1 } });
    for (const order of await found.toArray()) if (order.saleId === saleId) yield order;
  }
}

export function orderOf(record: OrderRecord, window: Window): Order {
  const { _id, status, code = null, paymentId, holdExpiresAt } = record;
  const payable = paymentId || holdExpiresAt ? payableOf(record) : null;
  return [_id, stateOf(status, record), code, payable, window];
}

export function stateOf(
  status: OrderStatus | null,
  { buyerId, personId, quantity, refundedAmount = 0, lines }: LoggedOrder,
): OrderState {
  const person = personId === undefined || personId === buyerId ? null : personId;
  const own = lines?.map(({ itemId, quantity }) => ({ itemId, quantity })) ?? null;
  return [status, quantity, buyerId, person, refundedAmount, own];
}

export async function readAllowances(reading: Reading): Promise<void> {
  const { collections, saleId, rows, snapshot, batchSize } = reading;
  const ofSale = { _id: { $gte: `${saleId}:`, $lt: `${saleId};` } };
  const found = collections.allowances.find(ofSale, { ...snapshot, batchSize });
  for await (const { records, window } of batchesOf(reading, found)) {
    for (const { _id, units } of records) {
      const holder = _id.slice(saleId.length + 1);
      rows.add('allowances', holder, [holder, units, window]);
    }
  }
}

/** Which of these allowances exist now. */
export async function findAllowances({ collections }: Reading, keys: string[]): Promise<Set<string>> {
  const there = new Set<string>();
  for (let start = 0; start < keys.length; start += idsAtOnce) {
    const _id = { $in: keys.slice(start, start + idsAtOnce) };
    for await (const found of collections.allowances.find({ _id }, { projection: { _id: 1 } }))
      there.add(found._id);
  }
  return there;
}

export async function readPayments(reading: Reading): Promise<void> {
  const { collections, saleId, rows, snapshot, batchSize } = reading;
  const found = collections.payments.find({ saleId }, { ...snapshot, batchSize });
  for await (const payment of found) rows.add('payments', payment.orderId, paymentRowOf(payment));
}
