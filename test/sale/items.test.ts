import { nanoid } from 'nanoid';
import { io } from 'socket.io-client';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { waitUntil } from '../../ops/local/processes/process.mjs';
import {
  type Order,
  type Problem,
  type Product,
  type SaleSnapshot,
  type StockMessage,
  unitsIn,
} from '../../sale/contract.ts';
import { startSystem, type TestSystem } from '../support/harness.ts';

let system: TestSystem;
let lamp: Product;
let shade: Product;
beforeAll(async () => {
  system = await startSystem({ servers: 2 });
  [lamp, shade] = [await makeProduct('A lamp'), await makeProduct('A shade')];
});
afterAll(() => system.close());

const hourMs = 3_600_000;
const inHours = (hours: number) => new Date(Date.now() + hours * hourMs);
const euros = (amount: number) => ({ amount, currency: 'EUR' });

async function makeProduct(name: string): Promise<Product> {
  const asAdmin = { token: system.adminToken, body: { name } };
  return (await system.api<Product>('POST', '/api/products', asAdmin)).body;
}

interface ItemOptions {
  productId?: string;
  label?: string;
  price?: { amount: number; currency: string };
  oldAmount?: number;
  stock?: number;
  limitPerBuyer?: number | null;
}

const item = (label: string, options: ItemOptions = {}) => {
  return { productId: lamp.id, label, price: euros(1_000), stock: 5, ...options };
};

/** The body of a new sale that is open. */
const saleOf = (items: unknown[], more = {}) => {
  return { items, limitPerBuyer: 10, opensAt: inHours(-1), closesAt: inHours(1), ...more };
};

const create = <Body = SaleSnapshot>(body: object, key = nanoid()) =>
  system.api<Body>('POST', '/api/sales', {
    token: system.adminToken,
    body,
    headers: { 'Idempotency-Key': key },
  });

describe('a new sale', () => {
  test('has the items that were asked for, and their totals', async () => {
    const small = item('S', { oldAmount: 2_000, limitPerBuyer: 2 });
    const large = item('', { productId: shade.id, price: euros(3_000), stock: 7 });
    const { status, body } = await create(saleOf([small, large]));
    expect(status).toBe(201);
    expect(body).toMatchObject({
      product: { id: lamp.id },
      price: euros(1_000),
      oldPrice: euros(2_000),
      stock: 12,
      unitsOnSale: 12,
      limitPerBuyer: 10,
    });
    expect(body.items).toEqual([
      {
        id: '1',
        product: { id: lamp.id, name: 'A lamp', image: '' },
        label: 'S',
        price: euros(1_000),
        oldPrice: euros(2_000),
        stock: 5,
        unitsOnSale: 5,
        limitPerBuyer: 2,
      },
      {
        id: '2',
        product: { id: shade.id, name: 'A shade', image: '' },
        label: '',
        price: euros(3_000),
        oldPrice: null,
        stock: 7,
        unitsOnSale: 7,
        limitPerBuyer: null,
      },
    ]);
  });

  test('of the plain form has one item', async () => {
    const { items, product, price } = await system.createSale({ stock: 3 });
    expect(items).toMatchObject([{ id: '1', product: { id: product.id }, label: '', price, stock: 3 }]);
  });

  test('is made once with one key, and not with other items', async () => {
    const [body, key] = [saleOf([item('S'), item('M')]), nanoid()];
    const [first, again] = [await create(body, key), await create(body, key)];
    expect([first.status, again.status, again.body.id]).toEqual([201, 201, first.body.id]);
    const other = { ...body, items: [item('S'), item('M', { stock: 6 })] };
    expect((await create(other, key)).status).toBe(422);
  });

  test.each([
    ['items', () => saleOf([])],
    ['items', () => saleOf(Array.from({ length: 51 }, (_, n) => item(`Size ${n}`)))],
    ['items.1.label', () => saleOf([item('S'), item('S')])],
    [
      'items.1.price.currency',
      () => saleOf([item('S'), item('M', { price: { amount: 1, currency: 'USD' } })]),
    ],
    ['items.0.stock', () => saleOf([item('S', { stock: -1 })])],
    ['items.0.limitPerBuyer', () => saleOf([item('S', { limitPerBuyer: 0 })])],
    ['items.0.label', () => saleOf([item('\u200b')])],
    ['items.0.id', () => saleOf([{ ...item('S'), id: '7' }])],
    ['stock', () => saleOf([item('S')], { stock: 3 })],
    ['oldAmount', () => saleOf([item('S')], { oldAmount: 3_000 })],
    ['productId', () => ({ ...saleOf([]), items: undefined })],
    ['limitPerBuyer', () => saleOf([item('S', { price: euros(1e12) })], { limitPerBuyer: 10_000 })],
  ])('is refused for its %s', async (field, bodyOf) => {
    const { status, body } = await create<Problem>(bodyOf());
    expect(status).toBe(400);
    expect(body.errors?.map((error) => error.field)).toContain(field);
  });

  test('is refused with an item of a product that does not exist', async () => {
    const { status, body } = await create<Problem>(
      saleOf([item('S'), item('M', { productId: 'no-such-product' })]),
    );
    expect([status, body.detail]).toEqual([404, expect.stringContaining('no-such-product')]);
  });
});

