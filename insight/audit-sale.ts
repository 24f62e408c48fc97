import { mongo } from 'mongoose';
import { countsOf, type LoggedCounts, replay, replayCounts } from '../log/replay.ts';
import { isSnapshotUnavailable, readInSnapshot, type Snapshot } from '../runtime/databases/snapshot-read.ts';
import { retry } from '../runtime/retry.ts';
import type { PurchaseLine } from '../sale/contract.ts';
import { hasSeveralItems, itemsOf, linesOf } from '../sale/items.ts';
import { formerOrderIdOf, orderIdOf } from '../sale/order.ts';
import { allowanceKey, claimsOf, limitsOf, personOf, sumOf } from '../sale/settlement/decide.ts';
import type { Collections, OrderRecord, SaleRecord } from '../store/collections.ts';
import { addMoney, auditMoney, type MoneyFinding, noMoney, type PayableOrder } from './audit-money.ts';
import { auditPlaces } from './audit-places.ts';
import { addFinding, type Finding, noFinding, openFinding } from './finding.ts';

/** What was checked of one sale, or of all. */
export interface SaleAudit {
  orders: number;
  I1: Finding;
  I3: Finding;
  I4: Finding;
  I5: Finding;
  I7: MoneyFinding;
  I8: Finding;
}

export const noSaleAudit = (): SaleAudit => ({
  orders: 0,
  I1: noFinding(),
  I3: noFinding(),
  I4: noFinding(),
  I5: noFinding(),
  I7: noMoney(),
  I8: noFinding(),
});

export function addSaleAudit(sum: SaleAudit, one: SaleAudit): void {
  sum.orders += one.orders;
  for (const name of ['I1', 'I3', 'I4', 'I5', 'I8'] as const) addFinding(sum[name], one[name]);
  addMoney(sum.I7, one.I7);
}

/** Orders whose details are held in memory at once, about 400 B each; a larger sale is read several times. */
const maxOrdersInMemory = 250_000;

/**
 * Checks I1, I3, I4, I5, I7 and I8 of a sale, each part of it in one snapshot; its memory is bounded, whatever its size.
 * @param saleId may be unknown, when there are orders, allowances or events of a sale that does not exist.
 * @returns also the sale and what its log gives, as they were in the first snapshot; null when there is none.
 */
export async function auditSale(
  collections: Collections,
  saleId: string,
): Promise<{ sale: SaleRecord | null; found: SaleAudit; log: LoggedCounts | null }> {
  const orders = await collections.orders.countDocuments({ saleId });
  const parts = Math.max(1, Math.ceil(orders / maxOrdersInMemory));
  const read = async (part: number) => {
    const readPart = async (snapshot: Snapshot) => {
      const sale = await collections.sales.findOne({ _id: saleId }, snapshot);
      return { sale, ...(await auditPart(collections, saleId, sale, { part, parts }, snapshot)) };
    };
    return await retry(() => readInSnapshot(collections.connection, readPart), patience);
  };
  // Each part has a snapshot of its own, because MongoDB does not keep one for as long as all of them take.
  const { sale, log, ...found } = await read(0);
  for (let part = 1; part < parts; part++) addSaleAudit(found, await read(part));
  return { sale, found, log };
}

/** A shop that has just started may still be making its collections. */
const patience = { firstMs: 100, longestMs: 1_000, patienceMs: 10_000, shouldRetry: isSnapshotUnavailable };

/**
 * Checks that the log, read on from a number, gives the counts that the sale has, none of them below zero.
 * @returns what the log gives; null when it does not agree.
 */
export async function glanceAtLog(
  collections: Collections,
  saleId: string,
  log: LoggedCounts,
): Promise<LoggedCounts | null> {
  const read = async (snapshot: Snapshot) => {
    const sale = await collections.sales.findOne({ _id: saleId }, snapshot);
    const seen = await replayCounts(collections, saleId, log, snapshot);
    const isSound =
      sale &&
      haveSameCounts(sale, seen) &&
      Boolean(sale.calledOffAt) === seen.isCalledOff &&
      itemsOf(sale).every(({ stock }) => stock >= 0);
    return isSound ? seen : null;
  };
  try {
    return await retry(() => readInSnapshot(collections.connection, read), patience);
  } catch (error) {
    if (error instanceof mongo.MongoError) throw error;
    return null;
  }
}

