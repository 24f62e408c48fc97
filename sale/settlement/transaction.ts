import type { ClientSession } from 'mongoose';
import { appendChanges } from '../../log/events.ts';
import { mongoClock } from '../../runtime/clock.ts';
import { transact } from '../../runtime/databases/transact.ts';
import { failpoint } from '../../runtime/failpoints.ts';
import {
  type AllowanceRecord,
  byId,
  type Collections,
  insertAll,
  isDuplicateKey,
  type OrderRecord,
  type SaleRecord,
} from '../../store/collections.ts';
import { type Fence, requireFences } from '../../store/shards.ts';
import { readUses } from '../access/codes.ts';
import type { SettledPurchase } from '../admission/gate.ts';
import type { Order, Purchase, StockMessage } from '../contract.ts';
import { countPath, hasSeveralItems, pricedLinesOf, stockMessageOf } from '../items.ts';
import { changeOf, orderMessageOf } from '../order.ts';
import { placeIdOf } from '../places/place.ts';
import { groupBySale, inSales } from '../sale.ts';
import {
  allowanceKey,
  claimsOf,
  type Decision,
  decide,
  limitsOf,
  type Outcome,
  personOf,
  type SaleLimits,
  type SettlementSnapshot,
  sumOf,
} from './decide.ts';

/** The changes of a committed transaction, in the form in which they are announced to all servers. */
export interface Settled {
  stocks: StockMessage[];
  orders: { buyerId: string; order: Order }[];
}

/** A committed batch. */
export interface Batch {
  settled: Settled;
  /** Each purchase with its outcome, decided now or at an earlier delivery. */
  settledPurchases: SettledPurchase[];
  createdOrders: OrderRecord[];
  /** When the transaction began. */
  beganAt: Date;
}

/**
 * Settles purchases in one transaction: reads what is needed, decides, writes. A purchase that was settled before keeps its
 * order. That is so rare that existing orders are read only after MongoDB reported a duplicate key.
 * @param again the purchases of republished dead letters: an order rejected as `failed` is deleted and decided again.
 * @param fences the right to settle the shards of these purchases.
 * @throws Fenced, or the error of MongoDB; then nothing was written.
 */
export async function settleBatch(
  collections: Collections,
  purchases: Purchase[],
  again: Purchase[] = [],
  fences: Fence[] = [],
): Promise<Batch> {
  try {
    return await settleInTransaction(collections, purchases, again, fences, async () => []);
  } catch (error) {
    if (!isDuplicateKey(error)) throw error;
    return await settleInTransaction(collections, purchases, again, fences, (session) =>
      collections.orders.find(ordersOf(purchases), { session, hint: byId }).toArray(),
    );
  }
}

/** How long a transaction is retried after write conflicts; the settlement itself retries for longer. */
const patienceMs = 5_000;

async function settleInTransaction(
  collections: Collections,
  purchases: Purchase[],
  again: Purchase[],
  fences: Fence[],
  findSettled: (session: ClientSession) => Promise<OrderRecord[]>,
): Promise<Batch> {
  return await transact(
    collections.connection,
    async (session) => {
      await requireFences(collections, fences, session);
      if (again.length > 0) await deleteFailedOrders(collections, again, session);
      const settledBefore = await findSettled(session);
      const batch = await settleWithin(collections, purchases, settledBefore, session);
      failpoint('deciding');
      return batch;
    },
    { patienceMs },
  );
}

/**
 * Settles purchases within a transaction.
 * @param settledBefore the orders that some of them have already.
 * @param areOffers whether they are offers to people with a place, which get the units that are reserved for these.
 */
