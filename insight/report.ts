import { LRUCache } from 'lru-cache';
import { createdItemsOf, readChanges } from '../log/events.ts';
import type { Change, OrderChange } from '../log/schemas.ts';
import { singleFlight } from '../runtime/single-flight.ts';
import { firstItemId, linesOf } from '../sale/items.ts';
import type { Collections } from '../store/collections.ts';
import type { SaleCurve } from './contract.ts';

/** A sale's curve, and the number of the last log document that is in it, so that only newer ones are read. */
interface CachedCurve extends SaleCurve {
  seq: number;
  /** The price of a unit in orders of an earlier version, which do not say what they cost. */
  unitAmount: number;
}

const maxCached = 50;
const documentsAtOnce = 1_000;
/** Twice as many points as a chart can show; beyond that every second one is dropped. */
const maxPoints = 600;

/** @returns a function that computes a sale's curve from its log, cached and continued with the new documents. */
export function openSaleCurves(collections: Collections): (saleId: string) => Promise<SaleCurve> {
  const cache = new LRUCache<string, CachedCurve>({ max: maxCached });
  return singleFlight(async (saleId) => {
    const cached = cache.get(saleId) ?? emptyCurve();
    for (let isMore = true; isMore; ) {
      const documents = await readChanges(collections, saleId, {
        after: cached.seq,
        limit: documentsAtOnce,
      }).toArray();
      for (const { seq, at, changes } of documents) {
        for (const change of changes) apply(cached, change, at);
        cached.seq = seq;
        addPoint(cached, at);
      }
      isMore = documents.length === documentsAtOnce;
    }
    cache.set(saleId, cached);
    const { seq: _, unitAmount: __, ...curve } = cached;
    return { ...curve, items: curve.items.map((item) => ({ ...item })), points: [...curve.points] };
  });
}

function emptyCurve(): CachedCurve {
  return {
    seq: 0,
    stock: 0,
    units: 0,
    paidOrders: 0,
    paidUnits: 0,
    soldOrders: 0,
    soldUnits: 0,
    heldUnits: 0,
    expiredUnits: 0,
    cancelledUnits: 0,
    refundedUnits: 0,
    refundedAmount: 0,
    amount: 0,
    unitAmount: 0,
    items: [],
    rejected: {},
    firstPaidAt: null,
    soldOutAt: null,
    points: [],
  };
}

function apply(curve: CachedCurve, change: Change, at: Date): void {
  switch (change.type) {
    case 'sale.created':
    case 'sale.changed':
      curve.stock = curve.units = 0;
      curve.unitAmount = change.price.amount;
      curve.items = createdItemsOf(change).map(({ itemId }) => ({
        itemId,
        stock: 0,
        units: 0,
        amount: 0,
        soldOutAt: null,
      }));
      for (const { itemId, stock } of createdItemsOf(change)) putOnSale(curve, itemId, stock);
      break;
    case 'sale.stock_added':
      putOnSale(curve, change.itemId ?? firstItemId, change.units);
      break;
    case 'sale.stock_withdrawn':
      putOnSale(curve, change.itemId ?? firstItemId, -change.units);
      break;
    case 'order.held':
      putBack(curve, change, -1, at);
      curve.heldUnits += change.quantity;
      break;
    case 'order.expired':
      putBack(curve, change, 1, at);
      curve.heldUnits -= change.quantity;
      curve.expiredUnits += change.quantity;
      break;
    case 'order.paid':
      if (change.paymentId) curve.heldUnits -= change.quantity;
      else putBack(curve, change, -1, at);
      curve.amount += amountOf(curve, change);
      curve.paidUnits += change.quantity;
      curve.paidOrders += 1;
      countSold(curve, change, 1);
      curve.firstPaidAt ??= at.toISOString();
      break;
    case 'order.cancelled':
      if (change.unpaid) curve.heldUnits -= change.quantity;
      else {
        curve.cancelledUnits += change.quantity;
        countSold(curve, change, -1);
        curve.amount -= amountOf(curve, change) - (change.refundedAmount ?? 0);
      }
      if (change.keptBack) keepBack(curve, change);
      else putBack(curve, change, 1, at);
      break;
    case 'order.refunded':
      curve.amount -= change.refundAmount;
      curve.refundedAmount += change.refundAmount;
      if (change.isWhole) {
        curve.refundedUnits += change.quantity;
        countSold(curve, change, -1);
        keepBack(curve, change);
      }
      break;
    case 'order.refund_failed':
      curve.amount += change.refundAmount;
      curve.refundedAmount -= change.refundAmount;
      break;
    case 'order.rejected':
      curve.rejected[change.reason] = (curve.rejected[change.reason] ?? 0) + 1;
  }
}

const amountOf = ({ unitAmount }: CachedCurve, { amount, quantity }: OrderChange) =>
  amount ?? unitAmount * quantity;

/** Counts an order that was paid, or with `sign` -1 one that is not any more. */
function countSold(curve: CachedCurve, change: OrderChange, sign: 1 | -1): void {
  curve.soldOrders += sign;
  curve.soldUnits += sign * change.quantity;
  for (const { itemId, quantity, ...line } of linesOf(change)) {
    const item = curve.items.find((one) => one.itemId === itemId);
    const amount = 'amount' in line ? (line.amount as number) : amountOf(curve, { ...change, quantity });
    if (item) item.amount += sign * amount;
  }
}

/** The counts of an item, or of the sale. */
type Counts = Pick<SaleCurve, 'stock' | 'units' | 'soldOutAt'>;

/** The counts that units of an item belong to. */
function countsOf(curve: CachedCurve, itemId: string): Counts[] {
  const item = curve.items.find((one) => one.itemId === itemId);
  return item ? [curve, item] : [curve];
}

function putOnSale(curve: CachedCurve, itemId: string, units: number): void {
  for (const counts of countsOf(curve, itemId)) {
    counts.stock += units;
    counts.units += units;
    if (units > 0) counts.soldOutAt = null;
  }
}

/** Returns the units of an order to the stock, or with `sign` -1 takes them. */
function putBack(curve: CachedCurve, change: OrderChange, sign: 1 | -1, at: Date): void {
  for (const { itemId, quantity } of linesOf(change)) {
    for (const counts of countsOf(curve, itemId)) {
      counts.stock += sign * quantity;
      counts.soldOutAt = counts.stock === 0 ? at.toISOString() : null;
    }
  }
}

/** Takes the units of an order off the sale. */
function keepBack(curve: CachedCurve, change: OrderChange): void {
  for (const { itemId, quantity } of linesOf(change))
    for (const counts of countsOf(curve, itemId)) counts.units -= quantity;
}

/** Adds a point to the chart if the stock has changed. */
function addPoint({ points, stock }: SaleCurve, at: Date): void {
  if (points.at(-1)?.[1] === stock) return;
  points.push([at.getTime(), stock]);
  if (points.length <= maxPoints) return;
  // The first and last points stay; periods with many changes keep more points.
  const kept = points.filter((_, n) => n === 0 || n % 2 === 1 || n === points.length - 1);
  points.splice(0, points.length, ...kept);
}
