import { afterEach, expect, test } from 'vitest';
import { waitUntil } from '../../../ops/local/processes/process.mjs';
import { startSystem, type TestSystem } from '../../support/harness.ts';
import { expectNothingLost, startBuyers, waitForAccepted } from '../support/buyers.ts';
import { openTcpProxy, type TcpProxy } from '../support/tcp-proxy.ts';

/** The network to Redis or MongoDB stalls or cuts all connections. */

const env = {
  JOB_LOCK_MS: '1500',
  RECONCILE_INTERVAL_MS: '500',
  RECONCILE_AFTER_MS: '3000',
  FLUSH_DEADLINE_MS: '1000',
  MONGO_SILENCE_MS: '1500',
};
/** FLUSH_DEADLINE_MS, with a margin for a loaded machine. */
const boundedMs = 5_000;

let system: TestSystem;
let proxy: TcpProxy;
afterEach(async () => {
  proxy.flow();
  await system.close();
  await proxy.close();
});

async function startBehindProxy(which: 'REDIS_URL' | 'MONGO_URL'): Promise<void> {
  system = await startSystem({ servers: 0, workers: 0, nginx: false, env });
  const url = new URL(system.env[which] ?? '');
  proxy = await openTcpProxy(Number(url.port));
  url.port = String(proxy.port);
  // Redis by TCP instead of its Unix socket, and a direct connection to MongoDB, which would otherwise bypass the proxy.
  url.search = which === 'MONGO_URL' ? '?directConnection=true' : '';
  const behind = { [which]: url.href };
  await Promise.all([system.startServer(behind), system.startServer(behind), system.startWorker(behind)]);
}

test('stalled and cut connections to Redis give 503 in bounded time, and nothing is lost or doubled', async () => {
  await startBehindProxy('REDIS_URL');
  const sale = await system.createSale({ stock: 100_000, limitPerBuyer: 500 });
  const load = startBuyers(system, sale);
  await waitForAccepted(load, 50);
  proxy.stall();
  await waitUntil(() => (load.statuses.get(503) ?? 0) > 10, { deadlineMs: 20_000, what: 'answers 503' });
  proxy.flow();
  await waitForAccepted(load, 50);
  for (let cut = 0; cut < 3; cut++) {
    proxy.reset();
    await waitForAccepted(load, 20);
  }
  await expectNothingLost(system, sale, load);
  expect(load.slowestMs).toBeLessThan(boundedMs);
});

test('another worker settles when the leader loses MongoDB', { timeout: 120_000 }, async () => {
  await startBehindProxy('MONGO_URL');
  const sale = await system.createSale({ stock: 100_000, limitPerBuyer: 500 });
  const load = startBuyers(system, sale);
  await waitForAccepted(load, 50);
  proxy.stall();
  const other = await system.startWorker();
  await waitUntil(async () => (await system.ordersMadeBy(other)) > 100, {
    deadlineMs: 30_000,
    what: 'the other one settles',
  });
  const before = load.accepted.map(({ orderId }) => orderId);
  await waitUntil(
    async () =>
      (await system.store.collections.orders.countDocuments({ _id: { $in: before } })) === before.length,
    { deadlineMs: 40_000, what: 'the other one settles what the first has in hand' },
  );
  proxy.flow();
  await expectNothingLost(system, sale, load);
});

test('purchases are accepted while connections to MongoDB stall or are cut, and settled afterwards', async () => {
  await startBehindProxy('MONGO_URL');
  const sale = await system.createSale({ stock: 100_000, limitPerBuyer: 500 });
  const load = startBuyers(system, sale);
  await waitForAccepted(load, 50);
  proxy.stall();
  await waitForAccepted(load, 50);
  const { status } = await system.api('GET', `/api/sales/${sale.id}`, { at: system.servers[0]?.url ?? '' });
  expect(status).toBe(503);
  proxy.flow();
  for (let cut = 0; cut < 3; cut++) {
    await waitForAccepted(load, 20);
    proxy.reset();
  }
  await expectNothingLost(system, sale, load);
  expect(load.slowestMs).toBeLessThan(boundedMs);
});
