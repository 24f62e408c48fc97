import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { isLucky } from '../../examples/campus-food/chance.ts';
import { type Event, event as eventSchema, routes, uuidOf } from '../../examples/campus-food/contract.ts';
import { waitUntil } from '../../ops/local/processes/process.mjs';
import { type CampusTestbed, openCampus } from './campus-testbed.ts';

const chance = 0.9;
const seed = 'lunch';
let campus: CampusTestbed;
beforeAll(async () => {
  campus = await openCampus({ RESERVE_CHANCE: String(chance), SEED: seed, EVENT_RETRY_FIRST_MS: '50' });
});
afterAll(() => campus?.close());

const isReserved = (eventId: string) => isLucky(chance, seed, eventId);

/** An OrderPlaced event of an order that no OrderService created, whose random outcome is known. */
function unseenOrder(lucky = true): Event {
  const event_id = randomUUID();
  if (isReserved(event_id) !== lucky) return unseenOrder(lucky);
  const about = { order_id: randomUUID(), user_id: 's-2002', item: 'tea', quantity: 1 };
  return { event_id, event_type: 'OrderPlaced', timestamp: new Date().toISOString(), ...about };
}

/** Places orders with these keys, which must all be accepted. @returns their ids. */
async function orderAll(keys: string[]): Promise<string[]> {
  const answers = await Promise.all(keys.map((key) => campus.order(key)));
  expect(answers.filter(({ status }) => status !== 202)).toEqual([]);
  return answers.map(({ body }) => body.order_id);
}

const keysOf = (what: string, count: number) => Array.from({ length: count }, (_, n) => `${what}-${n}`);

const send = (exchange: string, key: string, content: string, messageId: string = randomUUID()) =>
  campus.stranger(async (channel) =>
    channel.publish(exchange, key, Buffer.from(content), { persistent: true, messageId }),
  );
function sendEvent(event: Event) {
  const { exchange, routingKey } = routes[event.event_type];
  return send(exchange, routingKey, JSON.stringify(event), event.event_id);
}

const countOf = (queue: string) =>
  campus.stranger(async (channel) => (await channel.checkQueue(queue)).messageCount);

async function notificationsOf(orderId: string): Promise<unknown[]> {
  const { body } = await campus.ask('notification', '/notifications');
  return body.notifications.filter((sent: Event) => sent.order_id === orderId);
}

const notified = (orderId: string) =>
  waitUntil(async () => (await notificationsOf(orderId)).length > 0, {
    deadlineMs: 20_000,
    what: `no notification for ${orderId}`,
  });

const decisionsOf = (orderId: string) =>
  campus.mongo.collection('inventory_decisions').countDocuments({ 'result.order_id': orderId });

/** Waits until the queues are empty and no message is unacknowledged. It does not wait for stopped services. */
async function quiet(): Promise<void> {
  for (const queue of ['order-events', 'inventory-events', 'order-status'])
    await waitUntil(async () => (await countOf(queue)) === 0, {
      deadlineMs: 20_000,
      what: `${queue} is not empty`,
    });
}

/** The events that inventory publishes while `work` runs, and until `isDone`. */
async function resultsDuring(work: () => Promise<void>): Promise<Event[]> {
  const queue = `heard-${randomUUID()}`;
  await campus.stranger(async (channel) => {
    await channel.assertQueue(queue, { durable: false, autoDelete: false, expires: 60_000 });
    await channel.bindQueue(queue, 'inventory', 'inventory.*');
  });
  await work();
  return await campus.stranger(async (channel) => {
    const heard: Event[] = [];
    for (;;) {
      const message = await channel.get(queue, { noAck: true });
      if (!message) break;
      expect(message.properties).toMatchObject({ deliveryMode: 2, contentType: 'application/json' });
      const event = eventSchema.parse(JSON.parse(message.content.toString()));
      expect(message.properties.messageId).toBe(event.event_id);
      heard.push(event);
    }
    await channel.deleteQueue(queue);
    return heard;
  });
}

test('an order placed before the other services ever ran is handled when they start', async () => {
  const [id = ''] = await orderAll(['first']);
  expect(await campus.findOrder(id)).toMatchObject({ status: 'accepted', user_id: 's-1001' });
  await Promise.all([campus.start('inventory'), campus.start('notification')]);
  await campus.decided(id);
});

test('an accepted order is answered as documented, and can be read with its status', async () => {
  const body = { user_id: 's-7', item: 'cake', quantity: 3 };
  const { status, headers, body: receipt } = await campus.ask('order', '/order', { body });
  expect(status).toBe(202);
  expect(receipt).toEqual({
    order_id: expect.stringMatching(/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/),
    status: 'accepted',
    message: 'Order received and being processed',
    timestamp: expect.stringMatching(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/),
  });
  expect(headers.get('location')).toBe(`/orders/${receipt.order_id}`);
  const decided = await campus.decided(receipt.order_id);
  expect(decided).toMatchObject({ ...body, order_id: receipt.order_id, timestamp: receipt.timestamp });
  const { body: page } = await campus.ask('order', '/orders?limit=1');
  expect(page.orders[0]).toEqual(decided);
  const { body: rest } = await campus.ask('order', `/orders?cursor=${page.next_cursor}`);
  expect(rest.orders.map((order: Event) => order.order_id)).not.toContain(receipt.order_id);
  expect(rest.next_cursor).toBeNull();
  expect(await campus.ask('order', `/orders/${randomUUID()}`)).toMatchObject({ status: 404 });
});

