import { nanoid } from 'nanoid';
import { io } from 'socket.io-client';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { waitUntil } from '../../ops/local/processes/process.mjs';
import type { Order, Problem, SaleSnapshot, StockMessage } from '../../sale/contract.ts';
import { startSystem, type TestSystem } from '../support/harness.ts';

let system: TestSystem;
beforeAll(async () => {
  system = await startSystem({ servers: 1, nginx: false });
});
afterAll(() => system.close());

const hourMs = 3_600_000;

async function putOnSale(
  paymentWindowSeconds: number,
  { stock = 5, limitPerBuyer = 1, amounts = [1_000, 0] } = {},
): Promise<SaleSnapshot> {
  const { product } = await system.createSale();
  const items = amounts.map((amount, n) => {
    return { productId: product.id, label: `Size ${n + 1}`, price: { amount, currency: 'EUR' }, stock };
  });
  const window = { opensAt: new Date(Date.now() - hourMs), closesAt: new Date(Date.now() + hourMs) };
  const { body } = await system.api<SaleSnapshot>('POST', '/api/sales', {
    token: system.adminToken,
    body: { items, limitPerBuyer, paymentWindowSeconds, ...window },
  });
  return body;
}

const buy = (saleId: string, token: string, itemId = '1', quantity = 1) =>
  system.api<{ orderId: string }>('POST', `/api/sales/${saleId}/purchases`, {
    token,
    body: { lines: [{ itemId, quantity }] },
    headers: { 'Idempotency-Key': nanoid() },
  });

const read = async (saleId: string) => (await system.api<SaleSnapshot>('GET', `/api/sales/${saleId}`)).body;
const orderOf = async (orderId: string, token: string) =>
  (await system.api<Order>('GET', `/api/orders/${orderId}`, { token })).body;
const entriesOf = async (saleId: string) => {
  const documents = await system.store.collections.events.find({ saleId }).sort({ seq: 1 }).toArray();
  return documents.flatMap(({ changes, at }) => changes.map((change) => ({ ...change, at })));
};
const expired = (saleId: string, count: number, deadlineMs = 20_000) =>
  waitUntil(
    async () => {
      const { orders } = system.store.collections;
      return (await orders.countDocuments({ saleId, status: 'expired' })) === count;
    },
    { deadlineMs, what: `${count} orders have not expired` },
  );

test('an order is held until its deadline, then its units are on sale again, live', async () => {
  const sale = await putOnSale(2, { stock: 1 });
  expect(sale.paymentWindowSeconds).toBe(2);
  const token = system.buyerToken();
  const socket = io(system.servers[0]?.url ?? '', { transports: ['websocket'], auth: { token } });
  const [stocks, told]: [StockMessage[], Order[]] = [[], []];
  socket.on('stock', (message) => stocks.push(message));
  socket.on('order', (order) => told.push(order));
  await socket.emitWithAck('watch', { saleId: sale.id });

  const { body } = await buy(sale.id, token);
  const held = await system.settled(body.orderId, token);
  expect(held).toMatchObject({ status: 'held', amount: 1_000, currency: 'EUR' });
  expect(Date.parse(held.holdExpiresAt ?? '') - Date.parse(held.settledAt ?? '')).toBe(2_000);
  expect((await read(sale.id)).items[0]?.stock).toBe(0);
  // Neither a second press nor a refused one lengthens the hold.
  expect((await buy(sale.id, token)).status).toBe(409);

  await expired(sale.id, 1);
  await waitUntil(() => told.at(-1)?.status === 'expired' && stocks.at(-1)?.items?.[0]?.stock === 1, {
    deadlineMs: 5_000,
    what: 'the page has not heard of the expiry',
  });
  socket.disconnect();
  expect(await orderOf(body.orderId, token)).toMatchObject({
    status: 'expired',
    holdExpiresAt: held.holdExpiresAt,
  });
  // The person may buy again, and the gate has the unit again.
  const again = await buy(sale.id, token);
  expect(again.status).toBe(202);
  const second = await system.settled(again.body.orderId, token);
  expect(second.status).toBe('held');
  expect((await system.api('DELETE', `/api/orders/${second.id}`, { token })).body).toMatchObject({
    status: 'cancelled',
  });
  const entries = await entriesOf(sale.id);
  expect(entries.filter(({ type }) => type.startsWith('order.'))).toMatchObject([
    { type: 'order.held', holdExpiresAt: held.holdExpiresAt },
    { type: 'order.expired', amount: 1_000 },
    { type: 'order.held' },
    { type: 'order.cancelled', cancelledBy: 'buyer', unpaid: true },
  ]);
  expect(await system.audit()).toMatchObject({ ok: true });
});

