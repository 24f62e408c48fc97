import { afterAll, beforeAll, expect, test } from 'vitest';
import { startSystem, type TestSystem } from '../support/harness.ts';

let system: TestSystem;
beforeAll(async () => {
  system = await startSystem({ nginx: false });
});
afterAll(() => system.close());

const hourMs = 3_600_000;
const inHours = (hours: number) => new Date(Date.now() + hours * hourMs);
/** Buys at the instance that did not make the last change. */
const buy = (saleId: string, options: { quantity?: number; token?: string } = {}) =>
  system.buy(saleId, options.token ?? system.buyerToken(), { ...options, at: system.servers[1]?.url ?? '' });
const statusOf = async (saleId: string) => (await system.api('GET', `/api/sales/${saleId}`)).body.status;

test('a purchase before the opening is refused with the opening time', async () => {
  const opensAt = inHours(1);
  const sale = await system.createSale({ opensAt, closesAt: inHours(2) });
  expect(sale.status).toBe('scheduled');
  const answer = await buy(sale.id);
  expect(answer).toMatchObject({
    status: 409,
    body: { type: '/problems/not-open', opensAt: opensAt.toISOString() },
  });
});

test('a purchase after the end is refused, even days later', async () => {
  for (const closesAt of [inHours(-1), inHours(-48)]) {
    const sale = await system.createSale({ opensAt: inHours(-72), closesAt });
    expect(sale.status).toBe('ended');
    for (const answer of [await buy(sale.id), await buy(sale.id)]) {
      expect(answer).toMatchObject({ status: 409, body: { type: '/problems/ended' } });
    }
  }
});

test('a paused sale refuses purchases until it is resumed', async () => {
  const sale = await system.createSale();
  expect((await buy(sale.id)).status).toBe(202);
  expect((await system.changeSale(sale.id, { paused: true })).status).toBe('paused');
  expect(await buy(sale.id)).toMatchObject({ status: 409, body: { type: '/problems/paused' } });
  expect((await system.changeSale(sale.id, { paused: false })).status).toBe('open');
  expect((await buy(sale.id)).status).toBe(202);
});

test('a sale paused before its first purchase refuses purchases', async () => {
  const sale = await system.createSale();
  await system.changeSale(sale.id, { paused: true });
  expect(await buy(sale.id)).toMatchObject({ status: 409, body: { type: '/problems/paused' } });
});

test('units added to a sold-out sale can be bought at once, and are shown to everyone', async () => {
  const sale = await system.createSale({ stock: 1 });
  expect((await buy(sale.id)).status).toBe(202);
  expect(await buy(sale.id)).toMatchObject({ status: 409, body: { type: '/problems/sold-out', left: 0 } });
  await system.quiet();
  expect(await statusOf(sale.id)).toBe('sold_out');

  const more = await system.changeSale(sale.id, { addStock: 2 });
  expect(more).toMatchObject({ stock: 2, unitsOnSale: 3, status: 'open', stockVersion: 2 });
  const answers = [await buy(sale.id), await buy(sale.id), await buy(sale.id)];
  expect(answers.map(({ status }) => status)).toEqual([202, 202, 409]);
  await system.quiet();
  expect(await system.audit()).toMatchObject({ ok: true });
});

test('units that several admins add at once are all added', async () => {
  const sale = await system.createSale({ stock: 0 });
  await buy(sale.id);
  await Promise.all(Array.from({ length: 10 }, () => system.changeSale(sale.id, { addStock: 1 })));
  const answers = await Promise.all(Array.from({ length: 15 }, () => buy(sale.id)));
  expect(answers.filter(({ status }) => status === 202)).toHaveLength(10);
  await system.quiet();
  const { body } = await system.api('GET', `/api/sales/${sale.id}`);
  expect(body).toMatchObject({ stock: 0, unitsOnSale: 10 });
});

