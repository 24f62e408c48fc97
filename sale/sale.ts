import { trusted, type UpdateQuery } from 'mongoose';
import { nanoid } from 'nanoid';
import type { Collections, ProductRecord, SaleRecord } from './collections.ts';
import type { Money, SaleSnapshot, SaleStatus } from './contract.ts';
import { productOf } from './product.ts';

export interface NewSale {
  productId: string;
  price: Money;
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
  const record: SaleRecord = {
    _id: nanoid(),
    ...sale,
    paused: false,
    stockVersion: 0,
    unitsOnSale: sale.stock,
    revision: 0,
    createdAt: new Date(),
  };
  await collections.sales.create(record);
  return snapshotOf(record, product);
}

/**
 * @returns the sale as it is now; null when there is no such sale; `closes_first` when the window would end before
 *   it begins.
 */
export async function changeSale(
  { sales }: Collections,
  saleId: string,
  { paused, addStock, opensAt, closesAt }: SaleChange,
): Promise<SaleRecord | 'closes_first' | null> {
  const $set = {
    ...(paused !== undefined && { paused }),
    ...(opensAt && { opensAt }),
    ...(closesAt && { closesAt }),
  };
  const $inc = { revision: 1, ...(addStock && { stock: addStock, unitsOnSale: addStock, stockVersion: 1 }) };
  // The window is checked where it is written, so that two changes at once cannot turn it around.
  const window = { $lt: [opensAt ?? '$opensAt', closesAt ?? '$closesAt'] };
  const update: UpdateQuery<SaleRecord> = { $set, $inc };
  const changed = await sales
    .findOneAndUpdate({ _id: saleId, $expr: trusted(window) }, update, { returnDocument: 'after' })
    .lean<SaleRecord>();
  if (changed) return changed;
  return (await sales.exists({ _id: saleId })) ? 'closes_first' : null;
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
  if (now >= closesAt) return 'ended';
  if (now < opensAt) return 'scheduled';
  if (paused) return 'paused';
  return stock === 0 ? 'sold_out' : 'open';
}

function snapshotOf(sale: SaleRecord, product: ProductRecord): SaleSnapshot {
  const now = new Date();
  return {
    id: sale._id,
    product: productOf(product),
    price: { amount: sale.price.amount, currency: sale.price.currency },
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
