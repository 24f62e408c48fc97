import { createProduct } from '../../catalogue/product.ts';
import { byCommand, findEnvironment, findProcesses, openSystem, type System } from '../../commands/system.ts';
import { audit } from '../../insight/audit/audit.ts';
import { waitUntil } from '../../ops/local/processes/process.mjs';
import { type ScratchSystem, startScratchSystem } from '../../ops/local/scratch-system.ts';
import { openProvider } from '../../sale/payment/open-provider.ts';
import { createSale, type NewSale } from '../../sale/sale.ts';
import { changeSale } from '../../sale/sale-change.ts';

/** The running system that a bench measures. */
export interface Testbed {
  system: System;
  url: string;
  secret: string;
  /** The processes whose CPU time counts, by name. */
  processes: () => { name: string; pid: number }[];
  close(): Promise<void>;
}

/** More than the 200 connections of most benches. */
const usualClients = 1_000;

/** Uses the system that runs in this folder or is named by the environment, or else starts one for this run. */
export async function openTestbed({ report = console.log, clients = usualClients } = {}): Promise<Testbed> {
  const found = findEnvironment();
  if (found?.JWT_SECRET && found.BASE_URL) {
    report(`Using the running system at ${found.BASE_URL}`);
    const system = await openSystem(found);
    const close = system.close;
    return { system, url: found.BASE_URL, secret: found.JWT_SECRET, processes: findProcesses, close };
  }
  report('No system is running here: starting one (MongoDB, Redis, nginx, 2 servers, 1 worker)');
  return await openOwnTestbed({ clients });
}

/** A testbed with its own processes, started for this run. */
export interface OwnTestbed extends Testbed {
  scratch: ScratchSystem;
}

export async function openOwnTestbed(
  options: NonNullable<Parameters<typeof startScratchSystem>[0]> = {},
): Promise<OwnTestbed> {
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
const by = byCommand('npm run bench');

export async function openBenchSale(
  { collections }: System,
  {
    name,
    stock,
    opensAt = new Date(),
    ...limits
  }: { name: string; stock: number; opensAt?: Date } & Omit<
    NewSale,
    'items' | 'currency' | 'opensAt' | 'closesAt'
  >,
): Promise<string> {
  const product = await createProduct(collections, { name, description: 'A load test', image: '' }, by);
  const newSale = {
    items: [{ productId: product.id, amount: 100, stock }],
    currency: 'EUR',
    ...limits,
    opensAt,
    closesAt: new Date(Date.now() + hourMs),
  };
  const sale = await createSale(collections, newSale, by);
  if ('noProduct' in sale) throw new Error('The product was deleted while its sale was created.');
  return sale.id;
}

/** Ends the sale, so that it does not stay open in a shop that goes on running. */
export async function endBenchSale(system: System, saleId: string): Promise<void> {
  await moveBenchSale(system, saleId, { closesAt: new Date() });
}

export async function moveBenchSale(
  { collections, gate }: System,
  saleId: string,
  window: { opensAt?: Date; closesAt?: Date },
): Promise<void> {
  const moved = await changeSale(collections, saleId, window, by);
  if (typeof moved !== 'string') await gate.sync(moved);
}

/** Waits until every accepted purchase is settled. */
export async function waitUntilSettled({ gate }: System, deadlineSeconds: number): Promise<void> {
  await waitUntil(async () => (await gate.countQueued()) === 0, {
    deadlineMs: deadlineSeconds * 1_000,
    what: 'accepted purchases are still queued',
  });
}

/** Waits until no payment has a step left to take. */
export async function waitUntilPaymentsEnd({ collections }: System, deadlineSeconds: number): Promise<void> {
  const due = { dueAt: { $type: 'date' as const } };
  await waitUntil(async () => (await collections.payments.countDocuments(due)) === 0, {
    deadlineMs: deadlineSeconds * 1_000,
    what: 'payments still have a step to take',
    everyMs: 100,
  });
}

export interface SettlingReport {
  /** Accepted purchases that have an order. */
  settled: number;
  /** Accepted purchases that have none: a breach of I2. */
  lost: string[];
  byStatus: Record<string, number>;
  lastSettledAt: Date;
  /** Milliseconds from the press to the committed order, sorted. */
  settledMs: number[];
}

/** Finds the order of every accepted purchase in MongoDB. */
export async function findSettledOrders(
  { collections }: System,
  orderIds: string[],
): Promise<SettlingReport> {
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
      .find({ _id: { $in: ids } }, { projection: { status: 1, createdAt: 1, settledAt: 1 } })
      .toArray();
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
 * @param withLog false for the plain sides, which write no event log (I5).
 * @returns whether all hold.
 */
export async function auditTestbed(
  { config, collections, gate, queue }: System,
  { withLog = true }: { withLog?: boolean } = {},
): Promise<boolean> {
  const { provider } = await openProvider(config, collections);
  const { I1, I2, I3, I4, I5, I7, I8 } = await audit(collections, gate, queue, { provider });
  const findings = [I1, I2, I3, I4, ...(withLog ? [I5] : []), I7, I8];
  for (const { examples } of findings) for (const breach of examples) console.log(`BROKEN: ${breach}`);
  return findings.every(({ breaches }) => breaches === 0);
}
