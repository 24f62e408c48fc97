import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { SaleMinute } from '../../insight/contract.ts';
import { eventsOf, readChanges } from '../../log/events.ts';
import { openBus } from '../../messages/open-bus.ts';
import { openAppProcess } from '../../ops/local/app-process.mjs';
import { freePort } from '../../ops/local/processes/port.mjs';
import { run, waitUntil } from '../../ops/local/processes/process.mjs';
import { openLog } from '../../runtime/observe/log.ts';
import { analytics } from '../../subscribers/analytics.ts';
import { startSystem, type TestSystem } from '../support/harness.ts';

let system: TestSystem;
beforeAll(async () => {
  system = await startSystem({
    servers: 1,
    nginx: false,
    env: { SUBSCRIBERS: 'analytics', EVENT_RETRY_FIRST_MS: '10' },
  });
});
afterAll(() => system.close());

const total = (minutes: SaleMinute[]) => {
  const sum = { accepted: 0, paid: 0, rejected: 0, cancelled: 0, units: 0, cancelledUnits: 0 };
  for (const minute of minutes) {
    for (const key of Object.keys(sum) as (keyof typeof sum)[]) sum[key] += minute[key];
  }
  return sum;
};

async function minutesOf(saleId: string): Promise<SaleMinute[]> {
  const path = `/api/admin/sales/${saleId}/minutes`;
  const { status, body } = await system.api('GET', path, { token: system.adminToken });
  expect(status).toBe(200);
  return body.minutes;
}

const counts = (saleId: string, expected: object) =>
  waitUntil(
    async () => {
      const sum = total(await minutesOf(saleId));
      return Object.entries(expected).every(([key, value]) => sum[key as keyof typeof sum] === value) && sum;
    },
    { deadlineMs: 20_000, what: `analytics counts ${JSON.stringify(expected)}` },
  );

async function buy(saleId: string, quantity: number) {
  const token = system.buyerToken();
  const { body } = await system.buy(saleId, token, { quantity });
  await system.settled(body.orderId, token);
  return { token, orderId: body.orderId };
}

/** Creates a sale with two paid orders, one of them cancelled, and a rejected one. */
async function history() {
  const sale = await system.createSale({ stock: 5, limitPerBuyer: 3 });
  await buy(sale.id, 3);
  const { orderId, token } = await buy(sale.id, 2);
  // Makes the gate admit more units than there are.
  await system.store.redis.hset(system.store.gate.keyOf(sale.id), 'left', 100);
  await buy(sale.id, 1);
  await system.api('DELETE', `/api/orders/${orderId}`, { token });
  return sale;
}

const counted = { accepted: 3, paid: 2, rejected: 1, cancelled: 1, units: 5, cancelledUnits: 2 };

async function eventsOfSale(saleId: string) {
  const records = await readChanges(system.store.collections, saleId).toArray();
  const { types } = analytics(system.store.collections);
  return records.flatMap(eventsOf).filter(({ type }) => types.includes(type));
}

test('analytics counts the orders of a sale by minute', async () => {
  const sale = await history();
  await counts(sale.id, counted);
  const minutes = await minutesOf(sale.id);
  for (const { minute } of minutes) expect(Date.parse(minute) % 60_000).toBe(0);
  expect(Math.abs(Date.parse(minutes[0]?.minute ?? '') - Date.now())).toBeLessThan(180_000);
});

test('a redelivered event changes no count, alone, in a batch, or out of order', async () => {
  const sale = await history();
  await counts(sale.id, counted);
  const events = await eventsOfSale(sale.id);
  const { handle } = analytics(system.store.collections);
  await handle(events);
  for (const event of events.reverse()) await handle([event]);
  expect(total(await minutesOf(sale.id))).toEqual(counted);
});

test('an event that could not be counted is counted once when redelivered', async () => {
  const { collections } = system.store;
  const { handle } = analytics(collections);
  const sale = await history();
  await counts(sale.id, counted);
  const events = await eventsOfSale(sale.id);
  const [first, ...others] = events;
  if (!first) throw new Error('expected events');
  // As if no event had been counted yet.
  await collections.analytics.deleteOne({ _id: sale.id });
  await collections.minutes.deleteMany({ saleId: sale.id });

  const broken = { ...first, data: { ...first.data, quantity: 'many' } };
  await expect(handle([broken])).rejects.toThrow('quantity');
  await handle(others);
  expect(total(await minutesOf(sale.id))).toMatchObject({ paid: 1, units: 2 });
  await handle([first]);
  await handle([first]);
  expect(total(await minutesOf(sale.id))).toEqual(counted);
});

