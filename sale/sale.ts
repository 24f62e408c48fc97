import { trusted, type UpdateQuery } from 'mongoose';
import { nanoid } from 'nanoid';
import { type Collections, driverOf, type ProductRecord, type SaleRecord } from './collections.ts';
import type { Change, Money, SaleSnapshot, SaleStatus } from './contract.ts';
import { appendChanges } from './events.ts';
import { changesOfPhase, phaseOf } from './phases.ts';
import { productOf } from './product.ts';

export interface NewSale {
  productId: string;
  price: Money;
  /** The price before, in minor units of the same currency. */
  oldAmount?: number | undefined;
  stock: number;
  limitPerBuyer: number;
  opensAt: Date;
  closesAt: Date;
}

/** What an admin may change of a sale. Units can be added, never taken away: some could be sold by then. */
export interface SaleChange {
  paused?: boolean | undefined;
  addStock?: number | undefined;
  opensAt?: Date | undefined;
  closesAt?: Date | undefined;
}

/** @returns null when there is no such product. */
export async function createSale(collections: Collections, sale: NewSale): Promise<SaleSnapshot | null> {
  const product = await collections.products.findById(sale.productId).lean<ProductRecord>();
  if (!product) return null;
  const createdAt = new Date();
  const phase = phaseOf(sale, createdAt);
  const record: SaleRecord = {
    _id: nanoid(),
    ...sale,
    phase,
    oldAmount: sale.oldAmount ?? null,
    paused: false,
    stockVersion: 0,
    unitsOnSale: sale.stock,
    unitsReturned: 0,
    eventSeq: 1,
    revision: 0,
    createdAt,
  };
  const changes = [creationOf(record), ...changesOfPhase('scheduled', phase, record)];
  await collections.sales.db.withSession((session) =>
    session.withTransaction(async () => {
      await driverOf(collections.sales).insertOne(record, { session });
      const entry = { saleId: record._id, seq: 1, changes };
      await appendChanges(collections, [entry], record.createdAt, session);
    }),
  );
  return snapshotOf(record, product);
}

/**
 * @returns the sale as it is now; null when there is no such sale; `closes_first` when the window would end before
 *   it begins.
 */
export async function changeSale(
  collections: Collections,
  saleId: string,
  change: SaleChange,
): Promise<SaleRecord | 'closes_first' | null> {
  const { paused, addStock, opensAt, closesAt } = change;
  const { sales } = collections;
  const $set = {
    ...(paused !== undefined && { paused }),
    ...(opensAt && { opensAt }),
    ...(closesAt && { closesAt }),
  };
  const stock = addStock && { stock: addStock, unitsOnSale: addStock, stockVersion: 1 };
  // The window is checked where it is written, so that two changes at once cannot turn it around.
  const window = { $lt: [opensAt ?? '$opensAt', closesAt ?? '$closesAt'] };
  const update: UpdateQuery<SaleRecord> = { $set, $inc: { revision: 1, eventSeq: 1, ...stock } };
  const changed = await sales.db.withSession((session) =>
    session.withTransaction(async () => {
      const sale = await sales
        .findOneAndUpdate({ _id: saleId, $expr: trusted(window) }, update, {
          session,
          returnDocument: 'after',
        })
        .lean<SaleRecord>();
      const entry = sale && { saleId, seq: sale.eventSeq, changes: changesOf(change, sale) };
      if (entry) await appendChanges(collections, [entry], new Date(), session);
      return sale;
    }),
  );
  if (changed) return changed;
  return (await sales.exists({ _id: saleId })) ? 'closes_first' : null;
}

function creationOf({ productId, price, stock, limitPerBuyer, opensAt, closesAt }: SaleRecord): Change {
  const window = { opensAt: opensAt.toISOString(), closesAt: closesAt.toISOString() };
  return { type: 'sale.created', productId, price, stock, limitPerBuyer, ...window };
}

function changesOf({ paused, addStock, opensAt, closesAt }: SaleChange, sale: SaleRecord): Change[] {
  const changes: Change[] = [];
  if (paused !== undefined) changes.push({ type: paused ? 'sale.paused' : 'sale.resumed' });
  if (addStock) changes.push({ type: 'sale.stock_added', units: addStock });
  if (opensAt || closesAt) {
    const window = { opensAt: sale.opensAt.toISOString(), closesAt: sale.closesAt.toISOString() };
    changes.push({ type: 'sale.rescheduled', ...window });
  }
  return changes;
}

export async function findSale({ sales }: Collections, saleId: string): Promise<SaleRecord | null> {
  return await sales.findById(saleId).lean<SaleRecord>();
}

export async function readSnapshot(collections: Collections, saleId: string): Promise<SaleSnapshot | null> {
  const sale = await findSale(collections, saleId);
  const product = sale && (await collections.products.findById(sale.productId).lean<ProductRecord>());
  return sale && product ? snapshotOf(sale, product) : null;
}

const listedSales = 100;

/** The sales that end last, at most 100. */
export async function listSnapshots({ sales, products }: Collections): Promise<SaleSnapshot[]> {
  const found = await sales.find().sort({ closesAt: -1 }).limit(listedSales).lean<SaleRecord[]>();
  const ids = [...new Set(found.map(({ productId }) => productId))];
  const named = await products.find({ _id: trusted({ $in: ids }) }).lean<ProductRecord[]>();
  const productById = new Map(named.map((product) => [product._id, product]));
  return found.flatMap((sale) => {
    const product = productById.get(sale.productId);
    return product ? [snapshotOf(sale, product)] : [];
  });
}

function statusOf(
  { opensAt, closesAt, paused, stock }: Pick<SaleRecord, 'opensAt' | 'closesAt' | 'paused' | 'stock'>,
  now: Date,
): SaleStatus {
  const phase = phaseOf({ opensAt, closesAt }, now);
  if (phase !== 'open') return phase;
  if (paused) return 'paused';
  return stock === 0 ? 'sold_out' : 'open';
}

function snapshotOf(sale: SaleRecord, product: ProductRecord): SaleSnapshot {
  const now = new Date();
  return {
    id: sale._id,
    product: productOf(product),
    price: { amount: sale.price.amount, currency: sale.price.currency },
    oldPrice: sale.oldAmount ? { amount: sale.oldAmount, currency: sale.price.currency } : null,
    status: statusOf(sale, now),
    opensAt: sale.opensAt.toISOString(),
    closesAt: sale.closesAt.toISOString(),
    stock: sale.stock,
    stockVersion: sale.stockVersion,
    unitsOnSale: sale.unitsOnSale,
    limitPerBuyer: sale.limitPerBuyer,
    serverTime: now.toISOString(),
  };
}

/** By sale id, each in the order in which they come. */
export function groupBySale<Item extends { saleId: string }>(items: Item[]): Map<string, Item[]> {
  const ofSales = new Map<string, Item[]>();
  for (const item of items) {
    const ofSale = ofSales.get(item.saleId);
    if (ofSale) ofSale.push(item);
    else ofSales.set(item.saleId, [item]);
  }
  return ofSales;
}
