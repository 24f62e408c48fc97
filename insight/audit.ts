import type { ClientSession } from 'mongoose';
import { mongo } from 'mongoose';
import { checkStaffLog, type StaffLogCheck } from '../accounts/staff-log.ts';
import { replay } from '../log/replay.ts';
import { isSnapshotUnavailable, readInSnapshot } from '../runtime/databases/snapshot-read.ts';
import { retry } from '../runtime/retry.ts';
import type { Gate } from '../sale/admission/gate.ts';
import type { PurchaseLine } from '../sale/contract.ts';
import { hasSeveralItems, itemsOf, linesOf } from '../sale/items.ts';
import { legacyOrderIdOf, orderIdOf } from '../sale/order.ts';
import type { PaymentProvider } from '../sale/payment/provider.ts';
import type { PurchaseQueue } from '../sale/queue/queue.ts';
import { allowanceKey, claimsOf, limitsOf, personOf, sumOf } from '../sale/settlement/decide.ts';
import type { Collections, OrderRecord, SaleRecord } from '../store/collections.ts';
import { auditMoney, compareWithProvider, type MoneyFinding, type PayableOrder } from './audit-money.ts';
import { auditPlaces } from './audit-places.ts';
import { type Finding, openFinding } from './finding.ts';

export interface AuditReport {
  ok: boolean;
  sales: number;
  orders: number;
  /** Accepted purchases that are not yet settled. */
  queued: number;
  I1: Finding;
  I2: Finding;
  I3: Finding;
  I4: Finding;
  I5: Finding;
  I7: MoneyFinding;
  I8: Finding;
  /** Whether the staff log's hash chain is whole. */
  staffLog: StaffLogCheck;
}

/**
 * Checks the invariants I1 to I5, I7 and I8 of ARCHITECTURE.md against MongoDB and Redis, and the staff log. It is safe during a
 * sale.
 * @param provider is asked for its own list of payments; without one they are compared with the orders alone.
 */
export async function audit(
  collections: Collections,
  gate: Gate,
  queue: PurchaseQueue,
  provider: PaymentProvider | null = null,
): Promise<AuditReport> {
  // Redis is read first: a purchase accepted later is not checked, so it cannot look like a breach.
  const accepted = await gate.listRemembered();
  // RabbitMQ cannot list its jobs; there, a purchase that Redis lists as queued counts, as the reconciler adds a lost job again.
  const inQueue = (await queue.listOrderIds()) ?? (await gate.listQueued());
  const readAll = async (session: ClientSession) => {
    const sales = await collections.sales.find({}, { session }).toArray();
    const { orders, I1, I3, I4, statuses, payable } = await auditOrders(collections, sales, session);
    const I5 = await auditLog(collections, sales, statuses, session);
    const { queued, I2 } = await auditAccepted(collections, accepted, inQueue);
    const staffLog = await checkStaffLog(collections, session);
    const I7 = await auditMoney(collections, payable, session);
    const I8 = await auditPlaces(collections, sales, session);
    return { sales: sales.length, orders, queued, I1, I2, I3, I4, I5, I7, I8, staffLog };
  };
  // A shop that has just started may still be making its collections.
  const patience = { firstMs: 100, longestMs: 1_000, patienceMs: 10_000, shouldRetry: isSnapshotUnavailable };
  const report = await retry(() => readInSnapshot(collections.connection, readAll), patience);
  const I7 = provider ? await compareWithProvider(collections, provider, report.I7) : report.I7;
  const { I1, I2, I3, I4, I5, I8, staffLog } = report;
  const findings = [I1, I2, I3, I4, I5, I7, I8];
  const ok = findings.every(({ breaches }) => breaches === 0) && staffLog.broken === null;
  return { ok, ...report, I7 };
}

