import type { Snapshot } from '../runtime/databases/snapshot-read.ts';
import type { Order } from '../sale/contract.ts';
import { firstItemId, linesOf } from '../sale/items.ts';
import type { Collections, EventRecord } from '../store/collections.ts';
import { createdItemsOf, eventKey } from './events.ts';
import { type Change, type LoggedOrder, loggedOrderOf, type OrderChange } from './schemas.ts';

interface ReplayedOrder extends LoggedOrder {
  status: Order['status'];
}

/** The counts of an item, or of the sale. */
interface ReplayedCounts {
  stock: number;
  unitsOnSale: number;
}

/** A sale's counts as its log gives them up to a document. */
export interface LoggedCounts extends ReplayedCounts {
  seq: number;
  /** By item id. */
  items: Record<string, ReplayedCounts>;
  isCalledOff: boolean;
}

/** The state of a sale and its orders, rebuilt from the log. */
export interface ReplayedSale extends ReplayedCounts {
  saleId: string;
  /** Number of the last document read. */
  seq: number;
  /** By item id. */
  items: Map<string, ReplayedCounts>;
  paused: boolean;
  isCalledOff: boolean;
  orders: Map<string, ReplayedOrder>;
  keeps: (orderId: string) => boolean;
}

/**
 * Replays the log from its beginning, sale by sale.
 * @param until leaves out later documents.
 * @param saleId replays this sale alone.
 * @param keeps says which orders are part of the result; by default all are.
 * @throws Error when a document is missing in a sale's history.
 */
export async function* replay(
  { events }: Collections,
  {
    until,
    snapshot,
    saleId,
    keeps = () => true,
  }: {
    until?: Date | undefined;
    snapshot?: Snapshot;
    saleId?: string;
    keeps?: (orderId: string) => boolean;
  } = {},
): AsyncGenerator<ReplayedSale> {
  const filter = {
    ...(until && { at: { $lte: until } }),
    ...(saleId !== undefined && { _id: { $gt: `${saleId}:`, $lt: `${saleId}:~` } }),
  };
  const records = events.find(filter, snapshot).sort({ _id: 1 });
  let sale = emptySale('', keeps);
  for await (const record of records) {
    if (sale.saleId !== record.saleId) {
      if (sale.seq > 0) yield sale;
      sale = emptySale(record.saleId, keeps);
    }
    apply(sale, record);
  }
  if (sale.seq > 0) yield sale;
}

const emptySale = (saleId: string, keeps: ReplayedSale['keeps']): ReplayedSale => ({
  saleId,
  keeps,
  seq: 0,
  stock: 0,
  unitsOnSale: 0,
  items: new Map(),
  paused: false,
  isCalledOff: false,
  orders: new Map(),
});

function apply(sale: ReplayedSale, { seq, changes }: EventRecord): void {
  if (seq !== sale.seq + 1) {
    throw new Error(
      `Document ${eventKey(sale.saleId, sale.seq + 1)} is missing in the log: the next is number ${seq}`,
    );
  }
  sale.seq = seq;
  for (const change of changes) replayChange(sale, change);
}

function replayChange(sale: ReplayedSale, change: Change): void {
  switch (change.type) {
    case 'sale.created':
    case 'sale.changed':
      Object.assign(sale, { stock: 0, unitsOnSale: 0, items: new Map() });
      for (const { itemId, stock } of createdItemsOf(change)) {
        sale.items.set(itemId, { stock: 0, unitsOnSale: 0 });
        putOnSale(sale, itemId, stock);
      }
      return;
    case 'sale.stock_added':
      putOnSale(sale, change.itemId ?? firstItemId, change.units);
      return;
    case 'sale.stock_withdrawn':
      putOnSale(sale, change.itemId ?? firstItemId, -change.units);
      return;
    case 'sale.called_off':
      sale.isCalledOff = true;
      return;
    case 'sale.paused':
    case 'sale.resumed':
      sale.paused = change.type === 'sale.paused';
      return;
    case 'sale.limit_changed':
    case 'sale.item_limit_changed':
    case 'sale.rescheduled':
    case 'sale.opened':
    case 'sale.ended':
    case 'sale.drawn':
      return;
    case 'order.held':
      putBack(sale, change, -1);
      keep(sale, change, 'held');
      return;
    case 'order.paid':
      if (!change.paymentId) putBack(sale, change, -1);
      keep(sale, change, 'paid');
      return;
    case 'order.expired':
      putBack(sale, change, 1);
      keep(sale, change, 'expired');
      return;
    case 'order.cancelled':
      if (change.keptBack) keepBack(sale, change);
      else putBack(sale, change, 1);
      keep(sale, change, 'cancelled');
      return;
    case 'order.refunded':
      if (change.isWhole) keepBack(sale, change);
      // An order that has ended as refunded stays so when a refund of it is repeated after it failed.
      keep(sale, change, change.isWhole ? 'refunded' : statusOf(sale, change));
      return;
    case 'order.refund_failed':
      keep(sale, change, statusOf(sale, change));
      return;
    case 'order.rejected':
      keep(sale, change, 'rejected');
  }
}

const statusOf = ({ orders }: ReplayedSale, { orderId }: OrderChange) =>
  orders.get(orderId)?.status ?? 'paid';

/**
 * Goes on replaying a sale's counts where an earlier replay stopped.
 * @throws Error when a document is missing in the sale's history.
 */
export async function replayCounts(
  { events }: Collections,
  saleId: string,
  { seq, stock, unitsOnSale, items, isCalledOff }: LoggedCounts,
  snapshot: Snapshot,
): Promise<LoggedCounts> {
  const sale = { ...emptySale(saleId, () => false), seq, stock, unitsOnSale, isCalledOff };
  sale.items = new Map(Object.entries(items).map(([id, counts]) => [id, { ...counts }]));
  const later = { _id: { $gt: eventKey(saleId, seq), $lt: `${saleId}:~` } };
  for await (const record of events.find(later, snapshot).sort({ _id: 1 })) apply(sale, record);
  return countsOf(sale);
}

export const countsOf = ({ seq, stock, unitsOnSale, items, isCalledOff }: ReplayedSale): LoggedCounts => ({
  ...{ seq, stock, unitsOnSale, isCalledOff },
  items: Object.fromEntries(items),
});

/** Puts more units of an item on sale; with negative `units` takes them off it. */
function putOnSale(sale: ReplayedSale, itemId: string, units: number): void {
  for (const counts of [sale, sale.items.get(itemId)]) {
    if (!counts) continue;
    counts.stock += units;
    counts.unitsOnSale += units;
  }
}

/** Returns the units of an order to the stock, or with `sign` -1 takes them. */
function putBack(sale: ReplayedSale, change: OrderChange, sign: 1 | -1): void {
  sale.stock += sign * change.quantity;
  for (const { itemId, quantity } of linesOf(change)) {
    const counts = sale.items.get(itemId);
    if (counts) counts.stock += sign * quantity;
  }
}

/** Takes the units of an order off the sale. */
function keepBack(sale: ReplayedSale, change: OrderChange): void {
  sale.unitsOnSale -= change.quantity;
  for (const { itemId, quantity } of linesOf(change)) {
    const counts = sale.items.get(itemId);
    if (counts) counts.unitsOnSale -= quantity;
  }
}

function keep(sale: ReplayedSale, change: OrderChange, status: Order['status']): void {
  if (!sale.keeps(change.orderId)) return;
  sale.orders.set(change.orderId, { ...loggedOrderOf(change), status });
}
