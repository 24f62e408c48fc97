import { mongo } from 'mongoose';
import { type LoggedCounts, nothingLogged, replayCounts } from '../../log/replay.ts';
import {
  isSnapshotUnavailable,
  readInSnapshot,
  type Snapshot,
} from '../../runtime/databases/snapshot-read.ts';
import { retry } from '../../runtime/retry.ts';
import { hasSeveralItems, itemsOf } from '../../sale/items.ts';
import { limitsOf, sumOf } from '../../sale/settlement/decide.ts';
import type { Collections, SaleRecord } from '../../store/collections.ts';
import { addFinding, type Check, type Finding, noFinding, openFinding } from './finding.ts';
import { addMoney, type MoneyFinding, noMoney } from './money.ts';
import { checkId, compareAllowances, compareOrders } from './orders.ts';
import { openPartitions } from './partitions.ts';
import { auditPlaces } from './places.ts';
import {
  openReading,
  type Reading,
  type Rows,
  readAllowances,
  readOrders,
  readPayments,
  stateOf,
} from './reading.ts';

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

/** How much of a sale is read at once; tests make it less. */
export interface AuditSizes {
  /** A sale with more orders is not read in one snapshot, because MongoDB does not keep one for so long. */
  ordersInSnapshot: number;
  /** Orders that are compared at once in memory, about 1 KB each with all that belongs to them. */
  ordersInPartition: number;
  batchSize: number;
}

const usualSizes: AuditSizes = { ordersInSnapshot: 100_000, ordersInPartition: 25_000, batchSize: 1_000 };

/**
 * Checks I1, I3, I4, I5, I7 and I8 of a sale. Its orders, log, allowances and payments are each read once, whatever its size, and
 * compared in partitions, so that its memory is bounded; the partitions of a sale that needs several are in a temporary file. Only I8
 * keeps the places of a draw and the calls of a room in memory, and reads a room's orders once more.
 * @param saleId may be unknown, when there are orders, allowances or events of a sale that does not exist.
 * @returns also the sale and what its log gives, as they were when all was read; null when there is none.
 */
export async function auditSale(
  collections: Collections,
  saleId: string,
  { ordersInSnapshot, ordersInPartition, batchSize } = usualSizes,
): Promise<{ sale: SaleRecord | null; found: SaleAudit; log: LoggedCounts | null }> {
  const orders = await collections.orders.countDocuments({ saleId });
  const read = (snapshot?: Snapshot) =>
    readSale(collections, saleId, { orders, ordersInPartition, snapshot, batchSize });
  if (orders > ordersInSnapshot) return await read();
  return await retry(() => readInSnapshot(collections.connection, read), patience);
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

const leastLimit = 10_000;

/** Each gathers up to 32 KiB of each kind of rows; above 25 million orders they grow instead. */
const maxPartitions = 1_000;

/**
 * Reads a sale and compares what it read. Without a snapshot the log is read first and, up to a last snapshot, again at the end;
 * what was read in between has to agree with the log at a number that was current then.
 */
async function readSale(
  collections: Collections,
  saleId: string,
  {
    orders: expected,
    ordersInPartition,
    snapshot,
    batchSize,
  }: Pick<Reading, 'snapshot' | 'batchSize'> & { orders: number; ordersInPartition: number },
): Promise<{ sale: SaleRecord | null; found: SaleAudit; log: LoggedCounts | null }> {
  const partitions = Math.min(maxPartitions, Math.max(1, Math.ceil(expected / ordersInPartition)));
  const rows = openPartitions<Rows>(partitions);
  try {
    const reading = await openReading(collections, saleId, rows, { snapshot, batchSize });
    const [I1, I3, I4, I5, I7] = [openFinding(), openFinding(), openFinding(), openFinding(), noMoney()];
    let log = await readLog(reading, nothingLogged(), snapshot, I5);
    await readPayments(reading);
    await readAllowances(reading);
    let orders = 0;
    await readOrders(reading, 2 * expected + leastLimit, (order) => {
      orders += 1;
      checkId(order, saleId, I3);
    });
    const readEnd = async (end: Snapshot) => {
      const sale = await collections.sales.findOne({ _id: saleId }, end);
      log &&= await readLog(reading, log, end, I5);
      const codes = await readAllUses(collections, saleId, end);
      return { sale, codes, I8: await auditPlaces(collections, saleId, sale, end) };
    };
    const last = () => readInSnapshot(collections.connection, readEnd);
    const { sale, codes, I8 } = snapshot ? await readEnd(snapshot) : await retry(last, patience);

    const limits = sale && { ...limitsOf(sale), codes };
    const sold = new Map<string, number>();
    for (let n = 0; n < rows.count; n++) await compareOrders(reading, n, limits, { sold, I3, I5, I7 });
    for (let n = 0; n < rows.count; n++) await compareAllowances(reading, n, limits, I4);
    if (sale) checkUnits(sale, sold, I1);
    else if (sumOf(sold) > 0) I1.check(false, () => `${sumOf(sold)} units sold of an unknown sale ${saleId}`);
    checkLog(saleId, sale, log, I5);
    const findings = { I1: I1.finding, I3: I3.finding, I4: I4.finding, I5: I5.finding, I7, I8 };
    return { sale, found: { orders, ...findings }, log };
  } finally {
    rows.close();
  }
}

/** Reads the log on to its end. @returns null when it has a gap. */
async function readLog(
  { collections, saleId, rows }: Reading,
  from: LoggedCounts,
  snapshot: Snapshot | undefined,
  I5: Check,
): Promise<LoggedCounts | null> {
  try {
    return await replayCounts(collections, saleId, from, snapshot, (change, status, seq) =>
      rows.add('log', change.orderId, [change.orderId, stateOf(status, change), seq]),
    );
  } catch (error) {
    // An error of the replay is a breach; one of MongoDB or of the disk is not.
    if (error instanceof mongo.MongoError || 'syscall' in (error as Error)) throw error;
    I5.check(false, () => (error as Error).message);
    return null;
  }
}

/** Checks the part of I5 that concerns the sale itself: its log gives its counts. */
function checkLog(saleId: string, sale: SaleRecord | null, log: LoggedCounts | null, I5: Check): void {
  const isThere = log !== null && log.seq > 0;
  if (sale && !isThere) I5.check(false, () => `sale ${saleId} is not in the log`);
  if (!isThere) return;
  I5.check(Boolean(sale?.calledOffAt) === log.isCalledOff, () => {
    return `sale ${saleId}: the log says that it was ${log.isCalledOff ? '' : 'not '}called off`;
  });
  I5.check(
    sale !== null && haveSameCounts(sale, log),
    () =>
      `sale ${saleId}: the log gives ${log.stock} of ${log.unitsOnSale} units left, the sale has ${sale?.stock}`,
  );
}

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
