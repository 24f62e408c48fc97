import { trusted } from 'mongoose';
import { createProduct } from '../../catalogue/product.ts';
import { findEnvironment, findProcesses, openSystem, type System } from '../../commands/system.ts';
import { audit } from '../../insight/audit.ts';
import { waitUntil } from '../../ops/local/processes/process.mjs';
import { type ScratchSystem, startScratchSystem } from '../../ops/local/scratch-system.ts';
import { createSale } from '../../sale/sale.ts';
import { changeSale } from '../../sale/sale-change.ts';
import type { OrderRecord } from '../../store/collections.ts';

/** The system that a bench runs on. */
export interface Stage {
  system: System;
  url: string;
  secret: string;
  /** The processes whose CPU time counts, by name. */
  processes: () => { name: string; pid: number }[];
  close(): Promise<void>;
}

/** Most benches press over 200 connections. */
const usualClients = 1_000;

/** The system running in this folder or named by the environment; when there is none, a bare one for this run. */
export async function openStage({ report = console.log, clients = usualClients } = {}): Promise<Stage> {
  const found = findEnvironment();
  if (found?.JWT_SECRET && found.BASE_URL) {
    report(`On the system at ${found.BASE_URL}`);
    const system = await openSystem(found);
    const close = system.close;
    return { system, url: found.BASE_URL, secret: found.JWT_SECRET, processes: findProcesses, close };
  }
  report('No system runs here: starting a bare one (MongoDB, Redis, nginx, 2 servers, 1 worker)');
  return await openOwnStage({ clients });
}

/** A stage of its own for this run, whatever else runs here. */
export interface OwnStage extends Stage {
  scratch: ScratchSystem;
}

export async function openOwnStage(
  options: NonNullable<Parameters<typeof startScratchSystem>[0]> = {},
): Promise<OwnStage> {
  const scratch = await startScratchSystem({
    clients: usualClients,
    ...options,
    env: { LOG_LEVEL: 'warn', ...options.env },
  });
  const system = await openSystem({ ...scratch.env, BASE_URL: scratch.url });
  return {
    scratch,
    system,
    url: scratch.url,
    secret: scratch.env.JWT_SECRET ?? '',
    processes: scratch.processes,
    async close() {
      await system.close();
      await scratch.close();
    },
  };
}

const hourMs = 3_600_000;

export async function openBenchSale(
  { collections }: System,
  { name, stock, limitPerBuyer }: { name: string; stock: number; limitPerBuyer: number },
): Promise<string> {
  const product = await createProduct(collections, { name, description: 'A load test', image: '' });
  const sale = await createSale(collections, {
    productId: product.id,
    price: { amount: 100, currency: 'EUR' },
    stock,
    limitPerBuyer,
    opensAt: new Date(),
    closesAt: new Date(Date.now() + hourMs),
  });
  if (!sale) throw new Error('The product vanished while its sale was made.');
  return sale.id;
}

/** Ends the sale, so that no buyer of a shop finds it open. */
export async function endBenchSale({ collections, gate }: System, saleId: string): Promise<void> {
  const ended = await changeSale(collections, saleId, { closesAt: new Date() });
  if (ended && ended !== 'closes_first') await gate.sync(ended);
}

/** Waits until no accepted purchase is on its way. */
export async function waitForQuiet({ gate }: System, deadlineSeconds: number): Promise<void> {
  await waitUntil(async () => (await gate.countQueued()) === 0, {
    deadlineMs: deadlineSeconds * 1_000,
    what: 'accepted purchases are still queued',
  });
}

export interface SettlingReport {
  /** Accepted purchases that have their order. */
  settled: number;
  /** Accepted purchases that have none: a breach of I2. */
  lost: string[];
  byStatus: Record<string, number>;
  lastSettledAt: Date;
  /** Milliseconds from the press to the committed order, sorted. */
  settledMs: number[];
}

/** Looks every accepted purchase up in MongoDB. */
export async function lookUpOrders({ collections }: System, orderIds: string[]): Promise<SettlingReport> {
  const report: SettlingReport = {
    settled: 0,
    lost: [],
    byStatus: {},
    lastSettledAt: new Date(0),
    settledMs: [],
  };
  for (let start = 0; start < orderIds.length; start += 5_000) {
    const ids = orderIds.slice(start, start + 5_000);
    const found = await collections.orders
      .find({ _id: trusted({ $in: ids }) }, 'status createdAt settledAt')
      .lean<Pick<OrderRecord, '_id' | 'status' | 'createdAt' | 'settledAt'>[]>();
    for (const { status, createdAt, settledAt } of found) {
      report.settledMs.push(settledAt.getTime() - createdAt.getTime());
      report.byStatus[status] = (report.byStatus[status] ?? 0) + 1;
      if (settledAt > report.lastSettledAt) report.lastSettledAt = settledAt;
    }
    const present = new Set(found.map(({ _id }) => _id));
    report.settled += present.size;
    report.lost.push(...ids.filter((id) => !present.has(id)));
  }
  report.settledMs.sort((a, b) => a - b);
  return report;
}

/**
 * Checks the invariants and prints what breaks them.
 * @param withLog false where orders come from elsewhere: the event log (I5) is Stampede's own.
 * @returns whether all hold.
 */
export async function auditStage(
  { collections, gate, queue }: System,
  { withLog = true }: { withLog?: boolean } = {},
): Promise<boolean> {
  const { I1, I2, I3, I4, I5 } = await audit(collections, gate, queue);
  const findings = [I1, I2, I3, I4, ...(withLog ? [I5] : [])];
  for (const { examples } of findings) for (const breach of examples) console.log(`BROKEN: ${breach}`);
  return findings.every(({ breaches }) => breaches === 0);
}
