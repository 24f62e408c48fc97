import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { waitUntil } from '../../../ops/local/processes/process.mjs';
import type { Failpoint } from '../../../runtime/failpoints.ts';
import { startSystem, type TestSystem } from '../../support/harness.ts';
import { queuesAreRegistered } from '../../support/registered.ts';
import { expectNothingLost, startBuyers, waitForAccepted } from '../support/buyers.ts';
import { expectCountedOnce } from '../support/counted.ts';

/** RabbitMQ: the broker is killed, or a consumer before it acknowledges. */

const env = {
  SUBSCRIBERS: 'analytics',
  JOB_LOCK_MS: '1500',
  RECONCILE_INTERVAL_MS: '500',
  RECONCILE_AFTER_MS: '3000',
};
const events = { ...env, EVENT_BUS: 'rabbitmq' };
const purchases = { ...env, PURCHASE_QUEUE: 'rabbitmq' };
const bigSale = { stock: 100_000, limitPerBuyer: 500 };
/** FLUSH_DEADLINE_MS for Redis and again for RabbitMQ, with a margin for a loaded machine. */
const boundedMs = 7_000;
/** A broker takes seconds to start. */
const patient = { triesMax: 600 };

let system: TestSystem;

async function killRabbit(queues: string[]): Promise<void> {
  const rabbit = system.rabbit();
  if (!rabbit) throw new Error('the system has no RabbitMQ');
  await queuesAreRegistered(rabbit.dataDir, queues);
  process.kill(rabbit.pid, 'SIGKILL');
  await rabbit.ended;
}

describe('the broker dies', () => {
  afterEach(() => system.close());

  test('sales go on when the event bus RabbitMQ is killed, and each event has one effect later', async () => {
    system = await startSystem({ servers: 1, nginx: false, env: events });
    const sale = await system.createSale({ ...bigSale, limitPerBuyer: 500 });
    const load = startBuyers(system, sale);
    await waitForAccepted(load, 100);
    await killRabbit(['analytics', 'order-events', 'sale-events']);
    await waitForAccepted(load, 200);
    expect(load.statuses.get(503)).toBeUndefined();
    await system.restartRabbit();
    await waitForAccepted(load, 50);
    await expectNothingLost(system, sale, load);
    await expectCountedOnce(system, sale.id);
  });

  test('purchases get 503 with Retry-After while the RabbitMQ of the queue is down, and nothing is lost', async () => {
    system = await startSystem({ nginx: false, env: purchases });
    const sale = await system.createSale(bigSale);
    const load = startBuyers(system, sale, patient);
    await waitForAccepted(load, 200);
    await killRabbit(['purchases', 'purchases-dlq']);
    await waitUntil(() => (load.statuses.get(503) ?? 0) > 20, { deadlineMs: 20_000, what: 'answers 503' });
    const answer = await system.buy(sale.id, system.buyerToken());
    expect(answer).toMatchObject({ status: 503, body: { type: '/problems/unavailable' } });
    expect(answer.headers.get('retry-after')).toBe('1');
    const { body } = await system.api('GET', '/readyz');
    expect(body).toMatchObject({ dependencies: { rabbitmq: 'down', redis: 'up' } });

    await system.restartRabbit();
    await waitForAccepted(load, 200);
    await expectNothingLost(system, sale, load);
    expect(load.slowestMs).toBeLessThan(boundedMs);
  });
});

describe('a process dies', () => {
  beforeAll(async () => {
    system = await startSystem({ servers: 1, workers: 0, nginx: false, env: { ...events, ...purchases } });
  });
  afterEach(() => system.closeAllBut({ servers: 1 }));
  afterAll(() => system.close());

  test.each(['relayed', 'handled'])(
    'each event has one effect when a worker is killed at "%s"',
    async (point) => {
      const doomed = await system.startWorker({ FAILPOINTS: `${point}@3=kill` });
      const sale = await system.createSale(bigSale);
      const load = startBuyers(system, sale);
      expect(await doomed.ended).toBe('SIGKILL');
      await waitForAccepted(load, 30);
      await system.startWorker();
      await waitForAccepted(load, 30);
      await expectNothingLost(system, sale, load);
      await expectCountedOnce(system, sale.id);
    },
  );

  test.each<Failpoint>(['flushed', 'settling', 'committed'])(
    'a purchase gets its one order when a process is killed at "%s"',
    async (point) => {
      const FAILPOINTS = `${point}@5=kill`;
      const doomed = await (point === 'flushed'
        ? system.startServer({ FAILPOINTS })
        : system.startWorker({ FAILPOINTS }));
      const sale = await system.createSale(bigSale);
      const load = startBuyers(system, sale);
      expect(await doomed.ended).toBe('SIGKILL');
      await waitForAccepted(load, 30);
      await system.startWorker();
      await expectNothingLost(system, sale, load);
    },
  );
});
