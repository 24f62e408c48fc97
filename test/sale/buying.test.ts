import { nanoid } from 'nanoid';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Order } from '../../sale/contract.ts';
import { startSystem, type TestSystem } from '../support/harness.ts';

let system: TestSystem;
beforeAll(async () => {
  system = await startSystem();
});
afterAll(() => system.close());

const at = (server: number) => system.servers[server % 2]?.url ?? '';
const orderOf = (orderId: string, token: string, server = 0) =>
  system.api<Order>('GET', `/api/orders/${orderId}`, { token, at: at(server) });
const statuses = (answers: { status: number }[]) => {
  const counts: Record<number, number> = {};
  for (const { status } of answers) counts[status] = (counts[status] ?? 0) + 1;
  return counts;
};

async function expectSound(): Promise<void> {
  await system.quiet();
  const report = await system.audit();
  expect(report).toMatchObject({ ok: true, queued: 0 });
  expect(report.orders).toBeGreaterThan(0);
}

test('an accepted purchase is queued on every instance until a worker settles it', async () => {
  await system.workers[0]?.close();
  const sale = await system.createSale({ stock: 3 });
  const [token, stranger] = [system.buyerToken(), system.buyerToken()];
  const bought = await system.buy(sale.id, token, { at: at(0) });
  expect(bought.status).toBe(202);
  const { orderId } = bought.body;

  const queued = await orderOf(orderId, token, 1);
  expect(queued.body).toMatchObject({
    id: orderId,
    saleId: sale.id,
    quantity: 1,
    status: 'queued',
    settledAt: null,
  });
  expect((await orderOf(orderId, stranger, 1)).status).toBe(404);
  for (const [method, path] of [
    ['POST', `/api/orders/${orderId}/payment`],
    ['DELETE', `/api/orders/${orderId}`],
  ] as const) {
    const early = await system.api(method, path, { token, at: at(1) });
    expect([early.status, early.body.type]).toEqual([409, '/problems/not-settled']);
  }
  expect((await system.audit()).queued).toBe(1);

  await system.startWorker();
  expect(await system.settled(orderId, token)).toMatchObject({ id: orderId, status: 'paid' });
  expect((await orderOf(orderId, stranger)).status).toBe(404);
});

test('a buyer signs up, buys, and the order is paid', async () => {
  const sale = await system.createSale({ stock: 3 });
  const { token } = await system.signUp();

  const bought = await system.buy(sale.id, token);
  expect(bought.status).toBe(202);
  expect(bought.body).toMatchObject({ status: 'queued' });
  expect(bought.headers.get('location')).toBe(`/api/orders/${bought.body.orderId}`);
  expect(bought.headers.get('retry-after')).toBe('1');

  const order = await system.settled(bought.body.orderId, token);
  expect(order).toMatchObject({
    saleId: sale.id,
    quantity: 1,
    status: 'paid',
    reason: null,
    holdExpiresAt: null,
  });
  const { body: after } = await system.api('GET', `/api/sales/${sale.id}`);
  expect(after).toMatchObject({ stock: 2, stockVersion: 1, unitsOnSale: 3, status: 'open' });
});

test('100 concurrent requests with one key over both instances give one order', async () => {
  const sale = await system.createSale({ stock: 500, limitPerBuyer: 500 });
  const token = system.buyerToken();
  const key = nanoid();
  const answers = await Promise.all(
    Array.from({ length: 100 }, (_, index) => system.buy(sale.id, token, { key, at: at(index) })),
  );
  expect(statuses(answers)).toEqual({ 202: 100 });
  expect(new Set(answers.map(({ body }) => body.orderId)).size).toBe(1);

  const { orderId } = answers[0]?.body ?? { orderId: '' };
  await system.settled(orderId, token);
  const resent = await system.buy(sale.id, token, { key, at: at(1) });
  expect([resent.status, resent.body.orderId]).toEqual([202, orderId]);
  await system.quiet();
  const { body } = await system.api('GET', '/api/orders', { token });
  expect(body.orders.map(({ id }: Order) => id)).toEqual([orderId]);
  expect((await system.api('GET', `/api/sales/${sale.id}`)).body.stock).toBe(499);
});