const putOnSale = async (items: ItemOptions[], more = {}) =>
  (
    await create(
      saleOf(
        items.map((options, n) => item(`Size ${n + 1}`, options)),
        more,
      ),
    )
  ).body;

interface Line {
  itemId: string;
  quantity: number;
}

const purchase = <Body = { orderId: string }>(
  { id }: SaleSnapshot,
  token: string,
  body: { quantity?: unknown; lines?: unknown },
  key = nanoid(),
) =>
  system.api<Body>('POST', `/api/sales/${id}/purchases`, {
    token,
    body,
    headers: { 'Idempotency-Key': key },
  });

const buyLines = <Body = { orderId: string }>(
  sale: SaleSnapshot,
  token: string,
  lines: Line[],
  key?: string,
) => purchase<Body>(sale, token, { lines }, key);

const one = (itemId: string): Line => ({ itemId, quantity: 1 });
const stocksOf = ({ items }: SaleSnapshot) => items.map(({ stock }) => stock);
const snapshotOf = async ({ id }: SaleSnapshot) =>
  (await system.api<SaleSnapshot>('GET', `/api/sales/${id}`)).body;

describe('a purchase', () => {
  test('takes all its lines, says what they cost, and gives them back when it is cancelled', async () => {
    const sale = await putOnSale([{ stock: 5 }, { stock: 3, price: euros(2_500) }]);
    const token = system.buyerToken();
    const { status, body } = await buyLines(sale, token, [{ itemId: '2', quantity: 2 }, one('1')]);
    expect(status).toBe(202);
    const lines = [
      { itemId: '1', label: 'Size 1', quantity: 1, amount: 1_000 },
      { itemId: '2', label: 'Size 2', quantity: 2, amount: 5_000 },
    ];
    const order = await system.settled(body.orderId, token);
    expect(order).toMatchObject({ status: 'paid', quantity: 3, lines, amount: 6_000, currency: 'EUR' });
    expect(await snapshotOf(sale)).toMatchObject({ stock: 5, items: [{ stock: 4 }, { stock: 1 }] });

    expect((await system.api('DELETE', `/api/orders/${order.id}`, { token })).status).toBe(200);
    expect(await snapshotOf(sale)).toMatchObject({ stock: 8, items: [{ stock: 5 }, { stock: 3 }] });
    const again = await buyLines(sale, token, [{ itemId: '2', quantity: 3 }]);
    expect(await system.settled(again.body.orderId, token)).toMatchObject({ status: 'paid' });
    const { records } = await eventsOf(sale);
    expect(records).toMatchObject([
      { type: 'order.paid', lines, amount: 6_000, currency: 'EUR' },
      { type: 'order.cancelled', lines, amount: 6_000 },
      { type: 'order.paid', amount: 7_500 },
    ]);
  });

  test('gets none of its lines when one of them is sold out', async () => {
    const sale = await putOnSale([{ stock: 5 }, { stock: 1 }]);
    const lines = [one('1'), { itemId: '2', quantity: 2 }];
    const { status, body } = await buyLines<Problem>(sale, system.buyerToken(), lines);
    expect([status, body]).toMatchObject([409, { type: '/problems/sold-out', left: 1, itemId: '2' }]);
    expect(stocksOf(await snapshotOf(sale))).toEqual([5, 1]);
  });

  test('may have the limit of each item, and that of the sale', async () => {
    const sale = await putOnSale([{ limitPerBuyer: 1 }, {}], { limitPerBuyer: 3 });
    const token = system.buyerToken();
    const first = await buyLines(sale, token, [one('1'), one('2')]);
    expect(first.status).toBe(202);
    const tooManyOfItem = await buyLines<Problem>(sale, token, [one('1')]);
    expect([tooManyOfItem.status, tooManyOfItem.body]).toMatchObject([
      409,
      { type: '/problems/over-limit', itemId: '1' },
    ]);
    const tooMany = await buyLines<Problem>(sale, token, [{ itemId: '2', quantity: 2 }]);
    expect([tooMany.status, tooMany.body.itemId]).toEqual([409, undefined]);
    expect((await buyLines(sale, token, [one('2')])).status).toBe(202);
    // Cancelled units count towards neither limit any more.
    const { id } = await system.settled(first.body.orderId, token);
    expect((await system.api('DELETE', `/api/orders/${id}`, { token })).status).toBe(200);
    expect((await buyLines(sale, token, [one('1')])).status).toBe(202);
  });

  test('of a sale with one item may name it', async () => {
    const sale = await system.createSale({ stock: 3, limitPerBuyer: 3 });
    const token = system.buyerToken();
    const key = nanoid();
    const named = await buyLines(sale, token, [one('1')], key);
    expect(named.status).toBe(202);
    expect(await system.settled(named.body.orderId, token)).toMatchObject({
      lines: [{ itemId: '1', label: '', quantity: 1, amount: 4_900 }],
      amount: 4_900,
    });
    expect((await purchase(sale, token, { quantity: 1 }, key)).body).toEqual(named.body);
    expect((await buyLines(sale, token, [one('2')])).status).toBe(400);
  });

  test('is the same with its lines in another order, and another with other lines', async () => {
    const sale = await putOnSale([{}, {}]);
    const [token, key] = [system.buyerToken(), nanoid()];
    const first = await buyLines(sale, token, [one('1'), one('2')], key);
    const same = await buyLines(sale, token, [one('2'), one('1')], key);
    expect(same.body.orderId).toBe(first.body.orderId);
    expect((await buyLines(sale, token, [{ itemId: '1', quantity: 2 }], key)).status).toBe(422);
  });

  test.each<[string, { quantity?: unknown; lines?: unknown }]>([
    ['quantity', { quantity: 1 }],
    ['quantity', {}],
    ['quantity', { quantity: 1, lines: [one('1')] }],
    ['lines', { lines: [] }],
    ['lines', { lines: [one('9')] }],
    ['lines', { lines: [one('1'), one('1')] }],
    ['lines', { lines: Array.from({ length: 51 }, (_, n) => one(String(n + 1))) }],
    ['lines', { lines: [{ itemId: '1', quantity: 1_000_000 }, one('2')] }],
    ['lines.0.quantity', { lines: [{ itemId: '1', quantity: 0 }] }],
    ['lines.0.quantity', { lines: [{ itemId: '1', quantity: 1.5 }] }],
    ['lines.0.itemId', { lines: [one('__proto__')] }],
    ['lines.0.price', { lines: [{ ...one('1'), price: 1 }] }],
  ])('is refused for its %s', async (field, body) => {
    const sale = await putOnSale([{}, {}]);
    const answer = await purchase<Problem>(sale, system.buyerToken(), body);
    expect([answer.status, answer.body.type]).toEqual([400, '/problems/invalid-input']);
    expect(answer.body.errors?.map((error) => error.field)).toContain(field);
    expect(stocksOf(await snapshotOf(sale))).toEqual([5, 5]);
  });
});

