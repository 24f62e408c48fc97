import { Ajv2020 } from 'ajv/dist/2020.js';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { CloudEvent } from '../../log/schemas.ts';
import { run } from '../../ops/local/processes/process.mjs';
import { startSystem, type TestSystem } from '../support/harness.ts';

let system: TestSystem;
beforeAll(async () => {
  system = await startSystem({ servers: 1, nginx: false });
});
afterAll(() => system.close());

async function command(...args: string[]) {
  const { ok, stdout, output } = await run(process.execPath, ['run.mjs', ...args], {
    env: { ...process.env, ...system.env },
    deadlineMs: 60_000,
  });
  return {
    ok,
    output,
    lines: stdout
      .split('\n')
      .filter(Boolean)
      .map((line) => JSON.parse(line)),
  };
}

/** A sale with all kinds of events: units are bought, refused, added and cancelled, and the sale is paused. */
async function history() {
  const sale = await system.createSale({ stock: 2 });
  const buyers = [system.buyerToken(), system.buyerToken(), system.buyerToken()];
  const [first, second] = await Promise.all(buyers.slice(0, 2).map((token) => system.buy(sale.id, token)));
  const orderId = first?.body.orderId ?? '';
  await system.settled(orderId, buyers[0] ?? '');
  await system.settled(second?.body.orderId ?? '', buyers[1] ?? '');
  const soldOutAt = new Date();
  await system.changeSale(sale.id, { paused: true });
  await system.changeSale(sale.id, { paused: false, addStock: 3 });
  await system.api('DELETE', `/api/orders/${orderId}`, { token: buyers[0] });
  const third = await system.buy(sale.id, buyers[2] ?? '');
  await system.settled(third.body.orderId, buyers[2] ?? '');
  return { sale, orderId, soldOutAt };
}

test('the log contains all events of a sale from its creation, in order, as CloudEvents with unique ids', async () => {
  const { sale, orderId } = await history();
  const { lines } = await command('commands/events.ts', 'show', sale.id);
  const events = lines as CloudEvent[];
  const types = events.map(({ type }) => type);
  const bought = ['order.placed', 'inventory.reserved', 'order.paid'];
  expect(types).toEqual([
    'sale.created',
    'sale.opened',
    ...bought,
    ...bought,
    'sale.paused',
    'sale.resumed',
    'sale.stock_added',
    'order.cancelled',
    'inventory.released',
    ...bought,
  ]);
  expect(new Set(events.map(({ id }) => id)).size).toBe(events.length);
  for (const event of events) {
    expect(event).toMatchObject({
      specversion: '1.0',
      source: `/api/sales/${sale.id}`,
      data: { saleId: sale.id },
    });
    expect(event.dataschema).toBe(`/schemas/${event.type}/1`);
  }
  for (const { dataschema, data } of events) {
    const { status, body } = await system.api<object>('GET', dataschema);
    expect(status).toBe(200);
    const validate = new Ajv2020({ validateFormats: false }).compile(body);
    validate(data);
    expect(validate.errors).toBeNull();
  }
  expect((await system.api('GET', '/schemas/order.lost/1')).status).toBe(404);
  const ofOrder = await command('commands/events.ts', 'for-order', orderId);
  expect(ofOrder.lines.map(({ type }) => type)).toEqual([...bought, 'order.cancelled', 'inventory.released']);
  const tail = await command('commands/events.ts', 'tail', '2');
  expect(tail.lines).toEqual(events.slice(-2));
});

test('replaying the log rebuilds the current stock and orders', async () => {
  const { sale } = await history();
  const { ok, lines } = await command('commands/replay.ts');
  expect(lines).toMatchObject([{ differences: 0 }]);
  expect(ok).toBe(true);
  const { connection } = system.store.collections;
  const rebuilt = connection.useDb(`${connection.name}-replay`);
  expect(await rebuilt.collection('sales').findOne({ _id: sale.id as never })).toMatchObject({
    stock: 3,
    unitsOnSale: 5,
    paused: false,
  });
  await rebuilt.dropDatabase();
});

test('replaying until a time rebuilds the shop of that time', async () => {
  const { sale, soldOutAt } = await history();
  const { lines } = await command('commands/replay.ts', '--until', soldOutAt.toISOString());
  expect(lines).toMatchObject([{ differences: null }]);
  const { connection } = system.store.collections;
  const rebuilt = connection.useDb(`${connection.name}-replay`);
  expect(await rebuilt.collection('sales').findOne({ _id: sale.id as never })).toMatchObject({
    stock: 0,
    unitsOnSale: 2,
  });
  expect(await rebuilt.collection('orders').countDocuments({ saleId: sale.id, status: 'paid' })).toBe(2);
  await rebuilt.dropDatabase();
});

test('a replay with a different result exits with 1', async () => {
  const { sale } = await history();
  await system.store.collections.sales.updateOne({ _id: sale.id }, { $inc: { stock: 1 } });
  const { ok, lines } = await command('commands/replay.ts');
  expect(ok).toBe(false);
  expect(lines).toMatchObject([{ differences: 2 }]);
  await system.store.collections.sales.updateOne({ _id: sale.id }, { $inc: { stock: -1 } });
  const { connection } = system.store.collections;
  await connection.useDb(`${connection.name}-replay`).dropDatabase();
});

test.each([
  ['commands/events.ts', 'explode'],
  ['commands/events.ts', 'tail', 'all'],
  ['commands/replay.ts', '--until', 'yesterday'],
])('%s %s says what it expects', async (...args) => {
  const { ok, output } = await command(...args);
  expect(ok).toBe(false);
  expect(output).toContain('expected');
});