test('a reused key with another quantity is refused, and is another purchase in another sale', async () => {
  const [sale, other] = [await system.createSale({ stock: 9, limitPerBuyer: 9 }), await system.createSale()];
  const token = system.buyerToken();
  const key = nanoid();
  const { body } = await system.buy(sale.id, token, { key });
  const again = await system.buy(sale.id, token, { key, quantity: 2, at: at(1) });
  expect(again).toMatchObject({ status: 422, body: { type: '/problems/key-reused' } });
  const elsewhere = await system.buy(other.id, token, { key, at: at(1) });
  expect(await system.settled(elsewhere.body.orderId, token)).toMatchObject({ saleId: other.id });
  expect(await system.settled(body.orderId, token)).toMatchObject({ saleId: sale.id, quantity: 1 });
});

test('two buyers with the same key get an order each', async () => {
  const sale = await system.createSale();
  const key = nanoid();
  const [one, two] = [
    await system.buy(sale.id, system.buyerToken(), { key }),
    await system.buy(sale.id, system.buyerToken(), { key }),
  ];
  expect([one.status, two.status]).toEqual([202, 202]);
  expect(one.body.orderId).not.toBe(two.body.orderId);
});

test('the answer contains the key, which is generated when there was none', async () => {
  const sale = await system.createSale({ limitPerBuyer: 3 });
  const token = system.buyerToken();
  const own = await system.buy(sale.id, token, { key: 'my-own-key' });
  expect(own.headers.get('idempotency-key')).toBe('my-own-key');

  const without = () =>
    system.api('POST', `/api/sales/${sale.id}/purchases`, { token, body: { quantity: 1 } });
  const [first, second] = [await without(), await without()];
  const made = first.headers.get('idempotency-key') ?? '';
  expect(made.length).toBeGreaterThan(10);
  expect(second.headers.get('idempotency-key')).not.toBe(made);
  const resent = await system.buy(sale.id, token, { key: made });
  expect(resent.body.orderId).toBe(first.body.orderId);
});

test('50 concurrent purchases of one account get the limit and no more', async () => {
  const sale = await system.createSale({ stock: 100, limitPerBuyer: 3 });
  const token = system.buyerToken();
  const answers = await Promise.all(
    Array.from({ length: 50 }, (_, index) => system.buy(sale.id, token, { at: at(index) })),
  );
  expect(statuses(answers)).toEqual({ 202: 3, 409: 47 });
  const refused = answers.find(({ status }) => status === 409);
  expect(refused?.body).toMatchObject({ type: '/problems/over-limit' });
  await expectSound();
  expect((await system.api('GET', `/api/sales/${sale.id}`)).body.stock).toBe(97);
});

test('more buyers than units get exactly the stock, and the others the remaining count', async () => {
  const sale = await system.createSale({ stock: 40 });
  const crowd = Array.from({ length: 300 }, () => system.buyerToken());
  const answers = await Promise.all(
    crowd.map((token, index) => system.buy(sale.id, token, { at: at(index) })),
  );
  expect(statuses(answers)).toEqual({ 202: 40, 409: 260 });
  const refused = answers.filter(({ status }) => status === 409);
  for (const { body } of refused) expect(body).toMatchObject({ type: '/problems/sold-out', left: 0 });

  await expectSound();
  const { body: after } = await system.api('GET', `/api/sales/${sale.id}`);
  expect(after).toMatchObject({ stock: 0, status: 'sold_out' });
  const paid = await system.store.collections.orders.countDocuments({ saleId: sale.id, status: 'paid' });
  expect(paid).toBe(40);
});

test('a purchase of more units than are left is refused, and a smaller one is accepted', async () => {
  const sale = await system.createSale({ stock: 5, limitPerBuyer: 9 });
  await system.buy(sale.id, system.buyerToken(), { quantity: 3 });
  const tooMany = await system.buy(sale.id, system.buyerToken(), { quantity: 3 });
  expect(tooMany).toMatchObject({ status: 409, body: { type: '/problems/sold-out', left: 2 } });
  expect((await system.buy(sale.id, system.buyerToken(), { quantity: 2 })).status).toBe(202);
  await expectSound();
});
