import { afterAll, beforeAll, expect, test } from 'vitest';
import { waitUntil } from '../../../ops/local/processes/process.mjs';
import { startSystem, type TestSystem } from '../../support/harness.ts';
import { expectNothingLost, startBuyers, waitForAccepted } from '../support/buyers.ts';

/** Redis is killed, emptied, or full. */

const env = { JOB_LOCK_MS: '1500', RECONCILE_INTERVAL_MS: '500', RECONCILE_AFTER_MS: '3000' };
/** FLUSH_DEADLINE_MS, with a margin for a loaded machine. */
const boundedMs = 5_000;

let system: TestSystem;
beforeAll(async () => {
  system = await startSystem({ nginx: false, env });
});
afterAll(() => system.close());

test('a killed Redis gives 503 in bounded time, and nothing is lost when it is back', async () => {
  const sale = await system.createSale({ stock: 100_000, limitPerBuyer: 6 });
  const load = startBuyers(system, sale);
  await waitForAccepted(load, 100);
  process.kill(system.redis().pid, 'SIGKILL');
  await waitUntil(() => (load.statuses.get(503) ?? 0) > 20, { deadlineMs: 20_000, what: 'answers 503' });
  await system.restartRedis();
  await waitForAccepted(load, 100);
  await expectNothingLost(system, sale, load);
  expect(load.slowestMs).toBeLessThan(boundedMs);
});

test('when Redis is emptied during a sale, buyers send again, and nobody exceeds the limit', async () => {
  const sale = await system.createSale({ stock: 2_000, limitPerBuyer: 3 });
  const load = startBuyers(system, sale);
  for (const more of [50, 50, 50]) {
    await waitForAccepted(load, more);
    await system.store.redis.flushall();
  }
  await waitForAccepted(load, 50);
  await load.stop();
  // The shop has lost purchases that were queued, and a page that gets 404 sends its purchase again.
  await waitUntil(async () => (await load.resendUnknown()) === 0, {
    deadlineMs: 20_000,
    what: 'all is known',
  });
  await expectNothingLost(system, sale, load);
});

test('a gate that counts units nobody got is repaired to the last unit', async () => {
  const sale = await system.createSale({ stock: 5, limitPerBuyer: 1 });
  const token = system.buyerToken();
  const { body } = await system.buy(sale.id, token, { key: 'the-same-press' });
  await system.settled(body.orderId, token);
  await system.store.redis.flushall();
  // A page that got no answer sends it again, and the gate takes a unit for an existing order.
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

test('a full Redis gives 503, evicts nothing, and selling resumes when there is room', async () => {
  const sale = await system.createSale({ stock: 100_000, limitPerBuyer: 6 });
  const load = startBuyers(system, sale);
  await waitForAccepted(load, 100);
  await system.store.redis.config('SET', 'maxmemory', '1mb');
  await waitUntil(() => (load.statuses.get(503) ?? 0) > 20, { deadlineMs: 20_000, what: 'answers 503' });
  await system.store.redis.config('SET', 'maxmemory', '0');
  await waitForAccepted(load, 100);
  expect(await system.store.redis.info('stats')).toContain('evicted_keys:0');
  await expectNothingLost(system, sale, load);
});
