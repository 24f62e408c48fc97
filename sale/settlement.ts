import { type ClientSession, trusted } from 'mongoose';
import { groupCommit } from '../runtime/group-commit.ts';
import {
  type AllowanceRecord,
  type Collections,
  driverOf,
  type OrderRecord,
  type SaleRecord,
} from './collections.ts';
import type { Order, Purchase, StockMessage } from './contract.ts';
import { allowanceKey, type Decision, decide, type Outcome, type SettlementSnapshot } from './decide.ts';
import type { Release } from './gate.ts';
import { orderOf } from './order.ts';

/** What a committed batch changed, for everyone who wants to know. */
export interface Settled {
  stocks: StockMessage[];
  orders: { buyerId: string; order: Order }[];
}

/**
 * Resolves when every one of these purchases has its order in MongoDB.
 * @throws what MongoDB threw; then none of the batch was written, and settling it again is safe.
 */
export type Settle = (purchases: Purchase[]) => Promise<void>;

/**
 * Settles purchases, one transaction at a time: two at once would only run into each other's writes of the same
 * hot product. What arrives meanwhile is settled together in the next one.
 * @param afterCommit is told of every commit. What it does is a courtesy: nothing depends on it, so it must not throw.
 */
export function openSettlement({
  collections,
  maxPurchases,
  minIntervalMs,
  afterCommit,
}: {
  collections: Collections;
  maxPurchases: number;
  /** From the start of one transaction to the start of the next. */
  minIntervalMs: number;
  afterCommit: (settled: Settled, orderIds: string[], releases: Release[]) => Promise<void>;
}): Settle {
  const commit = groupCommit<Purchase[], void>({
    async send(jobs) {
      const purchases = jobs.flat();
      const { decision, settled } = await settleBatch(collections, purchases);
      await afterCommit(
        settled,
        purchases.map(({ orderId }) => orderId),
        releasesOf(decision),
      );
      return jobs.map(() => undefined);
    },
    sizeOf: (purchases) => purchases.length,
    maxBatch: maxPurchases,
    minIntervalMs,
    maxWaiting: Number.POSITIVE_INFINITY, // Bounded by the jobs that the queue hands out at once.
  });
  return commit.submit;
}

async function settleBatch(collections: Collections, purchases: Purchase[]) {
  // `withTransaction` runs the body again when another writer of the same documents was quicker.
  return await collections.sales.db.withSession((session) =>
    session.withTransaction(async () => {
      const snapshot = await readSnapshot(collections, purchases, session);
      const decision = decide(purchases, snapshot);
      const settledAt = new Date();
      const records = decision.outcomes.map((outcome) => recordOf(outcome, settledAt));
      await takeStock(collections, decision, session);
      await takeAllowances(collections, decision, snapshot, session);
      if (records.length > 0) await driverOf(collections.orders).insertMany(records, { session });
      return { decision, settled: settledOf(decision, snapshot, records, settledAt) };
    }),
  );
}

interface Snapshot extends SettlementSnapshot {
  sales: ReadonlyMap<string, Pick<SaleRecord, 'stock' | 'stockVersion' | 'limitPerBuyer'>>;
}

/** One session is one conversation: its reads go one after the other. */
async function readSnapshot(
  { sales, orders, allowances }: Collections,
  purchases: Purchase[],
  session: ClientSession,
): Promise<Snapshot> {
  const saleIds = [...new Set(purchases.map(({ saleId }) => saleId))];
  const orderIds = purchases.map(({ orderId }) => orderId);
  const keys = [...new Set(purchases.map(({ saleId, buyerId }) => allowanceKey(saleId, buyerId)))];

  const foundSales = await sales
    .find({ _id: trusted({ $in: saleIds }) }, 'stock stockVersion limitPerBuyer', { session })
    .lean<Pick<SaleRecord, '_id' | 'stock' | 'stockVersion' | 'limitPerBuyer'>[]>();
  const foundOrders = await orders
    .find({ _id: trusted({ $in: orderIds }) }, '_id', { session })
    .lean<Pick<OrderRecord, '_id'>[]>();
  const foundAllowances = await allowances
    .find({ _id: trusted({ $in: keys }) }, 'units', { session })
    .lean<AllowanceRecord[]>();

  return {
    sales: new Map(foundSales.map((sale) => [sale._id, sale])),
    settledOrderIds: new Set(foundOrders.map(({ _id }) => _id)),
    allowances: new Map(foundAllowances.map(({ _id, units }) => [_id, units])),
  };
}

/**
 * The guarded `$inc`. `decide` saw enough stock in this same transaction, so a guard that does not match means that
 * the code is wrong: better no order than a unit that does not exist.
 */
async function takeStock({ sales }: Collections, { sold }: Decision, session: ClientSession): Promise<void> {
  for (const [saleId, units] of sold) {
    const { matchedCount } = await driverOf(sales).updateOne(
      { _id: saleId, stock: { $gte: units } },
      { $inc: { stock: -units, stockVersion: 1 } },
      { session },
    );
    if (matchedCount !== 1) throw new Error(`The guard refused ${units} units of sale ${saleId}`);
  }
}

/** The same for what each buyer may still have: past the limit the upsert runs into the `_id` that is there. */
async function takeAllowances(
  { allowances }: Collections,
  { outcomes, taken }: Decision,
  { sales }: Snapshot,
  session: ClientSession,
): Promise<void> {
  const limits = new Map(
    outcomes.map(({ purchase: { saleId, buyerId } }) => [
      allowanceKey(saleId, buyerId),
      sales.get(saleId)?.limitPerBuyer ?? 0,
    ]),
  );
  const writes = [...taken].map(([key, units]) => ({
    updateOne: {
      filter: { _id: key, units: { $lte: (limits.get(key) ?? 0) - units } },
      update: { $inc: { units } },
      upsert: true,
    },
  }));
  if (writes.length > 0) await driverOf(allowances).bulkWrite(writes, { session, ordered: false });
}

function recordOf({ purchase, status, reason }: Outcome, settledAt: Date): OrderRecord {
  return {
    _id: purchase.orderId,
    saleId: purchase.saleId,
    buyerId: purchase.buyerId,
    quantity: purchase.quantity,
    idempotencyKey: purchase.idempotencyKey,
    status,
    reason,
    createdAt: new Date(purchase.createdAt),
    settledAt,
  };
}

function settledOf(
  { sold }: Decision,
  { sales }: Snapshot,
  records: OrderRecord[],
  settledAt: Date,
): Settled {
  return {
    stocks: [...sold].map(([saleId, units]) => {
      const before = sales.get(saleId);
      return {
        saleId,
        stock: (before?.stock ?? 0) - units,
        stockVersion: (before?.stockVersion ?? 0) + 1,
        at: settledAt.toISOString(),
      };
    }),
    orders: records.map((record) => ({ buyerId: record.buyerId, order: orderOf(record) })),
  };
}

/**
 * What the gate gets back. A purchase past its buyer's limit returns its units to the sale; one that found the stock
 * sold out shows that the gate had counted too much, and returns none.
 */
function releasesOf({ outcomes }: Decision): Release[] {
  return outcomes
    .filter(({ status }) => status === 'rejected')
    .map(({ purchase: { saleId, buyerId, quantity }, reason }) => ({
      saleId,
      buyerId,
      buyerUnits: quantity,
      gateUnits: reason === 'over_limit' ? quantity : 0,
    }));
}
