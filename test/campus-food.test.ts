import { nanoid } from 'nanoid';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { waitUntil } from '../embedded/process.mjs';
import { isLucky } from '../examples/campus-food/chance.ts';
import { decisionEvent, orderIdOf, type PlacedOrder, placedEvent } from '../examples/campus-food/contract.ts';
import type { BusEvent } from '../messages/bus.ts';
import { type CampusStage, openCampus } from './campus-stage.ts';

const chance = 0.9;
const seed = 'lunch';
let campus: CampusStage;
beforeAll(async () => {
  campus = await openCampus({ RESERVE_CHANCE: String(chance), SEED: seed, EVENT_RETRY_FIRST_MS: '50' });
});
afterAll(() => campus?.close());

const eventIdOf = (orderId: string) => `${orderId}.placed`;
const isReserved = (orderId: string) => isLucky(chance, seed, eventIdOf(orderId));

/** An order that no OrderService has seen, and of which the luck is known. */
function unseenOrder(lucky = true): PlacedOrder {
  const order = { id: nanoid(), studentId: 's-2002', dishes: [{ dish: 'tea', quantity: 1 }] };
  if (isReserved(order.id) !== lucky) return unseenOrder(lucky);
  return { ...order, placedAt: new Date().toISOString() };
}

/** Orders with these keys are all accepted. @returns their ids. */
async function orderAll(keys: string[]): Promise<string[]> {
  const answers = await Promise.all(keys.map((key) => campus.order(key)));
  expect(answers.filter(({ status }) => status !== 202)).toEqual([]);
  return answers.map(({ body }) => body.orderId);
}

const keysOf = (what: string, count: number) => Array.from({ length: count }, (_, n) => `${what}-${n}`);

const send = (exchange: string, key: string, content: string) =>
  campus.stranger(async (channel) =>
    channel.publish(exchange, key, Buffer.from(content), { persistent: true }),
  );
const sendEvent = (exchange: string, event: BusEvent) => send(exchange, event.type, JSON.stringify(event));

const countOf = (queue: string) =>
  campus.stranger(async (channel) => (await channel.checkQueue(queue)).messageCount);

async function notificationsOf(orderId: string): Promise<unknown[]> {
  const { body } = await campus.ask('notification', '/notifications');
  return body.notifications.filter((sent: { orderId: string }) => sent.orderId === orderId);
}

async function reservationsOf(orderId: string): Promise<unknown[]> {
  const { body } = await campus.ask('inventory', '/reservations');
  return body.reservations.filter(({ order }: { order: PlacedOrder }) => order.id === orderId);
}

const notified = (orderId: string) =>
  waitUntil(async () => (await notificationsOf(orderId)).length > 0, {
    deadlineMs: 20_000,
    what: `nobody was notified of ${orderId}`,
  });

/** What is behind it in the queues has been handled when this order has come to its end everywhere. */
async function passThrough(): Promise<void> {
  const last = unseenOrder();
  await sendEvent('orders', placedEvent(last));
  await campus.ended(last.id);
  await notified(last.id);
}

test('an order that came before the other services ever ran waits for them', async () => {
  const [id = ''] = await orderAll(['first']);
  expect(await campus.findOrder(id)).toMatchObject({ status: 'placed', studentId: 's-1001' });
  await Promise.all([campus.start('inventory'), campus.start('notification')]);
  await campus.ended(id);
});

test('orders are accepted while inventory is stopped, and all of them come to their end when it is back', async () => {
  await campus.stop('inventory');
  const ids = await orderAll(keysOf('backlog', 60));
  expect(new Set(ids).size).toBe(60);
  expect(await countOf('order-events')).toBe(60);
  const waiting = await Promise.all(ids.map((id) => campus.findOrder(id)));
  expect(waiting.map((order) => order?.status)).toEqual(ids.map(() => 'placed'));

  await campus.start('inventory');
  const ended = await Promise.all(ids.map((id) => campus.ended(id)));
  const wanted = ids.map((id) => (isReserved(id) ? 'reserved' : 'failed'));
  expect(ended.map(({ status }) => status)).toEqual(wanted);
  expect(new Set(wanted)).toEqual(new Set(['reserved', 'failed']));
  expect(await countOf('order-events')).toBe(0);
});