async function eventsOf({ id }: SaleSnapshot) {
  const found = await system.store.collections.events.find({ saleId: id }).sort({ seq: 1 }).toArray();
  const changes = found.flatMap(({ changes }) => changes);
  return { changes, records: changes.filter(({ type }) => type.startsWith('order.')) };
}

test('stock is added to one item, which is named where there are several', async () => {
  const sale = await putOnSale([{ stock: 1 }, { stock: 0 }]);
  const change = (body: object) =>
    system.api<Problem>('PATCH', `/api/sales/${sale.id}`, { token: system.adminToken, body });
  for (const body of [{ addStock: 2 }, { addStock: 2, itemId: '3' }, { itemId: '2', paused: false }]) {
    const { status, body: problem } = await change(body);
    expect([status, problem.errors?.[0]?.field]).toEqual([400, 'itemId']);
  }
  const token = system.buyerToken();
  expect((await buyLines(sale, token, [one('2')])).status).toBe(409);
  const changed = await system.changeSale(sale.id, { addStock: 2, itemId: '2' });
  expect(changed).toMatchObject({
    stock: 3,
    unitsOnSale: 3,
    items: [{ stock: 1 }, { stock: 2, unitsOnSale: 2 }],
  });
  const { body } = await buyLines(sale, token, [{ itemId: '2', quantity: 2 }]);
  expect(await system.settled(body.orderId, token)).toMatchObject({ status: 'paid' });
  const { changes } = await eventsOf(sale);
  expect(changes).toContainEqual({ type: 'sale.stock_added', units: 2, itemId: '2' });
});

