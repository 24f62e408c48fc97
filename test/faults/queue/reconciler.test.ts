import { nanoid } from 'nanoid';
import { afterEach, expect, test } from 'vitest';
import { waitUntil } from '../../../ops/local/processes/process.mjs';
import type { Purchase, PurchaseJob } from '../../../sale/contract.ts';
import { orderIdOf } from '../../../sale/order.ts';
import { bullOf, resumeQueues } from '../../support/bull.ts';
import { startSystem, type TestSystem } from '../../support/harness.ts';
import { expectNothingLost, startBuyers, waitForAccepted } from '../support/buyers.ts';

let system: TestSystem;
afterEach(() => system.close());

const env = { RECONCILE_INTERVAL_MS: '300', RECONCILE_AFTER_MS: '1000' };

function purchaseOf(saleId: string): Purchase {
  const [buyerId, idempotencyKey] = [nanoid(), nanoid()];
  const orderId = orderIdOf(buyerId, saleId, idempotencyKey);
  return { orderId, saleId, buyerId, quantity: 1, idempotencyKey, createdAt: new Date().toISOString() };
}

/** As a worker leaves them that fails while no other one reconciles. */
async function makeDeadLetters({ store }: TestSystem, purchases: Purchase[]): Promise<void> {
  const bull = bullOf(store.queue);
  await bull.addBulk(purchases.map((purchase) => ({ data: { purchases: [purchase] } })));
  for (const _ of purchases)
    await (await bull.getNextJob())?.moveToFailed(new Error('It could not be settled'), true);
}

test('purchases whose job is lost get a new job', async () => {
  system = await startSystem({ servers: 1, workers: 0, nginx: false, env });
  const sale = await system.createSale({ stock: 1_000, limitPerBuyer: 6 });
  const load = startBuyers(system, sale);
  await waitForAccepted(load, 50);
  await load.stop();
  for (const bull of system.store.queue.bulls) await bull.obliterate({ force: true });
  await resumeQueues(system.store.queue);
  expect(await system.store.gate.countQueued()).toBeGreaterThan(0);
  // Dead letters, which may lie for days, do not hide what is lost.
  const died = Array.from({ length: 250 }, () => purchaseOf(sale.id));
  await makeDeadLetters(system, died);
  for (const bull of system.store.queue.bulls) await bull.add({} as PurchaseJob, { attempts: 1 });
  await system.startWorker();
  await expectNothingLost(system, sale, load);
  const { bulls } = system.store.queue;
  expect((await system.store.queue.countJobs()).failed).toBe(bulls.length + died.length);
  // Not only of the newest letters.
  const ofDied = { _id: { $in: died.map(({ orderId }) => orderId) }, reason: 'failed' } as const;
  await waitUntil(
    async () => (await system.store.collections.orders.countDocuments(ofDied)) === died.length,
    {
      deadlineMs: 20_000,
      what: 'the buyers of all dead letters see an outcome',
    },
  );
});

test('another worker reconciles when the reconciling worker is killed', async () => {
  system = await startSystem({ servers: 1, workers: 2, nginx: false, env });
  const { redis: client } = system.store;
  const holder = () => client.get('lease:lead');
  const first = await waitUntil(holder, { deadlineMs: 10_000, what: 'a worker reconciles' });
  for (const { pid, ended } of [...system.workers]) {
    process.kill(pid, 'SIGKILL');
    await ended;
    await system.startWorker();
  }
  await waitUntil(async () => ![null, first].includes(await holder()), {
    deadlineMs: 10_000,
    what: 'another worker reconciles',
  });

  const sale = await system.createSale({ stock: 10 });
  const token = system.buyerToken();
  await system.settled((await system.buy(sale.id, token)).body.orderId, token);
  // As after a crash before a unit was given back.
  await client.hincrby(system.store.gate.keyOf(sale.id), 'left', -4);
  await waitUntil(async () => (await client.hget(system.store.gate.keyOf(sale.id), 'left')) === '9', {
    deadlineMs: 10_000,
    what: 'the gate counts what MongoDB has',
  });
});

test('a full queue gives 503 with Retry-After, and the same key works later', async () => {
  system = await startSystem({
    servers: 1,
    workers: 0,
    nginx: false,
    env: { ...env, QUEUE_MAX_PURCHASES: '5' },
  });
  const sale = await system.createSale({ stock: 100 });
  const buyers = Array.from({ length: 8 }, (_, n) => ({
    token: system.buyerToken(),
    key: `press-number-${n}`,
  }));
  const press = () => Promise.all(buyers.map(({ token, key }) => system.buy(sale.id, token, { key })));
  const answers = await press();
  expect(answers.filter(({ status }) => status === 202)).toHaveLength(5);
  const busy = answers.filter(({ status }) => status === 503);
  expect(busy).toHaveLength(3);
  for (const { body, headers } of busy) {
    expect(body).toMatchObject({ type: '/problems/busy' });
    expect(headers.get('retry-after')).toBe('1');
  }
  await system.startWorker();
  await waitUntil(async () => (await press()).every(({ status }) => status === 202), {
    deadlineMs: 20_000,
    what: 'everyone is accepted',
  });
  await system.quiet();
  expect(await system.store.collections.orders.countDocuments({ saleId: sale.id, status: 'paid' })).toBe(8);
  expect(await system.audit()).toMatchObject({ ok: true });
});
