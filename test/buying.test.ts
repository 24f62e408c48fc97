import { nanoid } from 'nanoid';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { orderIdOf } from '../sale/order.ts';
import { startSystem, type TestSystem } from './harness.ts';

let system: TestSystem;
beforeAll(async () => {
  system = await startSystem();
});
afterAll(async () => {
  await system.close();
  expect(system.servers.length).toBe(2);
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
