import { LRUCache } from 'lru-cache';
import { readChanges } from '../log/events.ts';
import type { Change } from '../log/schemas.ts';
import { singleFlight } from '../runtime/single-flight.ts';
import type { Collections } from '../store/collections.ts';
import type { SaleCurve } from './contract.ts';

/** A sale's curve, and the number of the last log document that is in it, so that only newer ones are read. */
interface CachedCurve extends SaleCurve {
  seq: number;
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
    const { seq: _, ...curve } = cached;
    return { ...curve, points: [...curve.points] };
  });
}

function emptyCurve(): CachedCurve {
  return {
    seq: 0,
    stock: 0,
    units: 0,
    paidOrders: 0,
    paidUnits: 0,
    cancelledUnits: 0,
    rejected: {},
    firstPaidAt: null,
    soldOutAt: null,
    points: [],
  };
}

function apply(curve: SaleCurve, change: Change, at: Date): void {
  switch (change.type) {
    case 'sale.created':
    case 'sale.changed':
      curve.stock = curve.units = change.stock;
      break;
    case 'sale.stock_added':
      curve.stock += change.units;
      curve.units += change.units;
      curve.soldOutAt = null;
      break;
    case 'sale.stock_withdrawn':
      curve.stock -= change.units;
      curve.units -= change.units;
      break;
    case 'order.paid':
      curve.stock -= change.quantity;
      curve.paidUnits += change.quantity;
      curve.paidOrders += 1;
      curve.firstPaidAt ??= at.toISOString();
      if (curve.stock === 0) curve.soldOutAt = at.toISOString();
      break;
    case 'order.cancelled':
      curve.cancelledUnits += change.quantity;
      if (change.keptBack) {
        curve.units -= change.quantity;
        break;
      }
      curve.stock += change.quantity;
      curve.soldOutAt = null;
      break;
    case 'order.rejected':
      curve.rejected[change.reason] = (curve.rejected[change.reason] ?? 0) + 1;
  }
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
