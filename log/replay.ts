import type { ClientSession } from 'mongoose';
import type { Order } from '../sale/contract.ts';
import type { Collections, EventRecord } from '../store/collections.ts';
import { eventKey } from './events.ts';
import type { Change, OrderChange } from './schemas.ts';

interface ReplayedOrder extends Pick<OrderChange, 'buyerId' | 'personId' | 'quantity'> {
  status: Order['status'];
}

/** The state of a sale and its orders, rebuilt from the log. */
export interface ReplayedSale {
  saleId: string;
  /** Number of the last document read. */
  seq: number;
  stock: number;
  unitsOnSale: number;
  paused: boolean;
  orders: Map<string, ReplayedOrder>;
}

/**
 * Replays the log from its beginning, sale by sale.
 * @param until leaves out later documents.
 * @throws Error when a document is missing in a sale's history.
 */
export async function* replay(
  { events }: Collections,
  { until, session }: { until?: Date | undefined; session?: ClientSession | undefined } = {},
): AsyncGenerator<ReplayedSale> {
  const filter = until ? { at: { $lte: until } } : {};
  const records = events.find(filter, session && { session }).sort({ _id: 1 });
  let sale = emptySale('');
  for await (const record of records) {
    if (sale.saleId !== record.saleId) {
      if (sale.seq > 0) yield sale;
      sale = emptySale(record.saleId);
    }
    apply(sale, record);
  }
  if (sale.seq > 0) yield sale;
}

const emptySale = (saleId: string): ReplayedSale => ({
  saleId,
  seq: 0,
  stock: 0,
  unitsOnSale: 0,
  paused: false,
  orders: new Map(),
});

function apply(sale: ReplayedSale, { seq, changes }: EventRecord): void {
  if (seq !== sale.seq + 1) {
    throw new Error(
      `Document ${eventKey(sale.saleId, sale.seq + 1)} is missing in the log: the next is number ${seq}`,
    );
  }
  sale.seq = seq;
  for (const change of changes) applyChange(sale, change);
}

function applyChange(sale: ReplayedSale, change: Change): void {
  switch (change.type) {
    case 'sale.created':
      sale.stock = change.stock;
      sale.unitsOnSale = change.stock;
      return;
    case 'sale.stock_added':
      sale.stock += change.units;
      sale.unitsOnSale += change.units;
      return;
    case 'sale.paused':
    case 'sale.resumed':
      sale.paused = change.type === 'sale.paused';
      return;
    case 'sale.rescheduled':
    case 'sale.opened':
    case 'sale.ended':
      return;
    case 'order.paid':
      sale.stock -= change.quantity;
      keep(sale, change, 'paid');
      return;
    case 'order.cancelled':
      if (change.keptBack) sale.unitsOnSale -= change.quantity;
      else sale.stock += change.quantity;
      keep(sale, change, 'cancelled');
      return;
    case 'order.rejected':
      keep(sale, change, 'rejected');
  }
}

function keep(
  sale: ReplayedSale,
  { orderId, buyerId, personId, quantity }: OrderChange,
  status: Order['status'],
): void {
  sale.orders.set(orderId, { buyerId, ...(personId && { personId }), quantity, status });
}
