import { afterEach, expect, test } from 'vitest';
import { waitUntil } from '../../../ops/local/processes/process.mjs';
import type { PurchaseJob } from '../../../sale/contract.ts';
import { resumeQueues } from '../../support/bull.ts';
import { startSystem, type TestSystem } from '../../support/harness.ts';
import { expectNothingLost, startBuyers, waitForAccepted } from '../support/buyers.ts';

let system: TestSystem;
afterEach(() => system.close());

const env = { RECONCILE_INTERVAL_MS: '300', RECONCILE_AFTER_MS: '1000' };

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
  for (const bull of system.store.queue.bulls) await bull.add({} as PurchaseJob, { attempts: 1 });
  await system.startWorker();
  await expectNothingLost(system, sale, load);
  expect((await system.store.queue.countJobs()).failed).toBe(system.store.queue.bulls.length);
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