/** Checks I1, I3 and I4 in one pass over the orders, in the same snapshot as the sales and allowances. */
async function auditOrders(collections: Collections, sales: SaleRecord[], session: ClientSession) {
  const [I1, I3, I4] = [openFinding(), openFinding(), openFinding()];
  /** By sale id and item id. */
  const sold = new Map<string, Map<string, number>>();
  const taken = new Map<string, { units: number; limit: number }>();
  /** What the log should say of every order of a known sale, by order id. */
  const statuses = new Map<string, string>();
  /** The orders with a payment or a payment window, by id. */
  const payable = new Map<string, PayableOrder>();
  const limits = new Map(sales.map((sale) => [sale._id, limitsOf(sale)]));
  let orders = 0;

  for await (const record of collections.orders.find({}, { session })) {
    orders += 1;
    const { _id, saleId, buyerId, idempotencyKey, status } = record;
    I3.check(
      _id === orderIdOf(buyerId, saleId, idempotencyKey) || _id === legacyOrderIdOf(buyerId, idempotencyKey),
      () => `order ${_id} does not have the id derived from its buyer, sale and key`,
    );
    const limit = limits.get(saleId);
    if (limit) statuses.set(_id, accountOf(status, record));
    if (record.paymentId || record.holdExpiresAt) payable.set(_id, record);
    if (status !== 'paid' && status !== 'held') continue;
    const ofSale = sold.get(saleId) ?? new Map<string, number>();
    sold.set(saleId, ofSale);
    for (const { itemId, quantity } of linesOf(record))
      ofSale.set(itemId, (ofSale.get(itemId) ?? 0) + quantity);
    for (const claim of claimsOf(record, limit ?? noLimits)) {
      const key = allowanceKey(saleId, claim.holder);
      taken.set(key, { units: (taken.get(key)?.units ?? 0) + claim.units, limit: claim.limit });
    }
  }

  for (const sale of sales) {
    const ofSale = sold.get(sale._id) ?? new Map<string, number>();
    sold.delete(sale._id);
    const items = itemsOf(sale);
    for (const { id, stock, unitsOnSale } of items) {
      const units = ofSale.get(id) ?? 0;
      ofSale.delete(id);
      I1.check(stock >= 0 && units + stock === unitsOnSale, () => {
        const what = items.length === 1 ? `sale ${sale._id}` : `item ${id} of sale ${sale._id}`;
        return `${what}: ${units} sold + ${stock} left, ${unitsOnSale} were put on sale`;
      });
    }
    for (const [itemId, units] of ofSale)
      I1.check(false, () => `${units} units sold of an unknown item ${itemId} of sale ${sale._id}`);
    for (const count of hasSeveralItems(sale) ? (['stock', 'unitsOnSale'] as const) : []) {
      const sum = items.reduce((units, item) => units + item[count], 0);
      I1.check(sum === sale[count], () => `sale ${sale._id}: ${count} ${sale[count]}, of all items ${sum}`);
    }
  }
  for (const [saleId, units] of sold)
    I1.check(false, () => `${sumOf(units)} units sold of an unknown sale ${saleId}`);

  for (const [key, { units, limit }] of taken)
    I4.check(units <= limit, () => `${key} has ${units} units, the limit is ${limit}`);
  for await (const { _id, units } of collections.allowances.find({}, { session })) {
    const ordered = taken.get(_id)?.units ?? 0;
    taken.delete(_id);
    I4.check(units === ordered, () => `${_id}: allowance ${units}, orders ${ordered}`);
  }
  for (const [key, { units }] of taken) I4.check(false, () => `${key}: allowance 0, orders ${units}`);
  return { orders, statuses, payable, I1: I1.finding, I3: I3.finding, I4: I4.finding };
}

const noLimits = { limitPerBuyer: 0, items: new Map() };

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

/** Checks I5: replaying the log from its beginning gives the stored stock and orders. */
async function auditLog(
  collections: Collections,
  sales: SaleRecord[],
  statuses: Map<string, string>,
  session: ClientSession,
): Promise<Finding> {
  const I5 = openFinding();
  const saleById = new Map(sales.map((sale) => [sale._id, sale]));
  try {
    for await (const replayed of replay(collections, { session })) {
      const { saleId, stock, unitsOnSale, items, isCalledOff, seq, orders } = replayed;
      const sale = saleById.get(saleId);
      saleById.delete(saleId);
      const agrees =
        sale?.stock === stock &&
        sale.unitsOnSale === unitsOnSale &&
        sale.eventSeq === seq &&
        itemsOf(sale).every(({ id, stock, unitsOnSale }) => {
          const logged = items.get(id);
          return logged?.stock === stock && logged.unitsOnSale === unitsOnSale;
        });
      I5.check(Boolean(sale?.calledOffAt) === isCalledOff, () => {
        return `sale ${saleId}: the log says that it was ${isCalledOff ? '' : 'not '}called off`;
      });
      I5.check(
        agrees,
        () =>
          `sale ${saleId}: the log gives ${stock} of ${unitsOnSale} units left, the sale has ${sale?.stock}`,
      );
      for (const [orderId, order] of orders) {
        const logged = accountOf(order.status, order);
        I5.check(statuses.get(orderId) === logged, () => `order ${orderId}: the log says ${logged}`);
        statuses.delete(orderId);
      }
    }
  } catch (error) {
    // An error of the replay is a breach; an error of MongoDB is not.
    if (error instanceof mongo.MongoError) throw error;
    I5.check(false, () => (error as Error).message);
  }
  for (const saleId of saleById.keys()) I5.check(false, () => `sale ${saleId} is not in the log`);
  for (const orderId of statuses.keys()) I5.check(false, () => `order ${orderId} is not in the log`);
  return I5.finding;
}

const batchSize = 1_000;

/** Checks I2: every accepted purchase that Redis holds has an order or is still queued. */
async function auditAccepted({ orders }: Collections, accepted: string[], inQueue: Set<string>) {
  const I2 = openFinding();
  let queued = 0;
  for (let start = 0; start < accepted.length; start += batchSize) {
    const ids = accepted.slice(start, start + batchSize);
    const found = await orders.find({ _id: { $in: ids } }, { projection: { _id: 1 } }).toArray();
    const settled = new Set(found.map(({ _id }) => _id));
    for (const id of ids) {
      if (!settled.has(id) && inQueue.has(id)) queued += 1;
      else I2.check(settled.has(id), () => `purchase ${id} was accepted, and has neither an order nor a job`);
    }
  }
  return { queued, I2: I2.finding };
}