test('exchanges and queues are durable and bound as documented', async () => {
  // A passive or repeated declaration with other properties would be refused.
  await campus.stranger(async (channel) => {
    for (const exchange of ['orders', 'inventory', 'dlx'])
      await channel.assertExchange(exchange, 'topic', { durable: true });
    await channel.assertQueue('order-events', {
      durable: true,
      deadLetterExchange: 'dlx',
      deadLetterRoutingKey: 'order-events-dlq',
    });
    await channel.assertQueue('order-events-dlq', { durable: true });
    await channel.checkQueue('inventory-events');
  });
  const before = await countOf('order-events-dlq');
  await send('dlx', 'order-events-dlq', 'a letter');
  expect(await countOf('order-events-dlq')).toBe(before + 1);
  await campus.stranger((channel) => channel.purgeQueue('order-events-dlq'));
});

test('orders are accepted while inventory is stopped, and all are decided after its restart', async () => {
  await quiet();
  await campus.stop('inventory');
  const ids = await orderAll(keysOf('backlog', 60));
  expect(new Set(ids).size).toBe(60);
  await waitUntil(async () => (await countOf('order-events')) === 60, {
    deadlineMs: 20_000,
    what: 'not every order was published once',
  });
  const waiting = await Promise.all(ids.map((id) => campus.findOrder(id)));
  expect(waiting.map((order) => order?.status)).toEqual(ids.map(() => 'accepted'));

  await campus.start('inventory');
  await Promise.all(ids.map((id) => campus.decided(id)));
  expect(await countOf('order-events')).toBe(0);
});

test('users are notified of reserved orders only', async () => {
  const [lucky, unlucky] = [unseenOrder(), unseenOrder(false)];
  await sendEvent(unlucky);
  await sendEvent(lucky);
  expect((await campus.decided(unlucky.order_id)).status).toBe('failed');
  expect((await campus.decided(lucky.order_id)).status).toBe('reserved');
  await notified(lucky.order_id);
  expect(await notificationsOf(unlucky.order_id)).toEqual([]);
});

test('inventory decides each order once when it is killed in the middle of a backlog', async () => {
  await campus.stop('inventory');
  const ids = await orderAll(keysOf('killed', 80));
  const results = await resultsDuring(async () => {
    await campus.start('inventory');
    await Promise.any(ids.map((id) => campus.decided(id)));
    await campus.kill('inventory');
    await campus.start('inventory');
    await Promise.all(ids.map((id) => campus.decided(id)));
    await quiet();
  });
  for (const id of ids) {
    // Killed between publishing and marking it as published, it publishes the same result again.
    const own = results.filter(({ order_id }) => order_id === id);
    expect(new Set(own.map(({ event_id }) => event_id)).size, id).toBe(1);
    expect(await decisionsOf(id), id).toBe(1);
    const reserved = own[0]?.event_type === 'InventoryReserved';
    if (reserved) await notified(id);
    expect(await notificationsOf(id), id).toHaveLength(reserved ? 1 : 0);
  }
});

test('an event delivered twice has one effect', async () => {
  const placed = unseenOrder();
  const results = await resultsDuring(async () => {
    await Promise.all([sendEvent(placed), sendEvent(placed)]);
    await notified(placed.order_id);
    await quiet();
  });
  const own = results.filter(({ order_id }) => order_id === placed.order_id);
  expect(own).toHaveLength(1);
  const [result] = own as [Event];
  const { decided_at } = await campus.decided(placed.order_id);
  // The result again, as after a crash before the acknowledgement, and a contradicting one.
  await sendEvent(result);
  await sendEvent({ ...result, event_id: randomUUID(), event_type: 'InventoryFailed' });
  await quiet();
  const last = unseenOrder();
  await sendEvent(last);
  await notified(last.order_id);
  expect(await decisionsOf(placed.order_id)).toBe(1);
  expect(await notificationsOf(placed.order_id)).toHaveLength(1);
  expect(await campus.findOrder(placed.order_id)).toMatchObject({ status: 'reserved', decided_at });
});

test('two inventory instances share a backlog, and decide each order once', async () => {
  await campus.stop('inventory');
  const ids = await orderAll(keysOf('shared', 60));
  const stopSecond = await campus.startAnother('inventory');
  const results = await resultsDuring(async () => {
    await campus.start('inventory');
    await Promise.all(ids.map((id) => campus.decided(id)));
    await quiet();
  });
  await stopSecond();
  for (const id of ids) expect(await decisionsOf(id), id).toBe(1);
  const events = results.filter(({ order_id }) => ids.includes(order_id)).map(({ event_id }) => event_id);
  expect(new Set(events).size).toBe(events.length);
});

