import type { System } from '../../commands/system.ts';
import { orderIdOf } from '../../sale/order.ts';
import { findSale } from '../../sale/sale.ts';
import { driverOf, type OrderRecord } from '../../store/collections.ts';
import { pressAtRate } from '../load/arrivals.ts';
import { openPresses, pressBuy } from '../load/closed-loop.ts';
import { percentile, sum } from '../report/statistics.ts';
import { type Side, waitUntilDone } from '../systems/sides.ts';
import { endBenchSale, type OwnStage, openBenchSale, waitForQuiet } from '../systems/stage.ts';
import { watchCpu } from './usage.ts';

export interface Cost {
  /** CPU microseconds of everything but the load generator, for each purchase. */
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
  /** The buyers take turns at them. */
  saleIds: string[];
}

const manyUnits = 1_000_000;
const openedAtOnce = 50;

/** Sales with their gates: the first press of a sale makes it, and with many sales that would be all one measures. */
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

/** One crowd, and what each of its purchases cost, its events included. @throws Error when one was not accepted. */
export async function costOf(
  side: Side,
  load: Partial<Load> & Pick<Load, 'presses' | 'tokens'>,
): Promise<Cost> {
  const { system, url, processes } = side.stage;
  const { tokens, connections = usualConnections, saleIds = await openSales(system, 1) } = load;
  const presses = Math.max(load.presses, 2 * connections);
  const from = { url, tokens, saleId: saleIds, connections, deadlineSeconds };
  const opened = openPresses({ ...from, presses });
  // Everybody once, which opens the connections on both sides of nginx.
  await pressBuy({ ...from, presses: connections }, opened);
  await waitUntilDone(side, deadlineSeconds, saleIds);

  const cpuSince = watchCpu(processes);
  const startedAt = performance.now();
  const crowd = await pressBuy({ ...from, presses }, opened);
  await waitForQuiet(system, deadlineSeconds);
  const seconds = (performance.now() - startedAt) / 1_000;
  // Of these sales alone: a look at all of 10,000 would cost more than the purchases.
  await waitUntilDone(side, deadlineSeconds, saleIds);
  const { load: _, ...cpu } = cpuSince();
  for (const connection of opened.connections) connection.close();
  if (crowd.accepted.length !== presses) throw new Error(`not all accepted: ${JSON.stringify(crowd.failed)}`);
  return {
    cpuMicros: (sum(cpu) * 1e6) / presses,
    settledPerSecond: presses / seconds,
    p99Ms: percentile(crowd.acceptedMs, 99),
  };
}

const insertedAtOnce = 10_000;

/** Fills up with orders of long ago: cancelled ones, which hold no units. */
export async function fillWithOrders({ system }: OwnStage, count: number): Promise<void> {
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
    await driverOf(orders).insertMany(some, { ordered: false });
  }
}

/** So that a shop stays small. */
export async function forgetOrders({ system }: OwnStage): Promise<void> {
  await driverOf(system.collections.orders).deleteMany({});
}

const coldUnits = 100_000;

/** p99 of a cold sale's buyers, who come at a steady rate: in the quiet, and while a crowd presses on a hot one. */
export interface ColdBesideHot {
  quietP99Ms: number;
  besideHotP99Ms: number;
}

export async function coldBesideHot({ system, url }: OwnStage, tokens: string[]): Promise<ColdBesideHot> {
  const limits = { stock: coldUnits, limitPerBuyer: coldUnits };
  const [cold, hot] = [
    await openBenchSale(system, { name: 'Bench: cold', ...limits }),
    await openBenchSale(system, { name: 'Bench: hot', ...limits }),
  ];
  const pressCold = () =>
    pressAtRate({ url, tokens, saleId: cold, perSecond: 50, seconds: 10, connections: 50 });
  const quiet = await pressCold();
  // The hot one's crowd comes at half of what the machine can take: at all of it, every wait is without bound.
  const [besideHot] = await Promise.all([
    pressCold(),
    pressAtRate({ url, tokens, saleId: hot, perSecond: 1_000, seconds: 10, connections: usualConnections }),
  ]);
  await waitForQuiet(system, deadlineSeconds);
  for (const saleId of [cold, hot]) await endBenchSale(system, saleId);
  return {
    quietP99Ms: percentile(quiet.acceptedMs, 99),
    besideHotP99Ms: percentile(besideHot.acceptedMs, 99),
  };
}
