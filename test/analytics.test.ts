import { afterAll, beforeAll, expect, test } from 'vitest';
import { waitUntil } from '../embedded/process.mjs';
import type { SaleMinute } from '../sale/admin-contract.ts';
import { eventsOf, readChanges } from '../sale/events.ts';
import { analytics } from '../subscribers/analytics.ts';
import { startSystem, type TestSystem } from './harness.ts';

let system: TestSystem;
beforeAll(async () => {
  system = await startSystem({ servers: 1, nginx: false, env: { SUBSCRIBERS: 'analytics' } });
});
afterAll(() => system.close());

const total = (minutes: SaleMinute[]) => {
  const sum = { accepted: 0, paid: 0, rejected: 0, cancelled: 0, units: 0, cancelledUnits: 0 };
  for (const minute of minutes) {
    for (const key of Object.keys(sum) as (keyof typeof sum)[]) sum[key] += minute[key];
  }
  return sum;
};

async function minutesOf(saleId: string): Promise<SaleMinute[]> {
  const path = `/api/admin/sales/${saleId}/minutes`;
  const { status, body } = await system.api('GET', path, { token: system.adminToken });
  expect(status).toBe(200);
  return body.minutes;
}

const counts = (saleId: string, expected: object) =>
  waitUntil(
    async () => {
      const sum = total(await minutesOf(saleId));
      return Object.entries(expected).every(([key, value]) => sum[key as keyof typeof sum] === value) && sum;
    },
    { deadlineMs: 20_000, what: `analytics counts ${JSON.stringify(expected)}` },
  );

async function buy(saleId: string, quantity: number) {
  const token = system.buyerToken();
  const { body } = await system.buy(saleId, token, { quantity });
  await system.settled(body.orderId, token);
  return { token, orderId: body.orderId };
}

/** A sale with two paid orders, one of them cancelled, and one that the settlement rejected. */
async function history() {
  const sale = await system.createSale({ stock: 5, limitPerBuyer: 3 });
  await buy(sale.id, 3);
  const { orderId, token } = await buy(sale.id, 2);
  // Lets in more than there is.
  await system.store.redis.hset(`gate:${sale.id}`, 'left', 100);
  await buy(sale.id, 1);
  await system.api('DELETE', `/api/orders/${orderId}`, { token });
  return sale;
}

const counted = { accepted: 3, paid: 2, rejected: 1, cancelled: 1, units: 5, cancelledUnits: 2 };

async function eventsOfSale(saleId: string) {
  const records = await readChanges(system.store.collections, saleId).toArray();
  const { types } = analytics(system.store.collections);
  return records.flatMap(eventsOf).filter(({ type }) => types.includes(type));
}

test('counts what happens to the orders of a sale, minute by minute', async () => {
  const sale = await history();
  await counts(sale.id, counted);
  const minutes = await minutesOf(sale.id);
  for (const { minute } of minutes) expect(Date.parse(minute) % 60_000).toBe(0);
  expect(Math.abs(Date.parse(minutes[0]?.minute ?? '') - Date.now())).toBeLessThan(180_000);
});

test('an event that comes again changes no count, alone, in a batch, or out of its order', async () => {
  const sale = await history();
  await counts(sale.id, counted);
  const events = await eventsOfSale(sale.id);
  const { handle } = analytics(system.store.collections);
  await handle(events);
  for (const event of events.reverse()) await handle([event]);
  expect(total(await minutesOf(sale.id))).toEqual(counted);
});

test('an event that could not be counted is counted when it comes again, once', async () => {
  const { collections } = system.store;
  const { handle } = analytics(collections);
  const sale = await history();
  await counts(sale.id, counted);
  const events = await eventsOfSale(sale.id);
  const [first, ...others] = events;
  if (!first) throw new Error('expected events');
  // As if none of them had come so far.
  await collections.analytics.deleteOne({ _id: sale.id });
  await collections.minutes.deleteMany({ saleId: sale.id });

  const broken = { ...first, data: { ...first.data, quantity: 'many' } };
  await expect(handle([broken])).rejects.toThrow('quantity');
  await handle(others);
  expect(total(await minutesOf(sale.id))).toMatchObject({ paid: 1, units: 2 });
  await handle([first]);
  await handle([first]);
  expect(total(await minutesOf(sale.id))).toEqual(counted);
});

test('a sale that nobody knows has no minutes, and a buyer gets none', async () => {
  const sale = await system.createSale();
  const path = (id: string) => `/api/admin/sales/${id}/minutes`;
  expect((await system.api('GET', path('no-such-sale'), { token: system.adminToken })).status).toBe(404);
  expect((await system.api('GET', path(sale.id), { token: system.buyerToken() })).status).toBe(403);
});