test('inventory publishes decisions made before it was killed, and does not decide again', async () => {
  const placed = unseenOrder(false);
  const { event_id, ...about } = placed;
  const result = { ...about, event_id: randomUUID(), event_type: 'InventoryReserved' };
  await campus.mongo.collection<{ _id: string }>('inventory_decisions').insertOne({
    _id: event_id,
    result,
    decidedAt: new Date(),
    publishedAt: null,
    claimedUntil: new Date(0),
  } as { _id: string });
  await sendEvent(placed);
  expect((await campus.decided(placed.order_id)).status).toBe('reserved');
});

test('a poison message reaches order-events-dlq unchanged, with the reason, and others are handled', async () => {
  const { quantity, ...poison } = unseenOrder();
  await send('orders', 'order.placed', '{"no JSON');
  await send('orders', 'order.placed', JSON.stringify(poison), poison.event_id);
  const [id = ''] = await orderAll(['behind-the-poison']);
  await campus.decided(id);
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
  expect(reasons).toContainEqual(expect.stringContaining('quantity'));
  expect(reasons).toContainEqual(expect.stringContaining('Not JSON'));

  await sendEvent({ ...poison, quantity: 2 });
  expect(await campus.decided(poison.order_id)).toMatchObject({ status: 'reserved', quantity: 2 });
});

test('orders are kept while RabbitMQ is down, and published when it is back', async () => {
  await campus.stopRabbit();
  const [id = ''] = await orderAll(['away']);
  expect(await campus.findOrder(id)).toMatchObject({ status: 'accepted' });
  expect((await campus.ask('order', '/health')).body.dependencies).toEqual({
    mongodb: 'up',
    rabbitmq: 'down',
  });
  await campus.startRabbit();
  await campus.decided(id);
});

test('an order that a killed OrderService did not publish is published by the next instance', async () => {
  await campus.stopRabbit();
  const [id = ''] = await orderAll(['orphan']);
  await campus.kill('order');
  await campus.startRabbit();
  await campus.start('order');
  await campus.decided(id);
});

test('the same key returns the same order, and is refused with another order', async () => {
  const [first, second] = await Promise.all([campus.order('twice'), campus.order('twice')]);
  expect(second.body.order_id).toBe(first.body.order_id);
  expect(first.body.order_id).toBe(uuidOf('s-1001', 'twice'));
  const other = await campus.ask('order', '/order', {
    body: { user_id: 's-1001', item: 'cake', quantity: 1 },
    headers: { 'Idempotency-Key': 'twice' },
  });
  expect(other).toMatchObject({ status: 422, body: { type: '/problems/key-reused' } });
  expect((await campus.order('twice', 's-1002')).body.order_id).not.toBe(first.body.order_id);
});

const order = { user_id: 's-1001', item: 'noodles', quantity: 1 };
test.each([
  ['an empty body', {}, ['user_id', 'item', 'quantity']],
  ['a user of spaces', { ...order, user_id: '   ' }, ['user_id']],
  ['a query instead of a user', { ...order, user_id: { $ne: null } }, ['user_id']],
  ['half an item', { ...order, quantity: 0.5 }, ['quantity']],
  ['no item', { ...order, quantity: 0 }, ['quantity']],
  ['minus one item', { ...order, quantity: -1 }, ['quantity']],
  ['a quantity in quotes', { ...order, quantity: '1' }, ['quantity']],
  ['a price', { ...order, price: 1 }, ['price']],
])('an order with %s is refused, and the fields are named', async (_what, body, fields) => {
  const answer = await campus.ask('order', '/order', { body });
  expect(answer).toMatchObject({ status: 400, body: { type: '/problems/invalid-input' } });
  expect(answer.body.errors.map(({ field }: { field: string }) => field)).toEqual(fields);
});

test('invalid JSON, a page size over the limit and an unknown order are refused in the same format', async () => {
  expect((await campus.ask('order', '/order', { body: '{"user_id"' })).status).toBe(400);
  expect((await campus.ask('order', '/orders?limit=1001')).body.errors[0].field).toBe('limit');
  expect((await campus.ask('order', '/orders/no-such-order')).body.type).toBe('/problems/not-found');
});

test('the random decision for an event is always the same, and has the configured probability', () => {
  const ids = Array.from({ length: 10_000 }, (_, n) => `event-${n}`);
  const share = (of: number, seed: string) => ids.filter((id) => isLucky(of, seed, id)).length / ids.length;
  expect(share(0.9, 'a')).toBeCloseTo(0.9, 1.5);
  expect(ids.map((id) => isLucky(0.9, 'a', id))).toEqual(ids.map((id) => isLucky(0.9, 'a', id)));
  expect(ids.map((id) => isLucky(0.9, 'a', id))).not.toEqual(ids.map((id) => isLucky(0.9, 'b', id)));
  expect([share(0, 'a'), share(1, 'a')]).toEqual([0, 1]);
});
