import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { readChanges } from '../../../log/events.ts';
import { waitUntil } from '../../../ops/local/processes/process.mjs';
import type { Failpoint } from '../../../runtime/failpoints.ts';
import { openRandom } from '../../nemesis/random.ts';
import { startSystem, type TestSystem } from '../../support/harness.ts';
import { expectNothingLost, seed, startBuyers, waitForAccepted } from '../support/buyers.ts';

/** Processes that are killed, hang, or run twice. */

const random = openRandom(seed);
/** The shortest lock that Bull accepts, so that another worker takes over soon. */
const env = { JOB_LOCK_MS: '1500', RECONCILE_INTERVAL_MS: '500', RECONCILE_AFTER_MS: '3000' };
const someVisit = () => 2 + Math.floor(random() * 10);
const bigSale = { stock: 100_000, limitPerBuyer: 6 };

let system: TestSystem;
beforeAll(async () => {
  system = await startSystem({ servers: 1, workers: 0, nginx: false, env });
});
afterEach(() => system.closeAllBut({ servers: 1 }));
afterAll(() => system.close());

const settles = (worker: TestSystem['workers'][number]) =>
  waitUntil(async () => (await system.ordersMadeBy(worker)) > 0, {
    deadlineMs: 30_000,
    what: `${worker.name} settles`,
  });

describe('a server dies', () => {
  test.each<Failpoint>(['flushing', 'flushed'])('at "%s": each retry finds its one order', async (point) => {
    const [doomed] = await Promise.all([
      system.startServer({ FAILPOINTS: `${point}@${someVisit()}=kill` }),
      system.startWorker(),
    ]);
    const sale = await system.createSale(bigSale);
    const load = startBuyers(system, sale);
    expect(await doomed.ended).toBe('SIGKILL');
    await waitForAccepted(load, 30);
    expect(load.statuses.get(0)).toBeGreaterThan(0);
    await expectNothingLost(system, sale, load);
  });
});

describe('a worker dies', () => {
  test.each<Failpoint>(['settling', 'deciding', 'committed', 'announced'])(
    'at "%s": another settles what it left, once',
    async (point) => {
      const doomed = await system.startWorker({ FAILPOINTS: `${point}@${someVisit()}=kill` });
      const sale = await system.createSale(bigSale);
      const load = startBuyers(system, sale);
      expect(await doomed.ended).toBe('SIGKILL');
      await waitForAccepted(load, 30);
      await system.startWorker();
      await expectNothingLost(system, sale, load);
    },
  );
});

test('a worker dies halfway through a call-off: another goes on, and each order ends once', async () => {
  const doomed = await system.startWorker({ FAILPOINTS: 'written@2=kill' });
  const sale = await system.createSale({ stock: 100, limitPerBuyer: 2 });
  // Each in a transaction of its own, because the log's documents make up the batches.
  const orderIds: string[] = [];
  for (let n = 0; n < 25; n++) {
    const token = system.buyerToken();
    const { body } = await system.buy(sale.id, token);
    orderIds.push((await system.settled(body.orderId, token)).id);
  }
  const path = `/api/sales/${sale.id}/call-off`;
  expect((await system.api('POST', path, { token: system.adminToken })).status).toBe(200);
  expect(await doomed.ended).toBe('SIGKILL');
  const { collections } = system.store;
  const cancelled = { saleId: sale.id, status: 'cancelled' as const };
  const before = await collections.orders.countDocuments(cancelled);
  expect(before).toBeGreaterThan(0);
  expect(before).toBeLessThan(25);

  await system.startWorker();
  await waitUntil(async () => (await collections.orders.countDocuments(cancelled)) === 25, {
    deadlineMs: 30_000,
    what: 'every order of the sale is cancelled',
  });
  const changes = (await readChanges(collections, sale.id).toArray()).flatMap(({ changes }) => changes);
  const ended = changes.flatMap((change) => (change.type === 'order.cancelled' ? [change.orderId] : []));
  expect(ended.sort()).toEqual(orderIds.sort());
  await waitUntil(
    async () => (await system.store.redis.hget(system.store.gate.keyOf(sale.id), 'left')) === '100',
    {
      deadlineMs: 15_000,
      what: 'the gate has every unit back',
    },
  );
  expect(await system.audit()).toMatchObject({ ok: true, queued: 0 });
});

test('nothing is settled twice when a worker hangs past its lock and another takes its jobs', async () => {
  // So long that another worker takes its shards and finds the jobs' locks expired.
  const hanging = await system.startWorker({ FAILPOINTS: `settling@${someVisit()}=block:9000` });
  const sale = await system.createSale({ ...bigSale, limitPerBuyer: 500 });
  const load = startBuyers(system, sale);
  await waitForAccepted(load, 30);
  const answers = () =>
    fetch(`${hanging.url}/healthz`, { signal: AbortSignal.timeout(500) }).then(
      () => true,
      () => false,
    );
  await waitUntil(async () => !(await answers()), { deadlineMs: 30_000, what: 'it hangs' });
  const other = await system.startWorker();
  await settles(other);
  await waitForAccepted(load, 600);
  await expectNothingLost(system, sale, load);
});

test('three workers keep the limits of a hot product whose gate admits far too many', async () => {
  await Promise.all([1, 2, 3].map(() => system.startWorker()));
  const sale = await system.createSale({ stock: 300, limitPerBuyer: 6 });
  const load = startBuyers(system, sale, { buyers: 30 });
  await waitForAccepted(load, 1);
  // The gate is corrupted repeatedly, because the leader repairs it. The worker that settles the sale loses its lease again and
  // again, and notices it only later.
  const { redis, gate } = system.store;
  const lease = `lease:shard-${gate.shardOf(sale.id)}`;
  const misleading = setInterval(() => {
    redis
      .pipeline()
      .hset(gate.keyOf(sale.id), 'left', 100_000)
      .set(lease, 'nobody', 'PX', 100)
      .exec()
      .catch(() => {});
  }, 1_000);
  try {
    await waitForAccepted(load, 600);
    const haveSettled = async () => {
      const made = await Promise.all(system.workers.map((worker) => system.ordersMadeBy(worker)));
      return made.filter((orders) => orders > 0).length >= 2;
    };
    await waitUntil(haveSettled, { deadlineMs: 60_000, what: 'two workers have settled it' });
  } finally {
    clearInterval(misleading);
  }
  await expectNothingLost(system, sale, load);
  const { orders } = system.store.collections;
  expect((await system.api('GET', `/api/sales/${sale.id}`)).body.stock).toBe(0);
  expect(await orders.countDocuments({ saleId: sale.id, reason: 'sold_out' })).toBeGreaterThan(0);
});
