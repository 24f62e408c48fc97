import { nanoid } from 'nanoid';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import type { Order, OrderPage, SaleSnapshot } from '../../sale/contract.ts';
import { keysOf } from '../../sale/shard.ts';
import { pauseQueues, resumeQueues } from '../support/bull.ts';
import { startSystem, type TestSystem } from '../support/harness.ts';

let system: TestSystem;
beforeAll(async () => {
  system = await startSystem({ nginx: false });
});
afterAll(async () => {
  await system.quiet();
  expect(await system.audit()).toMatchObject({ ok: true });
  await system.close();
});

async function buyPaid(sale: SaleSnapshot, { quantity = 1, token = system.buyerToken() } = {}) {
  const { status, body } = await system.buy(sale.id, token, { quantity });
  expect(status).toBe(202);
  return { token, order: await system.settled(body.orderId, token) };
}
const cancel = (orderId: string, token: string, server = 0) =>
  system.api<Order>('DELETE', `/api/orders/${orderId}`, { token, at: system.servers[server]?.url ?? '' });
const pay = (orderId: string, token: string) =>
  system.api<Order>('POST', `/api/orders/${orderId}/payment`, { token });

test('a cancelled order’s units return to the sale, to its gate and to the buyer’s limit', async () => {
  const sale = await system.createSale({ stock: 2, limitPerBuyer: 2 });
  const { token, order } = await buyPaid(sale, { quantity: 2 });
  expect((await system.buy(sale.id, token)).status).toBe(409);

  const cancelled = await cancel(order.id, token);
  expect(cancelled).toMatchObject({ status: 200, body: { ...order, status: 'cancelled' } });
  const { body } = await system.api('GET', `/api/sales/${sale.id}`);
  expect(body).toMatchObject({ stock: 2, stockVersion: 2, unitsOnSale: 2, status: 'open' });
  expect((await buyPaid(sale, { quantity: 2, token })).order.status).toBe('paid');
});

test('cancelling twice, also on both instances at once, has one effect', async () => {
  const sale = await system.createSale({ stock: 5 });
  const { token, order } = await buyPaid(sale);
  const answers = await Promise.all(
    Array.from({ length: 20 }, (_, index) => cancel(order.id, token, index % 2)),
  );
  expect(answers.map(({ status }) => status)).toEqual(Array(20).fill(200));
  expect((await system.api('GET', `/api/sales/${sale.id}`)).body).toMatchObject({
    stock: 5,
    stockVersion: 2,
  });
  const rest = await Promise.all(Array.from({ length: 8 }, () => system.buy(sale.id, system.buyerToken())));
  expect(rest.filter(({ status }) => status === 202)).toHaveLength(5);
});

test('a resend with the key of a cancelled order gets the cancelled order', async () => {
  const sale = await system.createSale({ stock: 5 });
  const [token, key] = [system.buyerToken(), nanoid()];
  const { body } = await system.buy(sale.id, token, { key });
  await system.settled(body.orderId, token);
  await cancel(body.orderId, token);
  expect((await system.buy(sale.id, token, { key })).body.orderId).toBe(body.orderId);
  await system.quiet();
  expect((await system.settled(body.orderId, token)).status).toBe('cancelled');
});

test('a paid order can be paid again without effect, a cancelled one cannot', async () => {
  const sale = await system.createSale();
  const { token, order } = await buyPaid(sale);
  for (const answer of [await pay(order.id, token), await pay(order.id, token)]) {
    expect([answer.status, answer.body]).toEqual([200, order]);
  }
  await cancel(order.id, token);
  expect(await pay(order.id, token)).toMatchObject({ status: 409, body: { type: '/problems/not-payable' } });
});

test('a rejected order can be neither paid nor cancelled', async () => {
  const sale = await system.createSale({ stock: 1 });
  await buyPaid(sale);
  // The gate counts too many units, as after a lost Redis, and MongoDB decides.
  const redis = system.store.redis;
  await redis.hset(system.store.gate.keyOf(sale.id), 'left', 1);
  const token = system.buyerToken();
  const { body } = await system.buy(sale.id, token);
  expect(await system.settled(body.orderId, token)).toMatchObject({ status: 'rejected', reason: 'sold_out' });
  expect(await pay(body.orderId, token)).toMatchObject({
    status: 409,
    body: { type: '/problems/not-payable' },
  });
  expect(await cancel(body.orderId, token)).toMatchObject({
    status: 409,
    body: { type: '/problems/not-cancellable' },
  });
});