test('changing the window opens, closes and reopens a sale', async () => {
  const sale = await system.createSale({ opensAt: inHours(1), closesAt: inHours(2) });
  expect((await buy(sale.id)).body).toMatchObject({ type: '/problems/not-open' });
  expect((await system.changeSale(sale.id, { opensAt: inHours(-1) })).status).toBe('open');
  expect((await buy(sale.id)).status).toBe(202);
  const soon = new Date(Date.now() - 1);
  expect((await system.changeSale(sale.id, { closesAt: soon })).status).toBe('ended');
  expect((await buy(sale.id)).body).toMatchObject({ type: '/problems/ended' });
  expect((await system.changeSale(sale.id, { closesAt: inHours(1) })).status).toBe('open');
  expect((await buy(sale.id)).status).toBe(202);
});

test('a sale that ended long ago can be opened again', async () => {
  const sale = await system.createSale({ opensAt: inHours(-72), closesAt: inHours(-48) });
  expect((await buy(sale.id)).status).toBe(409);
  await system.changeSale(sale.id, { closesAt: inHours(1) });
  expect((await buy(sale.id)).status).toBe(202);
});

test('a window that ends before it begins is refused', async () => {
  const sale = await system.createSale();
  const change = (body: object) =>
    system.api('PATCH', `/api/sales/${sale.id}`, { token: system.adminToken, body });
  const sooner = { ...sale, opensAt: inHours(2).toISOString() };
  for (const answer of [
    await change({ opensAt: sooner.opensAt, addStock: 5 }),
    await change({ closesAt: inHours(-5).toISOString() }),
    await change({ opensAt: sale.closesAt, closesAt: sale.opensAt }),
  ]) {
    expect(answer).toMatchObject({ status: 400, body: { errors: [{ field: 'closesAt' }] } });
  }
  const { body } = await system.api('GET', `/api/sales/${sale.id}`);
  expect(body).toEqual({ ...sale, serverTime: body.serverTime });
});

test.each([
  ['addStock', { addStock: 0 }],
  ['addStock', { addStock: -1 }],
  ['addStock', { addStock: 1e21 }],
  ['paused', { paused: 'yes' }],
  ['opensAt', { opensAt: 'tomorrow' }],
  ['stock', { stock: 1_000 }],
  ['stockVersion', { paused: true, stockVersion: 1 }],
  ['body', {}],
])('a change with a bad %s is refused by name: %j', async (field, change) => {
  const sale = await system.createSale();
  const path = `/api/sales/${sale.id}`;
  const answer = await system.api('PATCH', path, { token: system.adminToken, body: change });
  expect(answer.status).toBe(400);
  expect(answer.body.errors[0].field).toBe(field);
});

test('an unknown sale or product is answered 404', async () => {
  const nowhere = '/api/sales/no-such-sale';
  const asAdmin = { token: system.adminToken };
  const answers = [
    await system.api('GET', nowhere),
    await buy('no-such-sale'),
    await system.api('PATCH', nowhere, { ...asAdmin, body: { paused: true } }),
    await system.api('POST', '/api/sales', {
      ...asAdmin,
      body: {
        productId: 'no-such-product',
        price: { amount: 1, currency: 'EUR' },
        stock: 1,
        opensAt: inHours(0),
        closesAt: inHours(1),
      },
    }),
  ];
  for (const { status, body } of answers) expect([status, body.type]).toEqual([404, '/problems/not-found']);
});

test('the list, the overview and the page of a sale agree', async () => {
  const sale = await system.createSale({ name: '<b>A lamp</b>', closesAt: inHours(999) });
  const { body: list } = await system.api('GET', '/api/sales');
  expect(list.sales[0]).toEqual({ ...sale, serverTime: list.sales[0].serverTime });
  const { body: overview } = await system.api('GET', '/api/admin/overview', { token: system.adminToken });
  expect(overview).toMatchObject({
    queuedPurchases: expect.any(Number),
    jobs: { waiting: expect.any(Number), failed: 0 },
  });
  expect(overview.sales[0].product.name).toBe('<b>A lamp</b>');
});