export async function settleWithin(
  collections: Collections,
  purchases: Purchase[],
  settledBefore: OrderRecord[],
  session: ClientSession,
  areOffers = false,
): Promise<Batch> {
  const beganAt = new Date();
  const snapshot = await readForSettling(collections, purchases, settledBefore, session, areOffers);
  const decision = decide(purchases, snapshot);
  const settledAt = mongoClock.now();
  const records = decision.outcomes.map((outcome) =>
    orderRecordOf(outcome, snapshot.records.get(outcome.purchase.saleId), settledAt),
  );
  await takeStock(collections, decision, snapshot, session);
  await takeAllowances(collections, decision, snapshot, session);
  if (records.length > 0) await insertAll(collections, collections.orders, records, session);
  await appendChanges(collections, entriesOf(records, snapshot), settledAt, session);
  return {
    settled: settledOf(decision, snapshot, records, settledAt),
    settledPurchases: settledPurchasesOf(purchases, [...snapshot.settledBefore, ...records]),
    createdOrders: records,
    beganAt,
  };
}

async function deleteFailedOrders(
  { orders }: Collections,
  purchases: Purchase[],
  session: ClientSession,
): Promise<void> {
  const failed = { ...ordersOf(purchases), status: 'rejected', reason: 'failed' } as const;
  await orders.deleteMany(failed, { session, hint: byId });
}

/** The filter that finds the orders of these purchases by their ids. */
export const ordersOf = (purchases: Purchase[]) => ({
  _id: { $in: purchases.map(({ orderId }) => orderId) },
  ...inSales(purchases),
});

interface Snapshot extends SettlementSnapshot {
  settledBefore: OrderRecord[];
  /** The sales as they were read, by id. */
  records: ReadonlyMap<string, SaleRecord>;
}

/** The reads run one after the other, because a MongoDB session does not support parallel operations. */
async function readForSettling(
  collections: Collections,
  purchases: Purchase[],
  settledBefore: OrderRecord[],
  session: ClientSession,
  areOffers: boolean,
): Promise<Snapshot> {
  const { sales, allowances, places } = collections;
  const saleIds = [...new Set(purchases.map(({ saleId }) => saleId))];
  const found = await sales.find({ _id: { $in: saleIds } }, { session }).toArray();
  const called = await findCalled(places, found, purchases, session);
  const limits = new Map(
    found.map((sale): [string, SaleLimits] => {
      const ofRoom = called.get(sale._id);
      const ofSale = { ...limitsOf(sale), ...(areOffers && { reserved: [] }) };
      return [sale._id, { ...ofSale, ...(ofRoom && { called: ofRoom }) }];
    }),
  );
  for (const [saleId, ofSale] of groupBySale(purchases.filter(({ code }) => code !== undefined))) {
    const sale = limits.get(saleId);
    if (!sale) continue;
    const codes = await readUses(
      collections,
      saleId,
      ofSale.flatMap(({ code }) => code ?? []),
      session,
    );
    limits.set(saleId, { ...sale, codes });
  }
  const keys = new Set<string>();
  for (const purchase of purchases) {
    const sale = limits.get(purchase.saleId);
    if (!sale) continue;
    for (const { holder } of claimsOf(purchase, sale)) keys.add(allowanceKey(purchase.saleId, holder));
  }
  const foundAllowances = await allowances.find({ _id: { $in: [...keys] } }, { session }).toArray();

  return {
    sales: limits,
    records: new Map(found.map((sale) => [sale._id, sale])),
    settledBefore,
    settledOrderIds: new Set(settledBefore.map(({ _id }) => _id)),
    allowances: new Map(foundAllowances.map(({ _id, units }) => [_id, units])),
  };
}

/** Which of these buyers have been called into the waiting room, by the id of each sale that has one. */
async function findCalled(
  places: Collections['places'],
  sales: SaleRecord[],
  purchases: Purchase[],
  session: ClientSession,
): Promise<Map<string, Set<string>>> {
  const rooms = sales.filter(({ mode }) => mode === 'room');
  const called = new Map(rooms.map(({ _id }) => [_id, new Set<string>()]));
  if (rooms.length === 0) return called;
  const ofRooms = purchases.filter(({ saleId }) => called.has(saleId));
  const ids = [...new Set(ofRooms.map((purchase) => placeIdOf(purchase.saleId, personOf(purchase))))];
  const wereCalled = { _id: { $in: ids }, ...inSales(ofRooms), 'calls.0': { $exists: true } };
  const projection = { saleId: 1, personId: 1 };
  for (const { saleId, personId } of await places.find(wereCalled, { session, projection }).toArray())
    called.get(saleId)?.add(personId);
  return called;
}

