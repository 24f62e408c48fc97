import { nanoid } from 'nanoid';
import { afterEach, expect, test } from 'vitest';
import { waitUntil } from '../../../ops/local/processes/process.mjs';
import { openAdmission } from '../../../sale/admission/admission.ts';
import { orderIdOf } from '../../../sale/order.ts';
import { requeueLost } from '../../../sale/settlement/lost-purchases.ts';
import type { SaleRecord } from '../../../store/collections.ts';
import { startSystem, type TestSystem } from '../../support/harness.ts';
import { readSamples, valueIn } from '../../support/samples.ts';

/** The worker that settles a sale is killed or frozen while it has thousands of its purchases in progress. */

/** The bound from the fault until all purchases in progress, and later ones, are settled: a lease's 3 s, and a busy machine. */
const longestMs = 15_000;
/** Purchases of a second are gathered into one batch. The reconciler is slow, so that it cannot hide a loss. */
const env = { SETTLE_INTERVAL_MS: '1000', SUBSCRIBERS: 'none', RECONCILE_AFTER_MS: '120000' };
const purchasesInHand = 3_000;
const purchasesMeanwhile = 300;

let system: TestSystem;
afterEach(() => system.close());

/** The worker that settles a sale's shard; RabbitMQ's only queue counts as the first shard. */
async function settlerOf(saleId: string, engine: string): Promise<TestSystem['workers'][number]> {
  const shard = engine === 'bull' ? String(system.store.gate.shardOf(saleId)) : '0';
  return await waitUntil(
    async () => {
      for (const worker of system.workers) {
        const { body } = await system.api<string>('GET', '/metrics', { at: worker.url });
        if (valueIn(readSamples(body), 'stampede_shards', { shard })) return worker;
      }
      return null;
    },
    { deadlineMs: 20_000, what: 'a worker settles it' },
  );
}

/** Admits many purchases at once, as a server does. @returns their order ids. */
function openPress(sale: SaleRecord): (times: number) => Promise<string[]> {
  const { collections, redis, gate, queue } = system.store;
  const limits = {
    flushMaxPurchases: 50,
    flushMaxWaiting: 10_000,
    queueMaxPurchases: 100_000,
    memorySeconds: 600,
  };
  const { admit } = openAdmission({
    redis,
    gate,
    queue,
    findSale: async () => sale,
    requeueLost: ({ orderId }) =>
      requeueLost({ collections, gate, queue }, gate.shardOf(sale._id), [orderId]),
    limits,
  });
  return (times) =>
    Promise.all(
      Array.from({ length: times }, async () => {
        const [buyerId, idempotencyKey] = [nanoid(), nanoid()];
        const orderId = orderIdOf(buyerId, sale._id, idempotencyKey);
        const createdAt = new Date().toISOString();
        const purchase = { orderId, saleId: sale._id, buyerId, quantity: 1, idempotencyKey, createdAt };
        expect((await admit(purchase)).outcome).toBe('admitted');
        return orderId;
      }),
    );
}

const ordersOf = (orderIds: string[]) =>
  system.store.collections.orders.find({ _id: { $in: orderIds } }).toArray();

test.each(['bull', 'rabbitmq'])(
  'purchases in progress on %s are settled in time when their worker is frozen and the next one killed',
  async (engine) => {
    system = await startSystem({
      servers: 1,
      workers: 2,
      nginx: false,
      plain: true,
      env: { ...env, PURCHASE_QUEUE: engine },
    });
    const { id } = await system.createSale({ stock: 100_000 });
    const press = openPress((await system.store.collections.sales.findOne({ _id: id })) as SaleRecord);
    const accepted: string[] = [];

    for (const signal of ['SIGSTOP', 'SIGKILL'] as const) {
      const settling = await settlerOf(id, engine);
      await system.quiet();
      // From this purchase on the worker gathers for a second.
      accepted.push(...(await press(1)));
      const pressed = await press(purchasesInHand);
      process.kill(settling.pid, signal);
      const killedAt = Date.now();
      pressed.push(...(await press(purchasesMeanwhile)));
      await waitUntil(async () => (await ordersOf(pressed)).length === pressed.length, {
        deadlineMs: 30_000,
        what: 'all is settled',
      });
      const after = (await ordersOf(pressed)).map(({ settledAt }) => settledAt.getTime() - killedAt);
      const inHand = after.filter((ms) => ms > 0).length - purchasesMeanwhile;
      console.log(
        `${engine} ${signal}: ${inHand} purchases in progress were settled after ${Math.max(...after)} ms`,
      );
      expect(inHand).toBeGreaterThan(100);
      expect(Math.max(...after)).toBeLessThan(longestMs);

      accepted.push(...pressed);
      if (signal === 'SIGSTOP') {
        process.kill(settling.pid, 'SIGCONT');
        const isSucceeded = async () => (await settlerOf(id, engine)) !== settling;
        await waitUntil(isSucceeded, { deadlineMs: 10_000, what: 'another worker settles it' });
      }
    }

    await system.quiet();
    expect(await ordersOf(accepted)).toHaveLength(accepted.length);
    expect(await system.audit()).toMatchObject({ ok: true, queued: 0 });
    if (engine === 'bull') await expectCleanBull();
  },
  180_000,
);

/** Checks that no attempt was used up, and no finished job is left. */
async function expectCleanBull(): Promise<void> {
  const { queue, redis } = system.store;
  await waitUntil(async () => Object.values(await queue.countJobs()).every((count) => count === 0), {
    deadlineMs: 10_000,
    what: 'Bull has no job left',
  });
  const keys = (await Promise.all(queue.bulls.map((bull) => redis.keys(bull.toKey('[0-9]*'))))).flat();
  expect(keys.filter((key) => !key.endsWith(':lock'))).toEqual([]);
}