test('sizes sell out one by one under load, and every count agrees in the end', async () => {
  const stocks = [10, 25, 40];
  const sale = await putOnSale(
    stocks.map((stock, n) => ({ stock, limitPerBuyer: n === 2 ? 1 : null })),
    {
      limitPerBuyer: 4,
    },
  );
  const socket = io(system.url, { transports: ['websocket'], auth: { token: system.buyerToken() } });
  const messages: StockMessage[] = [];
  socket.on('stock', (message) => messages.push(message));
  await socket.emitWithAck('watch', { saleId: sale.id });

  const answers = await Promise.all(
    Array.from({ length: 240 }, async (_, n) => {
      const token = system.buyerToken(`buyer-${n % 90}-${sale.id.slice(0, 6)}`);
      const lines = [[one('1')], [one('2'), one('3')], [one('3')]][n % 3] ?? [];
      const { status, body } = await buyLines(sale, token, lines);
      return { status, orderId: body.orderId, token, lines };
    }),
  );
  expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([202, 409]));
  await system.quiet();
  const admitted = answers.filter(({ status }) => status === 202);
  const orders: Order[] = [];
  for (const { orderId, token } of admitted) orders.push(await system.settled(orderId, token));
  expect(new Set(orders.map(({ status }) => status))).toEqual(new Set(['paid']));

  const now = await snapshotOf(sale);
  const lines = orders.flatMap((order) => order.lines);
  const sold = stocks.map((_, n) => unitsIn(lines.filter(({ itemId }) => itemId === String(n + 1))));
  expect(stocksOf(now)).toEqual(stocks.map((stock, n) => stock - (sold[n] ?? 0)));
  expect(now.items[0]?.stock).toBe(0);
  await waitUntil(() => messages.at(-1)?.stockVersion === now.stockVersion, {
    deadlineMs: 10_000,
    what: 'the last stock was not heard of',
  });
  expect(messages.at(-1)).toMatchObject({
    stock: now.stock,
    items: now.items.map(({ id, stock }) => ({ id, stock })),
  });
  socket.disconnect();

  // Some come back, and go to others.
  const cancelled = admitted.filter(({ lines }) => lines[0]?.itemId === '1').slice(0, 4);
  await Promise.all(
    cancelled.map(({ orderId, token }) => system.api('DELETE', `/api/orders/${orderId}`, { token })),
  );
  const late = await Promise.all(
    Array.from({ length: 8 }, () => buyLines(sale, system.buyerToken(), [one('1')])),
  );
  expect(late.filter(({ status }) => status === 202)).toHaveLength(4);
  await system.quiet();
  expect((await snapshotOf(sale)).items[0]?.stock).toBe(0);
  expect(await system.audit()).toMatchObject({ ok: true });
});