/**
 * Decrements the stock of all sales in one command, guarded by `$gte`. `decide` saw enough stock in this same transaction,
 * so a guard that does not match is a bug, and the transaction is aborted rather than oversell.
 */
async function takeStock(
  { sales }: Collections,
  { outcomes, sold }: Decision,
  snapshot: Snapshot,
  session: ClientSession,
): Promise<void> {
  const saleIds = [...new Set(outcomes.map(({ purchase }) => purchase.saleId))].filter((saleId) =>
    snapshot.sales.has(saleId),
  );
  const [first, ...others] = saleIds;
  if (first === undefined) return;
  const takes = saleIds.map((saleId) => {
    const ofItems = sold.get(saleId) ?? new Map<string, number>();
    const units = sumOf(ofItems);
    const record = snapshot.records.get(saleId);
    const counted = record && hasSeveralItems(record) ? [...ofItems] : [];
    const atLeast = counted.map(([itemId, units]) => [countPath(itemId, 'stock'), { $gte: units }]);
    const fewer = counted.map(([itemId, units]) => [countPath(itemId, 'stock'), -units]);
    const filter = { _id: saleId, stock: { $gte: units }, ...Object.fromEntries(atLeast) };
    const $inc = {
      stock: -units,
      stockVersion: units > 0 ? 1 : 0,
      eventSeq: 1,
      ...Object.fromEntries(fewer),
    };
    return { updateOne: { filter, update: { $inc } } };
  });
  const { matchedCount } = await sales.bulkWrite(takes, { session });
  if (matchedCount !== takes.length) {
    const which = others.length > 0 ? `${first}, or one of ${others.length} others` : first;
    throw new Error(
      `The stock of sale ${which} is too low for the ${sumOf(sold.get(first) ?? new Map())} units decided`,
    );
  }
}

/** The next document of each sale's log. A purchase of an unknown sale is in no log. */
function entriesOf(records: OrderRecord[], snapshot: Snapshot) {
  return [...groupBySale(records)].flatMap(([saleId, ofSale]) => {
    const sale = snapshot.records.get(saleId);
    return sale ? [{ saleId, seq: sale.eventSeq + 1, changes: ofSale.map(changeOf) }] : [];
  });
}

/**
 * Adds the units to each person's allowance, guarded by the limit: inserts the allowance with a person's first units, and
 * increments it otherwise. One statement covers all people with the same units and limit, because an upsert for each person
 * took half of the transaction's time.
 */
async function takeAllowances(
  collections: Collections,
  decision: Decision,
  snapshot: Snapshot,
  session: ClientSession,
): Promise<void> {
  for (const { units, limit, first, further } of takersOf(decision, snapshot)) {
    if (units > limit) throw new Error(`${units} units exceed the limit of ${limit} per person`);
    if (first.length > 0) {
      const records = first.map((key): AllowanceRecord => ({ _id: key, units }));
      await insertAll(collections, collections.allowances, records, session);
    }
    if (further.length > 0) {
      const { matchedCount } = await collections.allowances.updateMany(
        { _id: { $in: further }, units: { $lte: limit - units } },
        { $inc: { units } },
        { session },
      );
      if (matchedCount !== further.length)
        throw new Error(`${units} more units exceed the limit of ${limit} per person`);
    }
  }
}

