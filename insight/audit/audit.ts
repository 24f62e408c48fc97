import { checkStaffLog, type StaffLogCheck } from '../../accounts/staff-log.ts';
import { redisClock } from '../../runtime/clock.ts';
import type { Gate } from '../../sale/admission/gate.ts';
import type { PaymentProvider } from '../../sale/payment/provider.ts';
import type { PurchaseQueue } from '../../sale/queue/queue.ts';
import type { Collections, SaleAuditRecord, SaleRecord } from '../../store/collections.ts';
import { type Finding, openFinding } from './finding.ts';
import { compareWithProvider } from './money.ts';
import {
  type AuditSizes,
  addSaleAudit,
  auditSale,
  glanceAtLog,
  noSaleAudit,
  type SaleAudit,
} from './sale.ts';

export interface AuditReport extends SaleAudit {
  ok: boolean;
  sales: number;
  /** Sales whose orders were read; the others have not changed since an audit found them in order, or are large and open. */
  salesRead: number;
  /** Large open sales of which only the log and the counts were read, and when the orders of the one that is read least lately were. */
  salesGlanced: number;
  ordersReadAt: string | null;
  /** When the orders of the closed sale that was read least lately were, of those that were not read now. */
  closedReadAt: string | null;
  /** Accepted purchases that are not yet settled. */
  queued: number;
  I2: Finding;
  /** Whether the staff log's hash chain is whole. */
  staffLog: StaffLogCheck;
}

/**
 * Checks the invariants I1 to I5, I7 and I8 of ARCHITECTURE.md against MongoDB and Redis, and the staff log. It is safe during a
 * sale.
 * @param provider is asked for its own list of payments; without one they are compared with the orders alone.
 * @param isWhole reads every sale; otherwise not the closed ones that have not changed since an audit found them in order, and
 *   the orders of open ones that take longer than `glanceAboveMs` so seldom that they take a twentieth of the time.
 */
export async function audit(
  collections: Collections,
  gate: Gate,
  queue: PurchaseQueue,
  {
    provider = null,
    isWhole = true,
    glanceAboveMs = 2_000,
    sizes,
  }: {
    provider?: PaymentProvider | null;
    isWhole?: boolean;
    glanceAboveMs?: number;
    sizes?: AuditSizes;
  } = {},
): Promise<AuditReport> {
  // Redis is read first: a purchase accepted later is not checked, so it cannot look like a breach.
  const accepted = await gate.listRemembered();
  // RabbitMQ cannot list its jobs; there, a purchase that Redis lists as queued counts, as the reconciler adds a lost job again.
  const inQueue = (await queue.listOrderIds()) ?? (await gate.listQueued());
  const total = noSaleAudit();
  let [sales, salesRead, salesGlanced] = [0, 0, 0];
  let [ordersReadAt, closedReadAt]: [Date | null, Date | null] = [null, null];
  const readFrom = { at: new Date() };
  const unpaid = await salesWithDuePayments(collections);

  async function read(saleId: string): Promise<SaleRecord | null> {
    const beganAt = performance.now();
    const at = new Date();
    const { sale, found, log } = await auditSale(collections, saleId, sizes);
    addSaleAudit(total, found);
    if (sale) {
      salesRead += 1;
      const tookMs = Math.round(performance.now() - beganAt);
      await keepResult(collections, sale, { found, at, tookMs, ...(log && { log }) });
      if (sale.createdAt < readFrom.at) readFrom.at = sale.createdAt;
    }
    return sale;
  }

  for (let page = await readSales(collections, ''); page.length > 0; ) {
    for (const sale of page) {
      sales += 1;
      if (!isClosed(sale)) {
        // The provider's list is compared with payments that are read now.
        const mayGlance = !isWhole && !provider;
        const glance = mayGlance ? await glanceAt(collections, sale._id, glanceAboveMs) : null;
        if (glance) {
          addSaleAudit(total, glance.found);
          salesGlanced += 1;
          ordersReadAt = earlier(ordersReadAt, glance.at);
        } else await read(sale._id);
        continue;
      }
      const kept = isWhole || unpaid.has(sale._id) ? null : await keptResult(collections, sale);
      if (kept) {
        addSaleAudit(total, kept.found);
        closedReadAt = earlier(closedReadAt, kept.at);
      } else await read(sale._id);
    }
    page = await readSales(collections, page.at(-1)?._id ?? '');
  }
  for (const saleId of await strangersIn(collections)) await read(saleId);

  const { queued, I2 } = await auditAccepted(collections, accepted, inQueue);
  const staffLog = await checkStaffLog(collections);
  const I7 =
    provider && salesRead > 0
      ? await compareWithProvider(collections, provider, total.I7, readFrom.at)
      : total.I7;
  const readAt = {
    ordersReadAt: ordersReadAt?.toISOString() ?? null,
    closedReadAt: closedReadAt?.toISOString() ?? null,
  };
  const report = { ...total, I7, sales, salesRead, salesGlanced, ...readAt, queued, I2, staffLog };
  const { I1, I3, I4, I5, I8 } = total;
  const ok = [I1, I2, I3, I4, I5, I7, I8].every(({ breaches }) => breaches === 0) && staffLog.broken === null;
  return { ok, ...report };
}

const earlier = (one: Date | null, other: Date) => (one && one < other ? one : other);