/** Whether a sale has the counts that its log gives. */
const haveSameCounts = (sale: SaleRecord, { seq, stock, unitsOnSale, items }: LoggedCounts) =>
  sale.stock === stock &&
  sale.unitsOnSale === unitsOnSale &&
  sale.eventSeq === seq &&
  itemsOf(sale).every(
    ({ id, stock, unitsOnSale }) => items[id]?.stock === stock && items[id].unitsOnSale === unitsOnSale,
  );

/** One of several parts of a sale's orders and persons; what concerns all of them is checked with the first. */
interface Part {
  part: number;
  parts: number;
}

/** Ids are spread evenly by their last characters. */
function isIn({ part, parts }: Part, id: string): boolean {
  if (parts === 1) return true;
  return (id.charCodeAt(id.length - 1) * 31 + id.charCodeAt(id.length - 2)) % parts === part;
}

async function auditPart(
  collections: Collections,
  saleId: string,
  sale: SaleRecord | null,
  part: Part,
  snapshot: Snapshot,
): Promise<SaleAudit & { log: LoggedCounts | null }> {
  const [I1, I3, I4] = [openFinding(), openFinding(), openFinding()];
  const isFirst = part.part === 0;
  /** By item id. */
  const sold = new Map<string, number>();
  /** By the key of the allowance. */
  const taken = new Map<string, { units: number; limit: number }>();
  /** What the log should say of each order, by its id. */
  const accounts = new Map<string, string>();
  /** The orders with a payment or a payment window, by id. */
  const payable = new Map<string, PayableOrder>();
  const limits = sale && { ...limitsOf(sale), codes: await readAllUses(collections, saleId, snapshot) };
  let orders = 0;

  for await (const record of collections.orders.find({ saleId }, snapshot)) {
    const { _id, buyerId, idempotencyKey, status } = record;
    if (isIn(part, _id)) {
      orders += 1;
      I3.check(
        _id === orderIdOf(buyerId, saleId, idempotencyKey) ||
          _id === formerOrderIdOf(buyerId, idempotencyKey),
        () => `order ${_id} does not have the id derived from its buyer, sale and key`,
      );
      if (sale) accounts.set(_id, accountOf(status, record));
      if (record.paymentId || record.holdExpiresAt) payable.set(_id, payableOf(record));
    }
    if (status !== 'paid' && status !== 'held') continue;
    if (isFirst)
      for (const { itemId, quantity } of linesOf(record))
        sold.set(itemId, (sold.get(itemId) ?? 0) + quantity);
    for (const claim of claimsOf(record, limits ?? noLimits)) {
      // The orders of one code are of many persons.
      if (!isIn(part, claim.refusal === 'code_used' ? claim.holder : personOf(record))) continue;
      const key = allowanceKey(saleId, claim.holder);
      taken.set(key, { units: (taken.get(key)?.units ?? 0) + claim.units, limit: claim.limit });
    }
  }
  if (isFirst && sale) checkUnits(sale, sold, I1);
  if (isFirst && !sale && sold.size > 0)
    I1.check(false, () => `${sumOf(sold)} units sold of an unknown sale ${saleId}`);
  await checkAllowances(collections, saleId, taken, part, I4, snapshot);
  const { I5, log } = await auditLog(collections, saleId, sale, accounts, part, snapshot);
  return {
    log,
    orders,
    I1: I1.finding,
    I3: I3.finding,
    I4: I4.finding,
    I5,
    I7: await auditMoney(collections, saleId, payable, (orderId) => isIn(part, orderId), snapshot),
    I8: isFirst ? await auditPlaces(collections, saleId, sale, snapshot) : noFinding(),
  };
}

type Check = ReturnType<typeof openFinding>;

/** How many orders each code of the sale may let in, by its id. A code that was revoked has let in those before. */
async function readAllUses(
  { codes }: Collections,
  saleId: string,
  snapshot: Snapshot,
): Promise<Map<string, number>> {
  const all = new Map<string, number>();
  for await (const { _id, uses } of codes.find({ saleId }, { ...snapshot, projection: { uses: 1 } }))
    all.set(_id.slice(saleId.length + 1), uses);
  return all;
}

const noLimits = { limitPerBuyer: 0, items: new Map() };

function payableOf(order: OrderRecord): PayableOrder {
  const { status, paymentId, amount, holdExpiresAt, cancelledAt, refundedAmount } = order;
  const all = { status, paymentId, amount, holdExpiresAt, cancelledAt, refundedAmount };
  return Object.fromEntries(
    Object.entries(all).filter(([, value]) => value !== undefined),
  ) as unknown as PayableOrder;
}

