import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { startSystem, type TestSystem } from '../../support/harness.ts';
import { expectNothingLost, startBuyers, waitForAccepted } from '../support/buyers.ts';
import { expectCountedOnce } from '../support/counted.ts';

/** A consumer is killed before its acknowledgement, or Redis, which carries the events, is killed. */

let system: TestSystem;
beforeAll(async () => {
  system = await startSystem({ servers: 1, workers: 0, nginx: false, env });
});
afterEach(() => system.closeAllBut({ servers: 1 }));
afterAll(() => system.close());

const env = {
  SUBSCRIBERS: 'analytics',
  JOB_LOCK_MS: '1500',
  RECONCILE_INTERVAL_MS: '500',
  RECONCILE_AFTER_MS: '3000',
};

test.each(['relayed', 'handled'])(
  'each event has one effect when a worker is killed at "%s"',
  async (point) => {
    const doomed = await system.startWorker({ FAILPOINTS: `${point}@3=kill` });
    const sale = await system.createSale({ stock: 100_000, limitPerBuyer: 500 });
    const load = startBuyers(system, sale);
    expect(await doomed.ended).toBe('SIGKILL');
    await waitForAccepted(load, 30);
    await system.startWorker();
    await waitForAccepted(load, 30);
    await expectNothingLost(system, sale, load);
    await expectCountedOnce(system, sale.id);
  },
);

test('every event has one effect when Redis is killed and restarted', async () => {
  await system.startWorker();
  const sale = await system.createSale({ stock: 100_000, limitPerBuyer: 500 });
  const load = startBuyers(system, sale);
  await waitForAccepted(load, 100);
  process.kill(system.redis().pid, 'SIGKILL');
  await system.restartRedis();
  await waitForAccepted(load, 100);
  await expectNothingLost(system, sale, load);
  await expectCountedOnce(system, sale.id);
});
