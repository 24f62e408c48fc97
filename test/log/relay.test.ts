import { afterAll, beforeAll, expect, test } from 'vitest';
import { eventsOf, readChanges } from '../../log/events.ts';
import { type EventData, eventSchemas } from '../../log/schemas.ts';
import { startSystem, type TestSystem } from '../support/harness.ts';
import { type Listener, listenTo } from '../support/listener.ts';

let system: TestSystem;
let listener: Listener;
beforeAll(async () => {
  system = await startSystem({
    servers: 1,
    ownMongo: true,
    env: { SUBSCRIBERS: 'none', SALE_CLOCK_INTERVAL_MS: '50', JOB_LOCK_MS: '1500' },
  });
  listener = await listenTo(system);
});
afterAll(async () => {
  await listener.close();
  await system.close();
});

const ofSale = (saleId: string) => (event: { source: string }) => event.source === `/api/sales/${saleId}`;

async function logOf(saleId: string) {
  const records = await readChanges(system.store.collections, saleId).toArray();
  return records.flatMap(eventsOf);
}

async function buyOne(saleId: string, headers: Record<string, string> = {}) {
  const token = system.buyerToken();
  const path = `/api/sales/${saleId}/purchases`;
  const { body } = await system.api('POST', path, { token, body: { quantity: 1 }, headers });
  await system.settled(body.orderId, token);
  return { orderId: body.orderId as string, token };
}

const ofOrder = (orderId: string) => (event: { subject?: string }) => event.subject === orderId;

test('a subscriber gets the events of a sale in the order of the log, valid by their schemas', async () => {
  const sale = await system.createSale({ stock: 2 });
  const { orderId, token } = await buyOne(sale.id);
  await system.changeSale(sale.id, { paused: true });
  await system.changeSale(sale.id, { paused: false, addStock: 1 });
  await system.api('DELETE', `/api/orders/${orderId}`, { token });
  await listener.hears('inventory.released', ofOrder(orderId));

  const logged = await logOf(sale.id);
  expect(listener.events.filter(ofSale(sale.id))).toEqual(logged);
  expect(logged.length).toBeGreaterThan(9);
  for (const { type, data } of logged) expect(eventSchemas[type].parse(data)).toEqual(data);
});

test('an event carries the trace context of the request that led to it', async () => {
  const sale = await system.createSale({ stock: 5 });
  const traceparent = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01';
  const { orderId } = await buyOne(sale.id, { traceparent });
  expect((await listener.hears('order.paid', ofOrder(orderId))).traceparent).toBe(traceparent);
});

test.each([
  ['nothing', {}],
  ['what cannot be read', { traceparent: '00-xyz' }],
  ['zeros', { traceparent: `00-${'0'.repeat(32)}-${'0'.repeat(16)}-01` }],
])('a request with %s for a trace context gets one', async (_what, headers) => {
  const sale = await system.createSale({ stock: 5 });
  const { orderId, token } = await buyOne(sale.id, headers as Record<string, string>);
  const paid = await listener.hears('order.paid', ofOrder(orderId));
  expect(paid.traceparent).toMatch(/^00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-01$/);
  await system.api('DELETE', `/api/orders/${orderId}`, { token });
  const cancelled = await listener.hears('order.cancelled', ofOrder(orderId));
  expect(cancelled.traceparent).toMatch(/^00-[0-9a-f]{32}-[0-9a-f]{16}-01$/);
  expect(cancelled.traceparent).not.toBe(paid.traceparent);
});

test('opening and ending a sale are published once, and again when its window is moved', async () => {
  const soon = (ms: number) => new Date(Date.now() + ms);
  const { id } = await system.createSale({ opensAt: soon(400), closesAt: soon(1_200) });
  await listener.hears('sale.ended', ofSale(id));
  const before = listener.events.length;
  await system.changeSale(id, { closesAt: soon(1_500) });
  const { data } = await listener.hears('sale.ended', (event) => {
    return ofSale(id)(event) && listener.events.indexOf(event) >= before;
  });
  expect(listener.events.filter(ofSale(id)).map(({ type }) => type)).toEqual([
    'sale.created',
    'sale.opened',
    'sale.ended',
    'sale.rescheduled',
    'sale.opened',
    'sale.ended',
  ]);
  expect(Object.keys(data as EventData)).toEqual(['saleId', 'closesAt']);
  expect(await system.audit()).toMatchObject({ ok: true });
});

test('events of several sales are published together, each sale in the order of its log', async () => {
  const sales = await Promise.all(Array.from({ length: 30 }, () => system.createSale({ stock: 5 })));
  const bought = await Promise.all(sales.map(({ id }) => buyOne(id)));
  for (const { orderId } of bought) await listener.hears('order.paid', ofOrder(orderId));
  for (const { id } of sales) expect(listener.events.filter(ofSale(id))).toEqual(await logOf(id));
});

test('the relay continues where it stopped after an outage of MongoDB', async () => {
  const sale = await system.createSale({ stock: 5 });
  const before = await buyOne(sale.id);
  await listener.hears('order.paid', ofOrder(before.orderId));
  await system.restartMongo();
  const after = await buyOne(sale.id);
  await listener.hears('order.paid', ofOrder(after.orderId));
  const ids = [...new Set(listener.events.filter(ofSale(sale.id)).map(({ id }) => id))];
  expect(ids).toEqual((await logOf(sale.id)).map(({ id }) => id));
});

test('a worker killed after publishing and before saving the position publishes again, in order', async () => {
  for (const worker of [...system.workers]) {
    process.kill(worker.pid, 'SIGKILL');
    await worker.ended;
  }
  const doomed = await system.startWorker({ FAILPOINTS: 'relayed@1=kill' });
  const sale = await system.createSale({ stock: 5 });
  expect(await doomed.ended).toBe('SIGKILL');
  await listener.hears('sale.opened', ofSale(sale.id));
  await system.startWorker();
  const { orderId } = await buyOne(sale.id);
  await listener.hears('order.paid', ofOrder(orderId));

  const logged = await logOf(sale.id);
  const heard = listener.events.filter(ofSale(sale.id)).map(({ id }) => id);
  expect(heard).toEqual([...logged.slice(0, 2), ...logged].map(({ id }) => id));
});
