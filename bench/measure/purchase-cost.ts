import type { System } from '../../commands/system.ts';
import { orderIdOf } from '../../sale/order.ts';
import { findSale } from '../../sale/sale.ts';
import type { OrderRecord } from '../../store/collections.ts';
import { openPurchaseClients, pressBuy } from '../load/closed-loop.ts';
import { pressAtRate } from '../load/open-loop.ts';
import { percentile, sum } from '../report/statistics.ts';
import { type Side, waitUntilDone } from '../systems/sides.ts';
import { endBenchSale, type OwnTestbed, openBenchSale, waitUntilSettled } from '../systems/testbed.ts';
import { measureCpu } from './process-usage.ts';

export interface Cost {
  /** CPU microseconds for each purchase, of all processes but the load generator. */
  cpuMicros: number;
  settledPerSecond: number;
  p99Ms: number;
}

const usualConnections = 200;
const deadlineSeconds = 120;

export interface Load {
  presses: number;
  tokens: string[];
  connections: number;
  /** The presses go to them in turns. */
  saleIds: string[];
}

const manyUnits = 1_000_000;
const openedAtOnce = 50;

/** Opens sales and creates their gates, which otherwise the first press of each sale would do while it is measured. */
export async function openSales(system: System, count: number): Promise<string[]> {
  const saleIds: string[] = [];
  const open = async () => {
    const limits = { stock: manyUnits, limitPerBuyer: manyUnits };
    const saleId = await openBenchSale(system, { name: 'Bench: growth', ...limits });
    const sale = await findSale(system.collections, saleId);
    if (sale) await system.gate.sync(sale);
    saleIds.push(saleId);
  };
  while (saleIds.length < count) {
    const some = Math.min(openedAtOnce, count - saleIds.length);
    await Promise.all(Array.from({ length: some }, open));
  }
  return saleIds;
}

/** Runs a closed-loop load. @returns the cost of each purchase, with its events. @throws Error when one was not accepted. */
export async function measurePurchaseCost(
  side: Side,
  load: Partial<Load> & Pick<Load, 'presses' | 'tokens'>,
): Promise<Cost> {
  const { system, url, processes } = side.testbed;
  const { tokens, connections = usualConnections, saleIds = await openSales(system, 1) } = load;
  const presses = Math.max(load.presses, 2 * connections);
  const from = { url, tokens, saleId: saleIds, connections, deadlineSeconds };
  const opened = openPurchaseClients({ ...from, presses });
  // A first press over each connection opens the connections on both sides of nginx.
  await pressBuy({ ...from, presses: connections }, opened);
  await waitUntilDone(side, deadlineSeconds, saleIds);

  const cpuSince = measureCpu(processes);
  const startedAt = performance.now();
  const answers = await pressBuy({ ...from, presses }, opened);
  await waitUntilSettled(system, deadlineSeconds);
  const seconds = (performance.now() - startedAt) / 1_000;
  // Only these sales are checked, because checking 10,000 would cost more than the purchases.
  await waitUntilDone(side, deadlineSeconds, saleIds);
  const { load: _, ...cpu } = cpuSince();
  for (const connection of opened.connections) connection.close();
  if (answers.accepted.length !== presses)
    throw new Error(`expected every purchase to be accepted, got ${JSON.stringify(answers.failed)}`);
  return {
    cpuMicros: (sum(cpu) * 1e6) / presses,
    settledPerSecond: presses / seconds,
    p99Ms: percentile(answers.acceptedMs, 99),
  };
}

const insertedAtOnce = 10_000;

/** Inserts old orders until there are `count`: cancelled ones, which hold no units. */
export async function insertPastOrders({ system }: OwnTestbed, count: number): Promise<void> {
  const { orders } = system.collections;
  const saleId = await openBenchSale(system, { name: 'Bench: long ago', stock: 0, limitPerBuyer: 1 });
  await endBenchSale(system, saleId);
  const present = await orders.estimatedDocumentCount();
  for (let first = present; first < count; first += insertedAtOnce) {
    const some = Array.from({ length: Math.min(insertedAtOnce, count - first) }, (_, n): OrderRecord => {
      const [buyerId, idempotencyKey] = [`past-${(first + n) % 100_000}`, `${first + n}`];
      const at = new Date(Date.now() - 86_400_000 - n);
      const ids = { _id: orderIdOf(buyerId, saleId, idempotencyKey), saleId, buyerId, idempotencyKey };
      return { ...ids, quantity: 1, status: 'cancelled', reason: null, createdAt: at, settledAt: at };
    });
    await orders.insertMany(some, { ordered: false });
  }
}

/** Deletes all orders, which keeps the reference shop small. */
export async function deleteOrders({ system }: OwnTestbed): Promise<void> {
  await system.collections.orders.deleteMany({});
}

const coldUnits = 100_000;

/** p99 of a cold sale's buyers, who arrive at a steady rate: without other load, and while buyers press at a hot sale. */
export interface ColdBesideHot {
  quietP99Ms: number;
  besideHotP99Ms: number;
}

export async function measureColdBesideHot(
  { system, url }: OwnTestbed,
  tokens: string[],
): Promise<ColdBesideHot> {
  const limits = { stock: coldUnits, limitPerBuyer: coldUnits };
  const [cold, hot] = [
    await openBenchSale(system, { name: 'Bench: cold', ...limits }),
    await openBenchSale(system, { name: 'Bench: hot', ...limits }),
  ];
  const pressCold = () =>
    pressAtRate({ url, tokens, saleId: cold, perSecond: 50, seconds: 10, connections: 50 });
  const quiet = await pressCold();
  // The hot sale gets half the load that the machine can take, because at full load latency grows without bound.
  const [besideHot] = await Promise.all([
    pressCold(),
    pressAtRate({ url, tokens, saleId: hot, perSecond: 1_000, seconds: 10, connections: usualConnections }),
  ]);
  await waitUntilSettled(system, deadlineSeconds);
  for (const saleId of [cold, hot]) await endBenchSale(system, saleId);
  return {
    quietP99Ms: percentile(quiet.acceptedMs, 99),
    besideHotP99Ms: percentile(besideHot.acceptedMs, 99),
  };
}