test('what costs nothing is paid at once', async () => {
  const sale = await putOnSale(60);
  const token = system.buyerToken();
  const { body } = await buy(sale.id, token, '2');
  expect(await system.settled(body.orderId, token)).toMatchObject({ status: 'paid', holdExpiresAt: null });
});

test('a payment window is a number of seconds up to a day', async () => {
  const { product, price, opensAt, closesAt } = await system.createSale();
  for (const paymentWindowSeconds of [-1, 1.5, 86_401, '60']) {
    const { status, body } = await system.api<Problem>('POST', '/api/sales', {
      token: system.adminToken,
      body: { productId: product.id, price, stock: 1, opensAt, closesAt, paymentWindowSeconds },
    });
    expect([status, body.errors?.[0]?.field]).toEqual([400, 'paymentWindowSeconds']);
  }
});

test('thousands of holds expire at their deadlines, each once, also when no worker ran then', async () => {
  const buyers = 2_500;
  const sale = await putOnSale(4, { stock: buyers });
  const tokens = Array.from({ length: buyers }, () => system.buyerToken());
  for (let start = 0; start < buyers; start += 250)
    await Promise.all(tokens.slice(start, start + 250).map((token) => buy(sale.id, token)));
  await expired(sale.id, buyers, 60_000);
  const entries = await entriesOf(sale.id);
  const deadlines = new Map(
    entries.flatMap((entry) =>
      entry.type === 'order.held' ? [[entry.orderId, Date.parse(entry.holdExpiresAt)] as const] : [],
    ),
  );
  const lateMs = entries.flatMap((entry) =>
    entry.type === 'order.expired' ? [entry.at.getTime() - (deadlines.get(entry.orderId) ?? 0)] : [],
  );
  expect(lateMs).toHaveLength(buyers);
  expect(Math.min(...lateMs)).toBeGreaterThanOrEqual(0);
  // A busy machine takes longer than the second that is aimed at.
  expect(lateMs.sort((one, other) => one - other)[Math.floor(buyers / 2)]).toBeLessThan(2_000);
  expect((await read(sale.id)).items[0]).toMatchObject({ stock: buyers, unitsOnSale: buyers });

  await Promise.all(tokens.slice(0, 200).map((token) => buy(sale.id, token)));
  await system.quiet();
  for (const { pid } of system.workers) process.kill(pid, 'SIGKILL');
  const { orders } = system.store.collections;
  const isHeld = { saleId: sale.id, status: 'held' as const };
  expect(await orders.countDocuments(isHeld)).toBeGreaterThan(0);
  const newest = await orders.findOne(isHeld, { sort: { holdExpiresAt: -1 } });
  await waitUntil(() => Date.now() > (newest?.holdExpiresAt?.getTime() ?? 0), {
    deadlineMs: 10_000,
    what: 'the deadlines have not passed',
  });
  expect(await orders.countDocuments(isHeld)).toBeGreaterThan(0);
  await system.startWorker();
  await expired(sale.id, buyers + 200);
  await waitUntil(async () => (await read(sale.id)).stock === 2 * buyers, {
    deadlineMs: 5_000,
    what: 'the units are not back',
  });
  expect((await buy(sale.id, system.buyerToken())).status).toBe(202);
  await system.quiet();
  expect(await system.audit()).toMatchObject({ ok: true });
});
