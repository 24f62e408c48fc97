import { afterEach, beforeEach, expect, test } from 'vitest';
import { waitUntil } from '../../ops/local/processes/process.mjs';
import { startSystem, type TestSystem } from '../support/harness.ts';
import { accepts, expectNothingLost, openAudience } from './support/buyers.ts';

/** Redis dies, forgets, or is full. */

const env = { JOB_LOCK_MS: '1500', RECONCILE_INTERVAL_MS: '500', RECONCILE_AFTER_MS: '3000' };
/** FLUSH_DEADLINE_MS, and what a machine under load adds to it. */
const boundedMs = 5_000;

let system: TestSystem;
beforeEach(async () => {
  system = await startSystem({ nginx: false, env });
});
afterEach(() => system.close());

test('Redis is killed and comes back: 503 meanwhile, no wait without bound, nothing lost', async () => {
  const sale = await system.createSale({ stock: 100_000, limitPerBuyer: 6 });
  const crowd = openAudience(system, sale);
  await accepts(crowd, 100);
  process.kill(system.redis().pid, 'SIGKILL');
  await waitUntil(() => (crowd.statuses.get(503) ?? 0) > 20, { deadlineMs: 20_000, what: 'answers 503' });
  await system.restartRedis();
  await accepts(crowd, 100);
  await expectNothingLost(system, sale, crowd);
  expect(crowd.slowestMs).toBeLessThan(boundedMs);
});

test('Redis forgets everything in mid-sale: buyers send again, nobody has more than the limit', async () => {
  const sale = await system.createSale({ stock: 2_000, limitPerBuyer: 3 });
  const crowd = openAudience(system, sale);
  for (const more of [50, 50, 50]) {
    await accepts(crowd, more);
    await system.store.redis.flushall();
  }
  await accepts(crowd, 50);
  await crowd.stop();
  // What was in the queue when Redis forgot is unknown to the shop, and a page that is told so sends it again.
  await waitUntil(async () => (await crowd.resendUnknown()) === 0, {
    deadlineMs: 20_000,
    what: 'all is known',
  });
  await expectNothingLost(system, sale, crowd);
});

test('a gate that counted units nobody got is put right, down to the last unit', async () => {
  const sale = await system.createSale({ stock: 5, limitPerBuyer: 1 });
  const token = system.buyerToken();
  const { body } = await system.buy(sale.id, token, { key: 'the-same-press' });
  await system.settled(body.orderId, token);
  await system.store.redis.flushall();
  // Sent again by a page that did not hear the answer: the gate takes a unit for an order that exists.
  expect((await system.buy(sale.id, token, { key: 'the-same-press' })).body).toEqual(body);
  const bought = await waitUntil(
    async () => {
      const { status } = await system.buy(sale.id, system.buyerToken());
      const { stock } = (await system.api('GET', `/api/sales/${sale.id}`)).body;
      return status === 409 && stock === 0 ? 'all' : null;
    },
    { deadlineMs: 20_000, what: 'the last unit is sold' },
  );
  expect(bought).toBe('all');
  expect(await system.audit()).toMatchObject({ ok: true, queued: 0 });
});

test('Redis is full: 503, nothing is evicted, and it goes on when there is room', async () => {
  const sale = await system.createSale({ stock: 100_000, limitPerBuyer: 6 });
  const crowd = openAudience(system, sale);
  await accepts(crowd, 100);
  await system.store.redis.config('SET', 'maxmemory', '1mb');
  await waitUntil(() => (crowd.statuses.get(503) ?? 0) > 20, { deadlineMs: 20_000, what: 'answers 503' });
  await system.store.redis.config('SET', 'maxmemory', '0');
  await accepts(crowd, 100);
  expect(await system.store.redis.info('stats')).toContain('evicted_keys:0');
  await expectNothingLost(system, sale, crowd);
});
