import { afterEach, expect, test } from 'vitest';
import { startSystem, type TestSystem } from '../support/harness.ts';
import { accepts, expectNothingLost, openAudience } from './support/buyers.ts';
import { expectCountedOnce } from './support/counted.ts';

/** A consumer dies before its ack. And Redis, which carries the events, dies. */

let system: TestSystem;
afterEach(() => system.close());

const env = {
  SUBSCRIBERS: 'analytics',
  JOB_LOCK_MS: '1500',
  RECONCILE_INTERVAL_MS: '500',
  RECONCILE_AFTER_MS: '3000',
};

test.each(['relayed', 'handled'])(
  'a worker dies when events are "%s": each has its effect once',
  async (point) => {
    system = await startSystem({ servers: 1, workers: 0, nginx: false, env });
    const doomed = await system.startWorker({ FAILPOINTS: `${point}@3=kill` });
    const sale = await system.createSale({ stock: 100_000, limitPerBuyer: 500 });
    const crowd = openAudience(system, sale);
    expect(await doomed.ended).toBe('SIGKILL');
    await accepts(crowd, 30);
    await system.startWorker();
    await accepts(crowd, 30);
    await expectNothingLost(system, sale, crowd);
    await expectCountedOnce(system, sale.id);
  },
);

test('Redis is killed and started again: every event still has its effect once', async () => {
  system = await startSystem({ servers: 1, workers: 1, nginx: false, env });
  const sale = await system.createSale({ stock: 100_000, limitPerBuyer: 500 });
  const crowd = openAudience(system, sale);
  await accepts(crowd, 100);
  process.kill(system.redis().pid, 'SIGKILL');
  await system.restartRedis();
  await accepts(crowd, 100);
  await expectNothingLost(system, sale, crowd);
  await expectCountedOnce(system, sale.id);
});