async function dlq(...words: string[]): Promise<string[]> {
  const { stdout } = await run(process.execPath, ['run.mjs', 'commands/dlq.ts', 'events', ...words], {
    env: { ...process.env, ...system.env },
    deadlineMs: 60_000,
  });
  return stdout.split('\n').filter(Boolean);
}

test('npm run dlq lists, republishes and discards a dead letter', async () => {
  const { config } = system.store;
  const bus = openBus(config, openLog(config, 'test'), () => false);
  const [event] = eventsOf({
    _id: 'no-such-sale:0000000001',
    saleId: 'no-such-sale',
    seq: 1,
    at: new Date(),
    changes: [{ type: 'order.cancelled', orderId: 'o', buyerId: 'b', quantity: -1 }],
  });
  if (!event) throw new Error('expected an event');
  await waitUntil(() => bus.publish([event]).then(() => true), { deadlineMs: 5_000, what: 'it publishes' });
  const dead = () =>
    waitUntil(async () => (await bus.listDeadLetters('analytics', 1)).total === 1, {
      deadlineMs: 20_000,
      what: 'a dead letter',
    });
  await dead();
  const [line = ''] = await dlq('list', 'analytics');
  expect(JSON.parse(line)).toMatchObject({ event: { id: event.id } });
  expect(line).toContain('quantity');
  expect(await dlq('republish', 'analytics', event.id)).toEqual([`${event.id}: republished`]);
  await dead();
  expect(await dlq('discard', 'analytics', event.id)).toEqual([`${event.id}: discarded`]);
  expect(await dlq('discard', 'analytics', event.id)).toEqual([`${event.id}: there is no such dead letter`]);
  expect(await dlq('list', 'analytics')).toEqual([]);
  await bus.close();
});

test('npm run events republishes events without changing a count', async () => {
  const sale = await history();
  await counts(sale.id, counted);
  const { collections } = system.store;
  const { eventSeq } = (await collections.sales.findOne({ _id: sale.id })) ?? {};
  const relay = ['run.mjs', 'commands/events.ts', 'relay', sale.id];
  expect(
    await run(process.execPath, relay, { env: { ...process.env, ...system.env }, deadlineMs: 60_000 }),
  ).toMatchObject({ ok: true });
  expect(await collections.relays.findOne({ _id: sale.id })).toMatchObject({ seq: 0 });
  // A change of the sale triggers the relay.
  await system.changeSale(sale.id, { addStock: 1 });
  await waitUntil(
    async () => (await collections.relays.findOne({ _id: sale.id }))?.seq === (eventSeq ?? 0) + 1,
    {
      deadlineMs: 20_000,
      what: 'it is published again',
    },
  );
  await buy(sale.id, 1);
  await counts(sale.id, { ...counted, accepted: 4, paid: 3, units: 6 });
});

test('a subscriber can run in a separate process', async () => {
  const alone = await startSystem({ servers: 1, nginx: false, env: { SUBSCRIBERS: 'none' } });
  const [port, logsDir] = [await freePort(), await mkdtemp(join(tmpdir(), 'stampede-subscriber-'))];
  const subscriber = await openAppProcess({
    name: 'subscriber',
    entry: 'worker/subscriber.ts',
    port,
    env: { ...alone.env, SUBSCRIBERS: 'analytics' },
    logsDir,
  });
  const sale = await alone.createSale();
  await alone.buy(sale.id, alone.buyerToken());
  await waitUntil(() => alone.store.collections.minutes.findOne({ saleId: sale.id, paid: 1 }), {
    deadlineMs: 20_000,
    what: 'it counts the order',
  });
  await subscriber.close();
  expect(await subscriber.ended).toBe('exit code 0');
  await rm(logsDir, { recursive: true });
  await alone.close();
});

test('an unknown sale has no minutes, and a buyer has no access', async () => {
  const sale = await system.createSale();
  const path = (id: string) => `/api/admin/sales/${id}/minutes`;
  expect((await system.api('GET', path('no-such-sale'), { token: system.adminToken })).status).toBe(404);
  expect((await system.api('GET', path(sale.id), { token: system.buyerToken() })).status).toBe(403);
});
