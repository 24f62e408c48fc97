import { afterEach, describe, expect, test } from 'vitest';
import { waitUntil } from '../../ops/local/processes/process.mjs';
import type { Failpoint } from '../../runtime/failpoints.ts';
import { startSystem, type TestSystem } from '../support/harness.ts';
import { accepts, expectNothingLost, openAudience, openRandom, seed } from './support/buyers.ts';

/** Processes that die, hang or race. */

const random = openRandom(seed);
/** A lock as short as Bull bears makes another worker take over soon. */
const env = { JOB_LOCK_MS: '1500', RECONCILE_INTERVAL_MS: '500', RECONCILE_AFTER_MS: '3000' };
const someVisit = () => 2 + Math.floor(random() * 10);
const bigSale = { stock: 100_000, limitPerBuyer: 6 };

let system: TestSystem;
afterEach(() => system.close());

const settles = (worker: TestSystem['workers'][number]) =>
  waitUntil(async () => (await system.ordersMadeBy(worker)) > 0, {
    deadlineMs: 30_000,
    what: `${worker.name} settles`,
  });

describe('a server dies', () => {
  test.each<Failpoint>(['flushing', 'flushed'])('at "%s": each retry finds its one order', async (point) => {
    system = await startSystem({ servers: 1, nginx: false, env });
    const doomed = await system.startServer({ FAILPOINTS: `${point}@${someVisit()}=kill` });
    const sale = await system.createSale(bigSale);
    const crowd = openAudience(system, sale);
    expect(await doomed.ended).toBe('SIGKILL');
    await accepts(crowd, 30);
    expect(crowd.statuses.get(0)).toBeGreaterThan(0);
    await expectNothingLost(system, sale, crowd);
  });
});

describe('a worker dies', () => {
  test.each<Failpoint>(['settling', 'deciding', 'committed', 'told'])(
    'at "%s": another settles what it left, once',
    async (point) => {
      system = await startSystem({ servers: 1, workers: 0, nginx: false, env });
      const doomed = await system.startWorker({ FAILPOINTS: `${point}@${someVisit()}=kill` });
      const sale = await system.createSale(bigSale);
      const crowd = openAudience(system, sale);
      expect(await doomed.ended).toBe('SIGKILL');
      await accepts(crowd, 30);
      await system.startWorker();
      await expectNothingLost(system, sale, crowd);
    },
  );
});

test('a worker hangs past its lock while another takes its jobs: nothing is settled twice', async () => {
  system = await startSystem({ servers: 1, workers: 0, nginx: false, env });
  // So long that another one leads, and finds that the jobs' lock is gone.
  await system.startWorker({ FAILPOINTS: `settling@${someVisit()}=block:9000` });
  const sale = await system.createSale({ ...bigSale, limitPerBuyer: 500 });
  const crowd = openAudience(system, sale);
  await accepts(crowd, 30);
  const other = await system.startWorker();
  await settles(other);
  await accepts(crowd, 600);
  await expectNothingLost(system, sale, crowd);
});

test('three workers on one hot product whose gate lets in far too many', async () => {
  system = await startSystem({ servers: 1, workers: 3, nginx: false, env });
  const sale = await system.createSale({ stock: 300, limitPerBuyer: 6 });
  const crowd = openAudience(system, sale, { buyers: 30 });
  await accepts(crowd, 1);
  // The gate is told again and again, since whoever leads puts it right. And whoever leads finds out a second later that
  // it does no more: until then two or three settle.
  const { redis } = system.store;
  const misleading = setInterval(() => {
    redis
      .pipeline()
      .hset(`gate:${sale.id}`, 'left', 100_000)
      .del('lease:lead')
      .exec()
      .catch(() => {});
  }, 200);
  try {
    await accepts(crowd, 600);
    for (const worker of system.workers) await settles(worker);
  } finally {
    clearInterval(misleading);
  }
  await expectNothingLost(system, sale, crowd);
  const { orders } = system.store.collections;
  expect((await system.api('GET', `/api/sales/${sale.id}`)).body.stock).toBe(0);
  expect(await orders.countDocuments({ saleId: sale.id, reason: 'sold_out' })).toBeGreaterThan(0);
});