test('students are notified of what was reserved, and of nothing else', async () => {
  const [lucky, unlucky] = [unseenOrder(), unseenOrder(false)];
  await sendEvent('orders', placedEvent(unlucky));
  await sendEvent('orders', placedEvent(lucky));
  expect((await campus.ended(unlucky.id)).status).toBe('failed');
  expect((await campus.ended(lucky.id)).status).toBe('reserved');
  await notified(lucky.id);
  expect(await notificationsOf(unlucky.id)).toEqual([]);
  expect(await countOf('notifications')).toBe(0);
});

test('inventory killed in the middle of a backlog goes on, and every order comes to its end once', async () => {
  await campus.stop('inventory');
  const ids = await orderAll(keysOf('killed', 80));
  await campus.start('inventory');
  await Promise.any(ids.map((id) => campus.ended(id)));
  await campus.kill('inventory');
  await campus.start('inventory');
  await Promise.all(ids.map((id) => campus.ended(id)));
  await passThrough();
  for (const id of ids) expect(await notificationsOf(id), id).toHaveLength(isReserved(id) ? 1 : 0);
});

test('an event that is delivered twice has its effect once', async () => {
  const order = unseenOrder();
  const placed = placedEvent(order);
  await sendEvent('orders', placed);
  await sendEvent('orders', placed);
  const { decidedAt } = (await campus.ended(order.id)) as { decidedAt?: string };
  // Inventory's decision once more, as a crash before its ack would send it, and one that says the contrary.
  const again = { order, decidedAt: new Date().toISOString() };
  await sendEvent('inventory', decisionEvent(placed.id, 'reserved', again));
  await sendEvent('inventory', decisionEvent(placed.id, 'failed', again));
  await passThrough();
  expect(await reservationsOf(order.id)).toHaveLength(1);
  expect(await notificationsOf(order.id)).toHaveLength(1);
  expect(await campus.findOrder(order.id)).toMatchObject({ status: 'reserved', decidedAt });
});

test('inventory tells what it had decided before it died, and does not decide again', async () => {
  const order = unseenOrder(false);
  const placed = placedEvent(order);
  await campus.mongo
    .collection<{ _id: string }>('reservations')
    .insertOne({ _id: placed.id, order, outcome: 'reserved', decidedAt: new Date() } as { _id: string });
  await sendEvent('orders', placed);
  expect((await campus.ended(order.id)).status).toBe('reserved');
});

test('a poison message reaches order-events-dlq, with the reason, and the others go on', async () => {
  const poison = { ...placedEvent(unseenOrder()), id: 'poison', data: { dishes: 'none' } };
  await send('orders', 'order.placed', '{"no JSON');
  await sendEvent('orders', poison);
  const [id = ''] = await orderAll(['behind-the-poison']);
  await campus.ended(id);
  await waitUntil(async () => (await countOf('order-events-dlq')) === 2, {
    deadlineMs: 20_000,
    what: 'not both are dead letters',
  });
  const letters = await campus.stranger(async (channel) => [
    await channel.get('order-events-dlq', { noAck: true }),
    await channel.get('order-events-dlq', { noAck: true }),
  ]);
  const found = letters.flatMap((letter) => letter || []);
  const contents = found.map(({ content }) => String(content));
  expect(contents.sort()).toEqual(['{"no JSON', JSON.stringify(poison)].sort());
  const reasons = found.map(({ properties }) => properties.headers?.['x-error']);
  expect(reasons).toContainEqual(expect.stringContaining('order.placed poison is malformed'));
  expect(await countOf('order-events')).toBe(0);
});

