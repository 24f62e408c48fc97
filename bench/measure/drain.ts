import { nanoid } from 'nanoid';
import { waitUntil } from '../../ops/local/processes/process.mjs';
import type { Purchase } from '../../sale/contract.ts';
import { orderIdOf } from '../../sale/order.ts';
import type { Side } from '../systems/sides.ts';
import { endBenchSale, openBenchSale } from '../systems/testbed.ts';

/** How fast a backlog was drained. */
export interface Drain {
  drainedPerSecond: number;
  /** The rates of the first and the second half, which are equal when the rate does not depend on the queue's length. */
  firstHalfPerSecond: number;
  secondHalfPerSecond: number;
}

const deadlineSeconds = 300;
const pollMs = 10;

/**
 * Fills a paused queue with a backlog, resumes it, and measures until the queue is empty.
 * @param freshWorker uses a new worker process, as after an outage. Its start is not counted.
 */
export async function drainBacklog(
  side: Side,
  { backlog, buyers, freshWorker }: { backlog: number; buyers: number; freshWorker: boolean },
): Promise<Drain> {
  const { testbed, queue } = side;
  if (!queue) throw new Error(`${side.name} has no queue`);
  const limitPerBuyer = Math.ceil(backlog / buyers);
  const saleId = await openBenchSale(testbed.system, {
    name: 'Bench: backlog',
    stock: backlog,
    limitPerBuyer,
  });
  if (freshWorker) await Promise.all(testbed.scratch.workers.splice(0).map((worker) => worker.close()));
  await queue.pause();
  await queue.enqueue(backlogOf(saleId, backlog, buyers));
  if (freshWorker) await testbed.scratch.startWorker();

  const startedAt = performance.now();
  let halfAt = Number.NaN;
  await queue.resume();
  await waitUntil(
    async () => {
      const pending = await side.countPending();
      if (pending <= backlog / 2 && Number.isNaN(halfAt)) halfAt = performance.now();
      return pending === 0;
    },
    { deadlineMs: deadlineSeconds * 1_000, what: 'the backlog is not drained', everyMs: pollMs },
  );
  const endedAt = performance.now();
  const lost = backlog - (await testbed.system.collections.orders.countDocuments({ saleId, status: 'paid' }));
  if (lost !== 0) throw new Error(`${side.name} drained its backlog, but ${lost} purchases have no order`);
  await endBenchSale(testbed.system, saleId);
  return {
    drainedPerSecond: (backlog / (endedAt - startedAt)) * 1_000,
    firstHalfPerSecond: (backlog / 2 / (halfAt - startedAt)) * 1_000,
    secondHalfPerSecond: (backlog / 2 / (endedAt - halfAt)) * 1_000,
  };
}

/** Purchases of one unit each, by buyers who take turns. */
export function backlogOf(saleId: string, count: number, buyers: number): Purchase[] {
  const buyerPrefix = nanoid(8);
  const createdAt = new Date().toISOString();
  return Array.from({ length: count }, (_, n) => {
    const [buyerId, idempotencyKey] = [`${buyerPrefix}-${n % buyers}`, `${n}`];
    return {
      orderId: orderIdOf(buyerId, saleId, idempotencyKey),
      saleId,
      buyerId,
      quantity: 1,
      idempotencyKey,
      createdAt,
    };
  });
}
