import { afterEach, expect, test } from 'vitest';
import { eventsOf, readChanges } from '../../../log/events.ts';
import type { BusEvent } from '../../../messages/bus.ts';
import { openBus } from '../../../messages/open-bus.ts';
import { countLag, registerSubscription } from '../../../messages/subscriptions.ts';
import { run, waitUntil } from '../../../ops/local/processes/process.mjs';
import { openLog } from '../../../runtime/observe/log.ts';
import type { SaleSnapshot } from '../../../sale/contract.ts';
import { analytics } from '../../../subscribers/analytics.ts';
import { startSystem, type TestSystem } from '../../support/harness.ts';
import { expectNothingLost, startBuyers, waitForAccepted } from '../support/buyers.ts';
import { expectCountedOnce } from '../support/counted.ts';

/** Events survive the loss of Redis and subscribers that are not running. */

let system: TestSystem;
afterEach(() => system.close());

const soon = { deadlineMs: 30_000 };
const bigSale = { stock: 100_000, limitPerBuyer: 500 };
const env = { JOB_LOCK_MS: '1500', RECONCILE_INTERVAL_MS: '500', RECONCILE_AFTER_MS: '3000' };

async function buy(sale: SaleSnapshot, count: number): Promise<void> {
  for (let n = 0; n < count; n++) {
    const token = system.buyerToken();
    const { body } = await system.buy(sale.id, token);
    await system.settled(body.orderId, token);
  }
}

async function openTestBus() {
  const { config } = system.store;
  const bus = openBus(config, openLog(config, 'test'), () => false);
  await waitUntil(() => bus.listDeclared().then(() => true), { ...soon, what: 'the bus is there' });
  return bus;
}

const orderEventsOf = async ({ id }: SaleSnapshot) =>
  (await readChanges(system.store.collections, id).toArray())
    .flatMap(eventsOf)
    .filter(({ type }) => type.startsWith('order.'));

const lagOf = (bus: Awaited<ReturnType<typeof openTestBus>>, name: string, count: number) =>
  waitUntil(async () => (await countLag(system.store.collections, bus))[name] === count, {
    ...soon,
    what: `${count} events wait for ${name}`,
  });

test('no event is skipped when Redis is emptied twice while events wait for a stopped subscriber', async () => {
  system = await startSystem({ servers: 1, nginx: false, env: { ...env, SUBSCRIBERS: 'none' } });
  const { collections, redis } = system.store;
  await registerSubscription(collections, analytics(collections));
  const bus = await openTestBus();
  const sale = await system.createSale(bigSale);
  for (const round of [1, 2]) {
    await buy(sale, 3);
    await lagOf(bus, 'analytics', 3 * round);
    await redis.flushall();
  }
  await buy(sale, 3);
  await lagOf(bus, 'analytics', 9);
  await bus.close();
  await system.startWorker({ SUBSCRIBERS: 'analytics' });
  await expectCountedOnce(system, sale.id);
});

test('every event has one effect when Redis is emptied under load with connected subscribers', async () => {
  system = await startSystem({ servers: 1, nginx: false, env: { ...env, SUBSCRIBERS: 'analytics' } });
  const sale = await system.createSale(bigSale);
  const load = startBuyers(system, sale);
  for (const more of [60, 60, 60]) {
    await waitForAccepted(load, more);
    await system.store.redis.flushall();
  }
  await waitForAccepted(load, 60);
  await load.stop();
  await waitUntil(async () => (await load.resendUnknown()) === 0, { ...soon, what: 'all is known' });
  await expectNothingLost(system, sale, load);
  await expectCountedOnce(system, sale.id);
});

test('a subscription without a process fills its queue without blocking others, and later gets all events in order', async () => {
  const bound = { EVENT_QUEUE_MAX_JOBS: '2' };
  system = await startSystem({
    servers: 1,
    nginx: false,
    env: { ...env, ...bound, SUBSCRIBERS: 'analytics', RELAY_INTERVAL_MS: '0' },
  });
  const { collections, redis } = system.store;
  const sleeper = { name: 'sleeper', types: ['order.*'] };
  await registerSubscription(collections, sleeper);
  const bus = await openTestBus();
  const sale = await system.createSale(bigSale);
  await buy(sale, 12);
  await expectCountedOnce(system, sale.id);
  const events = await orderEventsOf(sale);
  expect(events.length).toBe(24);
  await lagOf(bus, 'sleeper', 24);
  expect(await redis.llen('bull:events-sleeper:wait')).toBe(2);
  const { body } = await system.api<string>('GET', '/metrics', { at: system.workers[0]?.url ?? '' });
  expect(body).toContain('stampede_consumer_lag_events{subscriber="sleeper"} 24');

  const handled: BusEvent[] = [];
  const handle = async (batch: BusEvent[]) => void handled.push(...batch);
  await bus.subscribe({ ...sleeper, maxBatch: 100, handle });
  await lagOf(bus, 'sleeper', 0);
  expect(handled).toEqual(events);
  await bus.close();
});

test('an event that was a dead letter before Redis was emptied is a dead letter again', async () => {
  system = await startSystem({
    servers: 1,
    nginx: false,
    env: { ...env, SUBSCRIBERS: 'none', EVENT_RETRY_FIRST_MS: '10' },
  });
  const strict = { name: 'strict', types: ['order.*'] };
  await registerSubscription(system.store.collections, strict);
  const bus = await openTestBus();
  const refuse = async ([event]: BusEvent[]) => {
    if (event?.type === 'order.paid') throw new Error('no');
  };
  await bus.subscribe({ ...strict, maxBatch: 1, handle: refuse });
  await buy(await system.createSale(bigSale), 1);
  const isDead = () =>
    waitUntil(async () => (await bus.listDeadLetters('strict', 1)).total === 1, {
      ...soon,
      what: 'it is dead',
    });
  await isDead();
  await system.store.redis.flushall();
  await isDead();
  await bus.close();
});

test('the forget command removes an abandoned subscription and its queued events', async () => {
  system = await startSystem({ servers: 1, nginx: false, env: { ...env, SUBSCRIBERS: 'none' } });
  const { collections, redis } = system.store;
  await registerSubscription(collections, { name: 'sleeper', types: ['order.*'] });
  const bus = await openTestBus();
  const sale = await system.createSale(bigSale);
  await buy(sale, 2);
  await lagOf(bus, 'sleeper', 4);
  const command = async (...words: string[]) =>
    await run(process.execPath, ['run.mjs', 'commands/events.ts', ...words], {
      env: { ...process.env, ...system.env },
      deadlineMs: 60_000,
    });
  const { stdout } = await command('subscriptions');
  expect(JSON.parse(stdout)).toMatchObject({ name: 'sleeper', waiting: 4, losses: 0 });
  expect((await command('unsubscribe', 'sleeper')).ok).toBe(true);
  expect((await command('unsubscribe', 'sleeper')).ok).toBe(false);
  await buy(sale, 1);
  await waitUntil(
    async () => (await collections.relays.findOne({ _id: sale.id }))?.positions?.sleeper === undefined,
    {
      ...soon,
      what: 'its positions are gone',
    },
  );
  expect(await countLag(collections, bus)).toEqual({});
  expect(await redis.keys('bull:events-sleeper:*')).toEqual([]);
  await bus.close();
});
