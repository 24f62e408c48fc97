import { hash } from 'node:crypto';
import { isDeepStrictEqual } from 'node:util';
import { nanoid } from 'nanoid';
import { productOf } from '../catalogue/product.ts';
import { appendChanges, readChanges } from '../log/events.ts';
import type { Change } from '../log/schemas.ts';
import { mongoClock, redisClock } from '../runtime/clock.ts';
import { type Collections, isDuplicateKey, type SaleRecord } from '../store/collections.ts';
import { afterCursor, pageOf } from '../store/time-cursor.ts';
import type { Money, Product, SalePage, SaleSnapshot, SaleStatus } from './contract.ts';
import { changesOfPhase, phaseOf } from './phases.ts';

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

/** @returns null when there is no such product. */
export async function createSale(
  collections: Collections,
  sale: NewSale,
  id: string = nanoid(),
): Promise<SaleSnapshot | null> {
  const product = await collections.products.findOne({ _id: sale.productId });
  if (!product) return null;
  const createdAt = mongoClock.now();
  const phase = phaseOf(sale, redisClock.now());
  const record: SaleRecord = {
    _id: id,
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
  const changes = [creationOf(sale), ...changesOfPhase('scheduled', phase, record)];
  await collections.connection.withSession((session) =>
    session.withTransaction(async () => {
      await collections.sales.insertOne(record, { session });
      const entry = { saleId: record._id, seq: 1, changes };
      await appendChanges(collections, [entry], record.createdAt, session);
    }),
  );
  return snapshotOf(record, productOf(product));
}

/**
 * Creates a sale whose id is derived from the admin and the Idempotency-Key, so that a retried request creates one sale.
 * @returns the sale as it is now; `key_reused` when the key created a different sale; null when there is no such product.
 */
export async function createSaleOnce(
  collections: Collections,
  sale: NewSale,
  { adminId, idempotencyKey }: { adminId: string; idempotencyKey: string },
): Promise<SaleSnapshot | 'key_reused' | null> {
  const id = hash('sha256', `sale\n${adminId}\n${idempotencyKey}`, 'base64url').slice(0, 22);
  try {
    return await createSale(collections, sale, id);
  } catch (error) {
    if (!isDuplicateKey(error)) throw error;
  }
  const [made] = await readChanges(collections, id, { limit: 1 }).toArray();
  const isSame = isDeepStrictEqual(made?.changes[0], creationOf(sale));
  return isSame ? await readSaleSnapshot(collections, id) : 'key_reused';
}

function creationOf({ productId, price, stock, limitPerBuyer, opensAt, closesAt }: NewSale): Change {
  const window = { opensAt: opensAt.toISOString(), closesAt: closesAt.toISOString() };
  return { type: 'sale.created', productId, price, stock, limitPerBuyer, ...window };
}

export async function findSale({ sales }: Collections, saleId: string): Promise<SaleRecord | null> {
  return await sales.findOne({ _id: saleId });
}

export async function readSaleSnapshot(
  collections: Collections,
  saleId: string,
): Promise<SaleSnapshot | null> {
  const sale = await findSale(collections, saleId);
  return sale && (await snapshotOfRecord(collections, sale));
}

export async function snapshotOfRecord(
  { products }: Collections,
  sale: SaleRecord,
): Promise<SaleSnapshot | null> {
  const product = await products.findOne({ _id: sale.productId });
  return product && snapshotOf(sale, productOf(product));
}

const listedSales = 100;

/** The sales of a product that have not ended, at most 100. */
export async function listSnapshotsOf(collections: Collections, product: Product): Promise<SaleSnapshot[]> {
  const found = await collections.sales
    .find({ productId: product.id, closesAt: { $gt: redisClock.now() } })
    .sort({ closesAt: -1 })
    .limit(listedSales)
    .toArray();
  return found.map((sale) => snapshotOf(sale, product));
}

/** One page of all sales, sorted by end time, the latest first. */
export async function listSnapshots({ sales, products }: Collections, cursor?: string): Promise<SalePage> {
  const found = await sales
    .find(afterCursor('closesAt', cursor))
    .sort({ closesAt: -1, _id: -1 })
    .limit(listedSales + 1)
    .toArray();
  const { page, nextCursor } = pageOf(found, 'closesAt', listedSales);
  const ids = [...new Set(page.map(({ productId }) => productId))];
  const named = await products.find({ _id: { $in: ids } }).toArray();
  const productById = new Map(named.map((product) => [product._id, product]));
  const snapshots = page.flatMap((sale) => {
    const product = productById.get(sale.productId);
    return product ? [snapshotOf(sale, productOf(product))] : [];
  });
  return { sales: snapshots, nextCursor };
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

function snapshotOf(sale: SaleRecord, product: Product): SaleSnapshot {
  const now = redisClock.now();
  return {
    id: sale._id,
    product,
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

/** Groups items by sale id and keeps their order. */
export function groupBySale<Item extends { saleId: string }>(items: Item[]): Map<string, Item[]> {
  const ofSales = new Map<string, Item[]>();
  for (const item of items) {
    const ofSale = ofSales.get(item.saleId);
    if (ofSale) ofSale.push(item);
    else ofSales.set(item.saleId, [item]);
  }
  return ofSales;
}