test('another buyer’s order is 404 for reading, paying and cancelling', async () => {
  const sale = await system.createSale();
  const { order, token } = await buyPaid(sale);
  const stranger = system.buyerToken();
  const unknown = await system.api('GET', `/api/orders/${'x'.repeat(22)}`, { token: stranger });
  for (const answer of [
    await system.api('GET', `/api/orders/${order.id}`, { token: stranger }),
    await system.api('GET', `/api/orders/${order.id}`, { token: system.adminToken }),
    await pay(order.id, stranger),
    await cancel(order.id, stranger),
  ]) {
    expect(answer.status).toBe(404);
    expect(answer.body.type).toBe(unknown.body.type);
  }
  expect((await system.settled(order.id, token)).status).toBe('paid');
});

test('a buyer reads all of their own orders in pages, newest first, each once', async () => {
  const sale = await system.createSale({ stock: 50, limitPerBuyer: 20 });
  const token = system.buyerToken();
  await buyPaid(sale);
  // At once, so that many share a millisecond, where a cursor of the time alone would skip some.
  const bought = await Promise.all(Array.from({ length: 11 }, () => system.buy(sale.id, token)));
  await system.quiet();

  const seen: Order[] = [];
  let [cursor, pages] = ['', 0];
  for (let more = true; more; pages++) {
    const query = `limit=3${cursor && `&cursor=${encodeURIComponent(cursor)}`}`;
    const { status, body } = await system.api<OrderPage>('GET', `/api/orders?${query}`, { token });
    expect(status).toBe(200);
    expect(body.orders.length).toBeLessThanOrEqual(3);
    seen.push(...body.orders);
    cursor = body.nextCursor ?? '';
    more = body.nextCursor !== null;
  }
  expect(pages).toBe(4);
  expect(seen.map(({ id }) => id).sort()).toEqual(bought.map(({ body }) => body.orderId).sort());
  const times = seen.map(({ createdAt }) => createdAt);
  expect(times).toEqual([...times].sort().reverse());
});

test('queued purchases are listed once, together with settled ones', async () => {
  const sale = await system.createSale({ stock: 50, limitPerBuyer: 20 });
  const token = system.buyerToken();
  await buyPaid(sale, { token });
  await buyPaid(sale, { token });
  await pauseQueues(system.store.queue);
  try {
    for (let n = 0; n < 3; n++) expect((await system.buy(sale.id, token)).status).toBe(202);
    await system.buy(sale.id, system.buyerToken());
    const list = async (query: string) =>
      (await system.api<OrderPage>('GET', `/api/orders?${query}`, { token })).body;
    const whole = await list('limit=20');
    expect(whole.orders.map(({ status }) => status)).toEqual(['queued', 'queued', 'queued', 'paid', 'paid']);
    const paged: Order[] = [];
    for (let cursor: string | null = ''; cursor !== null; ) {
      const page: OrderPage = await list(`limit=2${cursor && `&cursor=${cursor}`}`);
      paged.push(...page.orders);
      cursor = page.nextCursor;
    }
    expect(paged).toEqual(whole.orders);
  } finally {
    await resumeQueues(system.store.queue);
  }
});

test('in a long queue the newest purchases of all shards are searched, as many as of one', async () => {
  const { redis, gate } = system.store;
  const acceptedAtMs = Date.now();
  const purchase = {
    saleId: 'none',
    quantity: 1,
    idempotencyKey: nanoid(),
    createdAt: new Date().toISOString(),
  };
  const queue = async (shard: number, count: number, buyerId: string) => {
    const { queued, purchases } = keysOf(shard);
    const ids = Array.from({ length: count }, () => nanoid());
    const texts = ids.flatMap((orderId) => [
      purchases + orderId,
      JSON.stringify({ ...purchase, orderId, buyerId }),
    ]);
    await redis.zadd(queued, ...ids.flatMap((id, n) => [acceptedAtMs + n, id]));
    await redis.mset(...texts);
    return async () => void (await redis.del(queued, ...ids.map((id) => purchases + id)));
  };
  const remove = [await queue(0, 15_000, 'another'), await queue(1, 9_000, 'another')];
  const listed = vi.spyOn(redis, 'zrange');
  try {
    remove.push(await queue(2, 1, 'somebody'));
    const { purchases, isComplete } = await gate.listQueuedOf('somebody');
    expect([purchases.length, isComplete]).toEqual([1, false]);
    const answers = await Promise.all(listed.mock.results.map(({ value }) => value));
    const count = answers.flat().length;
    expect(count).toBeGreaterThan(19_000);
    expect(count).toBeLessThan(20_010);
    await remove.shift()?.();
    expect(await gate.listQueuedOf('another')).toMatchObject({ isComplete: true });
  } finally {
    listed.mockRestore();
    for (const one of remove) await one();
  }
});

test('a buyer without orders reads an empty page', async () => {
  const { body } = await system.api('GET', '/api/orders', { token: system.buyerToken() });
  expect(body).toEqual({ orders: [], nextCursor: null });
});