const projected = {
  eventSeq: 1,
  stock: 1,
  stockVersion: 1,
  unitsOnSale: 1,
  revision: 1,
  closesAt: 1,
  calledOffAt: 1,
  createdAt: 1,
} as const;

const salesAtOnce = 100;

/** The next sales; no cursor stays open while they are read, which may take longer than MongoDB keeps one. */
async function readSales({ sales }: Collections, after: string): Promise<SaleRecord[]> {
  const next = sales.find({ _id: { $gt: after } }, { projection: projected });
  return await next.sort({ _id: 1 }).limit(salesAtOnce).toArray();
}

/** Grows when an audit checks more, so that all sales are read again. */
const auditVersion = 1;

/** Changes with everything that is done to the sale or its orders, because each transaction has its number in the log. */
const stateOf = ({ eventSeq, stock, stockVersion, unitsOnSale, revision }: SaleRecord) =>
  [auditVersion, eventSeq, stock, stockVersion, unitsOnSale, revision].join(':');

/** Every sale is read once a day all the same, because a fault or a hand may change its orders without its log. */
const keptMs = 86_400_000;

const isClosed = ({ closesAt, calledOffAt }: SaleRecord) =>
  Boolean(calledOffAt) || closesAt <= redisClock.now();

async function keptResult({ saleAudits }: Collections, sale: SaleRecord): Promise<SaleAuditRecord | null> {
  const kept = await saleAudits.findOne({ _id: sale._id });
  if (kept?.state !== stateOf(sale)) return null;
  // Between half a day and a whole one, so that sales that were read together are not all read again together.
  const earlierMs = (sale.createdAt.getTime() * 31) % (keptMs / 2);
  return Date.now() - kept.at.getTime() < keptMs - earlierMs ? kept : null;
}

/** A large open sale's orders are read again after so many times as long as reading them took, and at least every day. */
const readAgainAfter = 20;

/**
 * Looks at the log and the counts of an open sale whose orders take long to read and were in order a short while ago.
 * @returns what was found then, and when; null when its orders are to be read now.
 */
async function glanceAt(collections: Collections, saleId: string, aboveMs: number) {
  const { saleAudits } = collections;
  const kept = await saleAudits.findOne({ _id: saleId });
  const { log, tookMs = 0, at, found } = kept ?? {};
  if (!log || !at || !found || tookMs <= aboveMs || !kept?.state.startsWith(`${auditVersion}:`)) return null;
  if (Date.now() - at.getTime() > Math.min(keptMs, tookMs * readAgainAfter)) return null;
  const seen = await glanceAtLog(collections, saleId, log);
  // Whatever is wrong is told by reading all of it.
  if (!seen) return null;
  await saleAudits.updateOne({ _id: saleId }, { $set: { log: seen } });
  return { found, at };
}

/** Keeps the result of a sale in which nothing is wrong; of a closed one only when no payment is due. */
async function keepResult(
  { saleAudits }: Collections,
  sale: SaleRecord,
  result: Omit<SaleAuditRecord, '_id' | 'state'>,
): Promise<void> {
  const { orders: _, ...findings } = result.found;
  const isFine = Object.values(findings).every(({ breaches }) => breaches === 0);
  const kept = { state: stateOf(sale), ...result };
  if (isFine && (!isClosed(sale) || result.found.I7.pending === 0))
    await saleAudits.updateOne({ _id: sale._id }, { $set: kept }, { upsert: true });
  else await saleAudits.deleteOne({ _id: sale._id });
}

/** A payment changes without its sale; while it may, it has a step due, and a refund that failed may leave none. */
async function salesWithDuePayments({ payments }: Collections): Promise<Set<string>> {
  const found = new Set<string>();
  for (const open of [{ dueAt: { $type: 'date' as const } }, { 'refunds.state': 'failed' as const }])
    for await (const { saleId } of payments.find(open, { projection: { saleId: 1 } })) found.add(saleId);
  return found;
}

/** Ids of sales that have orders, payments, allowances or events, and do not exist. */
async function strangersIn({
  orders,
  payments,
  events,
  allowances,
  placeLists,
  sales,
}: Collections): Promise<Set<string>> {
  const found = new Set<string>();
  async function addUnknown(saleIds: AsyncIterable<string>): Promise<void> {
    for await (const saleId of saleIds) {
      if (!found.has(saleId) && !(await sales.findOne({ _id: saleId }, { projection: { _id: 1 } })))
        found.add(saleId);
    }
  }
  await addUnknown(saleIdsIn(orders, 'saleId'));
  await addUnknown(saleIdsIn(payments, 'saleId'));
  await addUnknown(saleIdsIn(events, '_id'));
  await addUnknown(saleIdsIn(allowances, '_id'));
  await addUnknown(saleIdsIn(placeLists, '_id'));
  return found;
}

/** The sales that an indexed field names or begins with, by one look into the index for each. */
async function* saleIdsIn(
  collection: { findOne(filter: object, options: object): Promise<object | null> },
  field: '_id' | 'saleId',
): AsyncGenerator<string> {
  for (let after = ''; ; ) {
    const options = { sort: { [field]: 1 }, projection: { [field]: 1 } };
    const next = await collection.findOne({ [field]: { $gt: after } }, options);
    if (!next) return;
    const [saleId = ''] = (next as Record<string, string>)[field]?.split(':') ?? [];
    yield saleId;
    // Above everything that begins with it and a colon.
    after = field === '_id' ? `${saleId};` : saleId;
  }
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