test('without RabbitMQ an order is refused with 503, and the same key is an order once it is back', async () => {
  await campus.stopRabbit();
  const refused = await campus.order('away');
  expect(refused).toMatchObject({ status: 503, body: { type: '/problems/unavailable' } });
  expect(refused.headers.get('retry-after')).toBe('1');
  expect(refused.headers.get('idempotency-key')).toBe('away');
  expect((await campus.ask('order', '/health')).body.dependencies).toEqual({
    mongodb: 'up',
    rabbitmq: 'down',
  });
  expect(await campus.findOrder(orderIdOf('s-1001', 'away'))).toBeNull();

  await campus.startRabbit();
  const accepted = await waitUntil(
    async () => {
      const answer = await campus.order('away');
      return answer.status === 202 ? answer : null;
    },
    { deadlineMs: 20_000, what: 'orders are still refused' },
  );
  expect(accepted.body.orderId).toBe(orderIdOf('s-1001', 'away'));
  await campus.ended(accepted.body.orderId);
});

test('the same key is the same order, and with other dishes it is refused', async () => {
  const [first, second] = [await campus.order('twice'), await campus.order('twice')];
  expect(first.headers.get('location')).toBe(`/orders/${first.body.orderId}`);
  expect(second.body.orderId).toBe(first.body.orderId);
  const other = await campus.ask('order', '/order', {
    body: { studentId: 's-1001', dishes: [{ dish: 'cake', quantity: 1 }] },
    headers: { 'Idempotency-Key': 'twice' },
  });
  expect(other).toMatchObject({ status: 422, body: { type: '/problems/key-reused' } });
  expect((await campus.order('twice', 's-1002')).body.orderId).not.toBe(first.body.orderId);
});

const dishes = [{ dish: 'noodles', quantity: 1 }];
test.each([
  ['an empty body', {}, ['studentId', 'dishes']],
  ['no dishes', { studentId: 's-1001', dishes: [] }, ['dishes']],
  ['a student id of spaces', { studentId: '   ', dishes }, ['studentId']],
  ['a query instead of a student', { studentId: { $ne: null }, dishes }, ['studentId']],
  ['half a dish', { studentId: 's-1', dishes: [{ dish: 'tea', quantity: 0.5 }] }, ['dishes.0.quantity']],
  ['minus one dish', { studentId: 's-1', dishes: [{ dish: 'tea', quantity: -1 }] }, ['dishes.0.quantity']],
  ['a price', { studentId: 's-1001', dishes, price: 1 }, ['price']],
])('an order with %s is refused, and the fields are named', async (_what, body, fields) => {
  const answer = await campus.ask('order', '/order', { body });
  expect(answer).toMatchObject({ status: 400, body: { type: '/problems/invalid-input' } });
  expect(answer.headers.get('content-type')).toContain('application/problem+json');
  expect(answer.body.errors.map(({ field }: { field: string }) => field)).toEqual(fields);
});

test('what is no JSON, too long a list or an unknown order is refused in the same form', async () => {
  expect((await campus.ask('order', '/order', { body: '{"studentId"' })).status).toBe(400);
  expect((await campus.ask('order', '/orders?limit=1000')).body.errors[0].field).toBe('limit');
  expect((await campus.ask('order', '/orders/no-such-order')).body.type).toBe('/problems/not-found');
});

test('luck is the same each time, and as likely as it was set', () => {
  const ids = Array.from({ length: 10_000 }, (_, n) => `event-${n}`);
  const share = (of: number, seed: string) => ids.filter((id) => isLucky(of, seed, id)).length / ids.length;
  expect(share(0.9, 'a')).toBeCloseTo(0.9, 1.5);
  expect(ids.map((id) => isLucky(0.9, 'a', id))).toEqual(ids.map((id) => isLucky(0.9, 'a', id)));
  expect(ids.map((id) => isLucky(0.9, 'a', id))).not.toEqual(ids.map((id) => isLucky(0.9, 'b', id)));
  expect([share(0, 'a'), share(1, 'a')]).toEqual([0, 1]);
});