/** Allowance keys grouped by units taken and limit; `first` are those without an allowance yet, `further` the others. */
function takersOf({ outcomes, taken }: Decision, { sales, allowances }: Snapshot) {
  const groups = new Map<string, { units: number; limit: number; first: string[]; further: string[] }>();
  const limits = new Map(
    outcomes.flatMap(({ purchase }) => {
      const sale = sales.get(purchase.saleId);
      const claims = sale ? claimsOf(purchase, sale) : [];
      return claims.map(({ holder, limit }) => [allowanceKey(purchase.saleId, holder), limit] as const);
    }),
  );
  for (const [key, units] of taken) {
    const limit = limits.get(key) ?? 0;
    const group = groups.get(`${units} of ${limit}`) ?? { units, limit, first: [], further: [] };
    (allowances.has(key) ? group.further : group.first).push(key);
    groups.set(`${units} of ${limit}`, group);
  }
  return groups.values();
}

const holdEndOf = (sale: SaleRecord | null | undefined, from: Date) =>
  new Date(from.getTime() + (sale?.paymentWindowSeconds ?? 0) * 1_000);

/** @param sale of the purchase; null when there is no such sale. */
export function orderRecordOf(
  { purchase, status, reason, left }: Outcome,
  sale: SaleRecord | null | undefined,
  settledAt: Date,
): OrderRecord {
  return {
    _id: purchase.orderId,
    saleId: purchase.saleId,
    buyerId: purchase.buyerId,
    ...(purchase.personId && { personId: purchase.personId }),
    quantity: purchase.quantity,
    ...pricedLinesOf(purchase, sale),
    ...(purchase.code && { code: purchase.code }),
    idempotencyKey: purchase.idempotencyKey,
    status,
    reason,
    ...(left !== undefined && { left }),
    ...(status === 'held' && { holdExpiresAt: holdEndOf(sale, settledAt) }),
    createdAt: new Date(purchase.createdAt),
    settledAt,
    ...(purchase.traceparent && { traceparent: purchase.traceparent }),
  };
}

function settledOf(
  { sold }: Decision,
  { records: sales }: Snapshot,
  records: OrderRecord[],
  settledAt: Date,
): Settled {
  return {
    stocks: [...sold].flatMap(([saleId, units]) => {
      const before = sales.get(saleId);
      return before ? [stockMessageOf(without(before, units), settledAt)] : [];
    }),
    orders: records.map(orderMessageOf),
  };
}

/** The sale after these units of its items were sold. */
function without(sale: SaleRecord, sold: ReadonlyMap<string, number>): SaleRecord {
  const counts = Object.entries(sale.itemCounts ?? {}).map(([itemId, counts]) => {
    return [itemId, { ...counts, stock: counts.stock - (sold.get(itemId) ?? 0) }];
  });
  return {
    ...sale,
    stock: sale.stock - sumOf(sold),
    stockVersion: sale.stockVersion + 1,
    itemCounts: Object.fromEntries(counts),
  };
}

/** The purchases that have an order, each with its outcome. */
export function settledPurchasesOf(purchases: Iterable<Purchase>, orders: OrderRecord[]): SettledPurchase[] {
  const orderById = new Map(orders.map((order) => [order._id, order]));
  return [...purchases].flatMap((purchase) => {
    const order = orderById.get(purchase.orderId);
    return order ? [settledPurchaseOf(purchase, order)] : [];
  });
}

/**
 * A purchase with its outcome. The units are the purchase's, not the order's: when Redis had lost the first admission, the
 * order belongs to that one, and the units of this second admission have to be given back.
 */
export function settledPurchaseOf(
  purchase: Purchase,
  order: Pick<OrderRecord, 'createdAt' | 'reason'>,
): SettledPurchase {
  const { orderId, saleId, quantity, lines, code, createdAt } = purchase;
  const isOfThisAdmission = order.createdAt.getTime() === Date.parse(createdAt);
  return {
    orderId,
    saleId,
    personId: personOf(purchase),
    quantity,
    ...(lines && { lines }),
    ...(code && { code }),
    reason: isOfThisAdmission ? order.reason : 'admitted_again',
  };
}
