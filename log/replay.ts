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
}

/** Is called with each change of an order and the number of its document in the log. @param status null when it stays as it was. */
type OrderListener = (change: OrderChange, status: Order['status'] | null, seq: number) => void;

/**
 * Replays the log from its beginning, sale by sale.
 * @param until leaves out later documents.
 * @param saleId replays this sale alone.
 * @throws Error when a document is missing in a sale's history.
 */
export async function* replay(
  { events }: Collections,
  { until, saleId }: { until?: Date | undefined; saleId?: string } = {},
): AsyncGenerator<ReplayedSale> {
  const filter = {
    ...(until && { at: { $lte: until } }),
    ...(saleId !== undefined && { _id: { $gt: `${saleId}:`, $lt: `${saleId}:~` } }),
  };
  let sale = emptySale('');
  const keep: OrderListener = (change, status) => {
    const next = status ?? sale.orders.get(change.orderId)?.status ?? unknownBefore;
    sale.orders.set(change.orderId, { ...loggedOrderOf(change), status: next });
  };
  for await (const record of events.find(filter).sort({ _id: 1 })) {
    if (sale.saleId !== record.saleId) {
      if (sale.seq > 0) yield sale;
      sale = emptySale(record.saleId);
    }
    apply(sale, record, keep);
  }
  if (sale.seq > 0) yield sale;
}

/** The status of an order whose entries do not begin with it. */
export const unknownBefore = 'paid';

const emptySale = (saleId: string): ReplayedSale => ({
  saleId,
  seq: 0,
  stock: 0,
  unitsOnSale: 0,
  items: new Map(),
  paused: false,
  isCalledOff: false,
  orders: new Map(),
});

function apply(
  sale: ReplayedSale,
  { seq, changes }: Pick<EventRecord, 'seq' | 'changes'>,
  keep: OrderListener,
): void {
  if (seq !== sale.seq + 1) {
    throw new Error(
      `Document ${eventKey(sale.saleId, sale.seq + 1)} is missing in the log: the next is number ${seq}`,
    );
  }
  sale.seq = seq;
  for (const change of changes) replayChange(sale, change, keep);
}

function replayChange(sale: ReplayedSale, change: Change, keep: OrderListener): void {
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
      keep(change, 'held', sale.seq);
      return;
    case 'order.paid':
      if (!change.paymentId) putBack(sale, change, -1);
      keep(change, 'paid', sale.seq);
      return;
    case 'order.expired':
      putBack(sale, change, 1);
      keep(change, 'expired', sale.seq);
      return;
    case 'order.cancelled':
      if (change.keptBack) keepBack(sale, change);
      else putBack(sale, change, 1);
      keep(change, 'cancelled', sale.seq);
      return;
    case 'order.refunded':
      if (change.isWhole) keepBack(sale, change);
      // An order that has ended as refunded stays so when a refund of it is repeated after it failed.
      keep(change, change.isWhole ? 'refunded' : null, sale.seq);
      return;
    case 'order.refund_failed':
      keep(change, null, sale.seq);
      return;
    case 'order.rejected':
      keep(change, 'rejected', sale.seq);
  }
}

/** The counts of a sale of which nothing has been replayed yet. */
export const nothingLogged = (): LoggedCounts => countsOf(emptySale(''));

/**
 * Goes on replaying a sale's counts where an earlier replay stopped, up to the end of the log.
 * @param onOrder is called with the changes of orders, none of which are kept.
 * @throws Error when a document is missing in the sale's history.
 */
export async function replayCounts(
  { events }: Collections,
  saleId: string,
  { seq, stock, unitsOnSale, items, isCalledOff }: LoggedCounts,
  snapshot: Snapshot | undefined,
  onOrder: OrderListener = () => {},
): Promise<LoggedCounts> {
  const sale = { ...emptySale(saleId), seq, stock, unitsOnSale, isCalledOff };
  sale.items = new Map(Object.entries(items).map(([id, counts]) => [id, { ...counts }]));
  const later = { _id: { $gt: eventKey(saleId, seq), $lt: `${saleId}:~` } };
  const records = events.find(later, { ...snapshot, projection: { seq: 1, changes: 1 } }).sort({ _id: 1 });
  for await (const record of records) apply(sale, record, onOrder);
  return countsOf(sale);
}

const countsOf = ({ seq, stock, unitsOnSale, items, isCalledOff }: ReplayedSale): LoggedCounts => ({
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
