import { nanoid } from 'nanoid';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Problem, Product, SaleSnapshot } from '../../sale/contract.ts';
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