function checkUnits(sale: SaleRecord, sold: Map<string, number>, I1: Check): void {
  const items = itemsOf(sale);
  for (const { id, stock, unitsOnSale } of items) {
    const units = sold.get(id) ?? 0;
    sold.delete(id);
    I1.check(stock >= 0 && units + stock === unitsOnSale, () => {
      const what = items.length === 1 ? `sale ${sale._id}` : `item ${id} of sale ${sale._id}`;
      return `${what}: ${units} sold + ${stock} left, ${unitsOnSale} were put on sale`;
    });
  }
  for (const [itemId, units] of sold)
    I1.check(false, () => `${units} units sold of an unknown item ${itemId} of sale ${sale._id}`);
  for (const count of hasSeveralItems(sale) ? (['stock', 'unitsOnSale'] as const) : []) {
    const sum = items.reduce((units, item) => units + item[count], 0);
    I1.check(sum === sale[count], () => `sale ${sale._id}: ${count} ${sale[count]}, of all items ${sum}`);
  }
}

async function checkAllowances(
  { allowances }: Collections,
  saleId: string,
  taken: Map<string, { units: number; limit: number }>,
  part: Part,
  I4: Check,
  snapshot: Snapshot,
): Promise<void> {
  for (const [key, { units, limit }] of taken)
    I4.check(units <= limit, () => `${key} has ${units} units, the limit is ${limit}`);
  const ofSale = { _id: { $gte: `${saleId}:`, $lt: `${saleId};` } };
  for await (const { _id, units } of allowances.find(ofSale, snapshot)) {
    const [personId = ''] = _id.slice(saleId.length + 1).split(/:(?=\d+$)/);
    if (!isIn(part, personId)) continue;
    const ordered = taken.get(_id)?.units ?? 0;
    taken.delete(_id);
    I4.check(units === ordered, () => `${_id}: allowance ${units}, orders ${ordered}`);
  }
  for (const [key, { units }] of taken) I4.check(false, () => `${key}: allowance 0, orders ${units}`);
}

/** What an order and its entries in the log have to agree on. The log of an earlier version does not have the money. */
function accountOf(
  status: string,
  order: Pick<OrderRecord, 'buyerId' | 'personId' | 'quantity' | 'refundedAmount'> & {
    lines?: PurchaseLine[] | undefined;
  },
): string {
  const lines = linesOf(order).map(({ itemId, quantity }) => `${quantity} of item ${itemId}`);
  const refunded = order.refundedAmount ? `, ${order.refundedAmount} of it refunded,` : '';
  return `${status}${refunded} ${order.quantity} (${lines.join(', ')}) ${order.buyerId} of ${personOf(order)}`;
}

/** Checks I5: replaying the sale's log from its beginning gives the stored stock and orders. */
async function auditLog(
  collections: Collections,
  saleId: string,
  sale: SaleRecord | null,
  accounts: Map<string, string>,
  part: Part,
  snapshot: Snapshot,
): Promise<{ I5: Finding; log: LoggedCounts | null }> {
  const I5 = openFinding();
  let log: LoggedCounts | null = null;
  try {
    const keeps = (orderId: string) => isIn(part, orderId);
    for await (const replayed of replay(collections, { snapshot, saleId, keeps })) {
      const { stock, unitsOnSale, isCalledOff, orders } = replayed;
      const counts = countsOf(replayed);
      log = counts;
      if (part.part === 0) {
        I5.check(Boolean(sale?.calledOffAt) === isCalledOff, () => {
          return `sale ${saleId}: the log says that it was ${isCalledOff ? '' : 'not '}called off`;
        });
        I5.check(
          sale !== null && haveSameCounts(sale, counts),
          () =>
            `sale ${saleId}: the log gives ${stock} of ${unitsOnSale} units left, the sale has ${sale?.stock}`,
        );
      }
      for (const [orderId, order] of orders) {
        const logged = accountOf(order.status, order);
        I5.check(accounts.get(orderId) === logged, () => `order ${orderId}: the log says ${logged}`);
        accounts.delete(orderId);
      }
    }
  } catch (error) {
    // An error of the replay is a breach; an error of MongoDB is not.
    if (error instanceof mongo.MongoError) throw error;
    I5.check(false, () => (error as Error).message);
  }
  if (sale && !log) I5.check(false, () => `sale ${saleId} is not in the log`);
  for (const orderId of accounts.keys()) I5.check(false, () => `order ${orderId} is not in the log`);
  return { I5: I5.finding, log };
}
