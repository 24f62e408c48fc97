import { nanoid } from 'nanoid';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { byCommand } from '../../commands/system.ts';
import { waitUntil } from '../../ops/local/processes/process.mjs';
import type { Order, Purchase, SaleSnapshot } from '../../sale/contract.ts';
import { orderIdOf } from '../../sale/order.ts';
import { cancellableUntil } from '../../sale/sale.ts';
import { cancelOrders, isInTime } from '../../sale/settlement/cancellation.ts';
import { openOtherWriters } from '../../sale/settlement/other-writers.ts';
import { settleBatch } from '../../sale/settlement/transaction.ts';
import { startBuyers } from '../faults/support/buyers.ts';
import { type ApiAnswer, startSystem, type TestSystem } from '../support/harness.ts';

let system: TestSystem;
beforeAll(async () => {
  system = await startSystem({ env: { RECONCILE_INTERVAL_MS: '300', RECONCILE_AFTER_MS: '1000' } });
});
afterEach(async () => {
  await system.quiet();
});
afterAll(() => system.close());

interface Paid {
  orderId: string;
  token: string;
}

/** Creates paid orders of one unit each. */
async function makePaid(sale: SaleSnapshot, count: number): Promise<Paid[]> {
  const purchases = Array.from({ length: count }, (): Purchase => {
    const [buyerId, idempotencyKey, createdAt] = [nanoid(), nanoid(), new Date().toISOString()];
    const orderId = orderIdOf(buyerId, sale.id, idempotencyKey);
    return { orderId, saleId: sale.id, buyerId, quantity: 1, idempotencyKey, createdAt };
  });
  await settleBatch(system.store.collections, purchases);
  return purchases.map(({ orderId, buyerId }) => ({ orderId, token: system.buyerToken(buyerId) }));
}

const cancel = ({ orderId, token }: Paid, at = system.url) =>
  system.api<Order>('DELETE', `/api/orders/${orderId}`, { token, at });

function change(saleId: string, body: object, { key, at = system.url }: { key?: string; at?: string } = {}) {
  const headers: Record<string, string> = key === undefined ? {} : { 'Idempotency-Key': key };
  return system.api<SaleSnapshot>('PATCH', `/api/sales/${saleId}`, {
    token: system.adminToken,
    body,
    headers,
    at,
  });
}

const statusesOf = (answers: ApiAnswer<unknown>[]) => [...new Set(answers.map(({ status }) => status))];
const leftIn = ({ id }: SaleSnapshot) => system.store.redis.hget(system.store.gate.keyOf(id), 'left');
const recordOf = async ({ id }: SaleSnapshot) => {
  const record = await system.store.collections.sales.findOne({ _id: id });
  if (!record) throw new Error(`sale ${id} does not exist`);
  return record;
};

async function expectGateRight(sale: SaleSnapshot): Promise<void> {
  await waitUntil(async () => (await leftIn(sale)) === String((await recordOf(sale)).stock), {
    deadlineMs: 10_000,
    what: 'the gate has what MongoDB has',
  });
}

test('settling leaves a gap between two transactions only while somebody else writes sales', async () => {
  const sale = await system.createSale({ stock: 2 });
  const seenByWorker = openOtherWriters(system.store.redis);
  const gapMs = async () => {
    await seenByWorker.refresh();
    return seenByWorker.gapMs();
  };
  expect(await gapMs()).toBe(0);
  const [paid] = await makePaid(sale, 1);
  if (paid) await cancel(paid);
  expect(await gapMs()).toBeGreaterThan(0);
  await waitUntil(async () => (await gapMs()) === 0, { deadlineMs: 15_000, what: 'the gap is over' });
  await change(sale.id, { addStock: 1 });
  expect(await gapMs()).toBeGreaterThan(0);
});

test('1,000 cancellations and 100 changes at once under load give no 5xx, and return each unit once', async () => {
  const sale = await system.createSale({ stock: 20_000, limitPerBuyer: 1_000 });
  const paid = await makePaid(sale, 1_000);
  const load = startBuyers(system, sale);
  await waitUntil(() => load.accepted.length > 50, { deadlineMs: 20_000, what: 'purchases are accepted' });
  const [cancelled, changed] = await Promise.all([
    Promise.all(paid.map((order) => cancel(order))),
    Promise.all(
      Array.from({ length: 100 }, (_, n) => change(sale.id, { addStock: 1 }, n % 2 ? { key: nanoid() } : {})),
    ),
  ]);
  await load.stop();
  expect(load.statuses.get(503)).toBeUndefined();
  expect(statusesOf(cancelled)).toEqual([200]);
  expect(new Set(cancelled.map(({ body }) => body.status))).toEqual(new Set(['cancelled']));
  expect(statusesOf(changed)).toEqual([200]);

  await system.quiet();
  const bought = load.accepted.reduce((units, { quantity }) => units + quantity, 0);
  expect(await recordOf(sale)).toMatchObject({
    unitsReturned: 1_000,
    unitsOnSale: 20_100,
    stock: 20_100 - bought,
  });
  await expectGateRight(sale);
}, 60_000);

test('an order cancelled many times at once, by its buyer and by others, returns its units once', async () => {
  const sale = await system.createSale({ stock: 10 });
  const paid = await makePaid(sale, 5);
  const stranger = system.buyerToken();
  const servers = system.servers.slice(0, 2).map(({ url }) => url);
  const [own, others] = await Promise.all([
    Promise.all(Array.from({ length: 60 }, (_, n) => cancel(paid[n % 5] as Paid, servers[n % 2]))),
    Promise.all(paid.map(({ orderId }, n) => cancel({ orderId, token: stranger }, servers[n % 2]))),
  ]);
  expect(statusesOf(own)).toEqual([200]);
  expect(statusesOf(others)).toEqual([404]);
  expect(await recordOf(sale)).toMatchObject({ stock: 10, unitsReturned: 5 });
});

test('the gate gets the units once when a server is killed between the commit and the broadcast', async () => {
  const sale = await system.createSale({ stock: 10 });
  const [first, second] = (await makePaid(sale, 2)) as [Paid, Paid];
  // Creates the gate.
  const token = system.buyerToken();
  await system.settled((await system.buy(sale.id, token)).body.orderId, token);
  expect(await leftIn(sale)).toBe('7');

  const dying = await system.startServer({ FAILPOINTS: 'written@1=kill' });
  await expect(cancel(first, dying.url)).rejects.toThrow();
  expect((await recordOf(sale)).stock).toBe(8);
  await expectGateRight(sale);
  // The count that the gate missed is not added again with the next one.
  expect((await cancel(second)).status).toBe(200);
  expect(await leftIn(sale)).toBe('9');
  expect((await cancel(first)).status).toBe(200);
  expect(await leftIn(sale)).toBe('9');
});

test('a buyer may cancel until an hour after the end, or as the sale says', () => {
  const closesAt = new Date('2026-11-27T18:00:00Z');
  const isInTimeAt = (cancelWindowSeconds: number | null | undefined, time: string) =>
    isInTime(
      cancellableUntil({ closesAt, ...(cancelWindowSeconds !== undefined && { cancelWindowSeconds }) }),
      new Date(`2026-11-27T${time}Z`),
    );
  expect(isInTimeAt(undefined, '17:00:00')).toBe(true);
  expect(isInTimeAt(undefined, '18:59:59.999')).toBe(true);
  expect(isInTimeAt(undefined, '19:00:00.000')).toBe(false);
  expect(isInTimeAt(undefined, '19:00:00.001')).toBe(false);
  expect(isInTimeAt(0, '17:59:59.999')).toBe(true);
  expect(isInTimeAt(0, '18:00:00.000')).toBe(false);
  expect(isInTimeAt(null, '17:00:00')).toBe(false);
  // The answer is a time that ISO 8601 can write.
  const last = cancellableUntil({ closesAt: new Date('9999-12-31T23:30:00Z') });
  expect(last?.toISOString()).toBe('9999-12-31T23:59:59.999Z');
});

test('a buyer who is too late is refused, sees until when it was possible, and keeps the order', async () => {
  const sale = await system.createSale({ stock: 10 });
  expect(Date.parse(sale.cancellableUntil ?? '')).toBe(Date.parse(sale.closesAt) + 3_600_000);
  const [first, second] = (await makePaid(sale, 2)) as [Paid, Paid];
  const nowMs = Date.now();
  const opensAt = new Date(nowMs - 7_200_000);
  const endedSince = (ms: number) => ({ opensAt, closesAt: new Date(nowMs - ms) });
  await change(sale.id, endedSince(3_500_000));
  expect(await cancel(first)).toMatchObject({ status: 200, body: { cancelledBy: 'buyer' } });

  const { body: ended } = await change(sale.id, endedSince(3_600_000));
  const late = await cancel(second);
  expect(late).toMatchObject({ status: 409, body: { type: '/problems/not-cancellable' } });
  expect(JSON.stringify(late.body)).toContain(ended.cancellableUntil);
  // A repeated request for what is cancelled already still gets the order.
  expect(await cancel(first)).toMatchObject({ status: 200, body: { status: 'cancelled' } });

  const never = await change(sale.id, { cancelWindowSeconds: null, closesAt: new Date(nowMs + 60_000) });
  expect(never.body.cancellableUntil).toBeNull();
  expect((await cancel(second)).status).toBe(409);
  await change(sale.id, { cancelWindowSeconds: 0 });
  expect((await cancel(second)).status).toBe(200);
  for (const cancelWindowSeconds of [-1, 1.5, '60', 1e12])
    expect((await change(sale.id, { cancelWindowSeconds } as object)).status).toBe(400);
  expect(await recordOf(sale)).toMatchObject({ stock: 10, unitsReturned: 2 });
});

test('staff cancel at any time; units that are kept back leave the sale, once, and the log says so', async () => {
  const sale = await system.createSale({ stock: 10, limitPerBuyer: 3 });
  const token = system.buyerToken('who-comes-back');
  for (let n = 0; n < 3; n++) await system.settled((await system.buy(sale.id, token)).body.orderId, token);
  const paid = await makePaid(sale, 4);
  const [kept, back, ofBuyer, left] = paid as [Paid, Paid, Paid, Paid];
  await change(sale.id, { cancelWindowSeconds: null });
  const { collections, gate } = system.store;
  const byStaff = ({ orderId }: { orderId: string }, restock: boolean) => {
    const reason = 'damaged in the warehouse';
    return { orderId, by: 'staff' as const, staff: byCommand('a test'), reason, restock };
  };
  const { body: mine } = await system.api('GET', '/api/orders', { token });
  const ofOneBuyer = mine.orders.map(({ id }: Order) => byStaff({ orderId: id }, false));
  const all = [byStaff(kept, false), byStaff(kept, true), byStaff(back, true), ...ofOneBuyer];
  const unknown = byStaff({ orderId: nanoid() }, true);
  const { answers, cancelled } = await cancelOrders(collections, [...all, unknown]);
  expect(answers.map((answer) => (answer as Order | null)?.status)).toEqual([
    ...all.map(() => 'cancelled'),
    undefined,
  ]);
  expect(answers[0]).toMatchObject({ cancelledBy: 'staff', cancelReason: 'damaged in the warehouse' });
  await gate.returnUnits(cancelled?.returned ?? []);
  expect(await cancelOrders(collections, all)).toMatchObject({ cancelled: null });

  // 7 of 10 were sold: 4 of these are kept back, and 1 is on sale again.
  expect(await recordOf(sale)).toMatchObject({ stock: 4, unitsOnSale: 6, unitsKept: 4, unitsReturned: 1 });
  await expectGateRight(sale);
  expect(await leftIn(sale)).toBe('4');
  // Neither the gate's units nor its revision are off, so a change afterwards adds exactly what it says.
  await change(sale.id, { addStock: 1, cancelWindowSeconds: 60 });
  await expectGateRight(sale);
  expect(await leftIn(sale)).toBe('5');
  // The buyer's limit is free again.
  expect((await system.buy(sale.id, token, { quantity: 3 })).status).toBe(202);
  await system.quiet();
  expect((await cancel(ofBuyer)).status).toBe(200);
  expect((await cancel(left)).status).toBe(200);
  const report = await system.audit();
  expect(report).toMatchObject({ ok: true });
}, 30_000);

test('a change whose server was killed after the commit is made once, and its retry gets the same answer', async () => {
  const sale = await system.createSale({ stock: 1 });
  await system.buy(sale.id, system.buyerToken());
  const dying = await system.startServer({ FAILPOINTS: 'written@1=kill' });
  const key = nanoid();
  await expect(change(sale.id, { addStock: 5 }, { key, at: dying.url })).rejects.toThrow();
  expect(await change(sale.id, { addStock: 5 }, { key })).toMatchObject({
    status: 200,
    body: { unitsOnSale: 6 },
  });
  expect(await leftIn(sale)).toBe('5');
});

test('concurrent changes on two servers are made once for each key', async () => {
  const sale = await system.createSale({ stock: 0 });
  const servers = system.servers.map(({ url }) => url);
  const at = (n: number) => ({ at: servers[n % 2] as string });
  const key = nanoid();
  const answers = await Promise.all([
    ...Array.from({ length: 100 }, (_, n) => change(sale.id, { addStock: 1 }, at(n))),
    ...Array.from({ length: 100 }, (_, n) => change(sale.id, { addStock: 1 }, { key: nanoid(), ...at(n) })),
  ]);
  expect(statusesOf(answers)).toEqual([200]);
  const same = await Promise.all(
    Array.from({ length: 40 }, (_, n) => change(sale.id, { addStock: 1_000 }, { key, ...at(n) })),
  );
  expect(statusesOf(same)).toEqual([200]);
  const rounds = 60;
  for (let round = 0; round < rounds; round++) {
    const roundKey = nanoid();
    const both = [0, 1].map((n) => change(sale.id, { paused: false }, { key: roundKey, ...at(n) }));
    expect(statusesOf(await Promise.all(both))).toEqual([200]);
  }
  expect(new Set(same.map(({ body }) => body.unitsOnSale))).toEqual(new Set([1_200]));
  expect(await recordOf(sale)).toMatchObject({ stock: 1_200, unitsOnSale: 1_200, revision: 201 + rounds });

  const later = await change(sale.id, { paused: true });
  expect(later.body).toMatchObject({ status: 'paused' });
  const again = await change(sale.id, { addStock: 1_000 }, { key });
  expect({ ...again.body, serverTime: '' }).toEqual({ ...same[0]?.body, serverTime: '' });
  expect(again.headers.get('idempotency-key')).toBe(key);
  expect(await change(sale.id, { addStock: 999 }, { key })).toMatchObject({
    status: 422,
    body: { type: '/problems/key-reused' },
  });
  expect((await change(sale.id, { addStock: 1 }, { key: 'x'.repeat(256) })).status).toBe(400);
  // Keys are separate for each sale.
  const other = await system.createSale({ stock: 1 });
  expect((await change(other.id, { addStock: 2 }, { key })).body).toMatchObject({ unitsOnSale: 3 });
});

test('changes of one batch are made in order, each with its own answer', async () => {
  const sale = await system.createSale({ stock: 1 });
  const bad = { closesAt: new Date(Date.parse(sale.opensAt) - 1).toISOString() };
  const [added, refused, unknown, moved] = await Promise.all([
    change(sale.id, { addStock: 1 }),
    change(sale.id, bad),
    change(nanoid(), { addStock: 1 }),
    change(sale.id, { paused: true, closesAt: new Date(Date.now() + 60_000).toISOString() }),
  ]);
  expect([added, refused, unknown, moved].map(({ status }) => status)).toEqual([200, 400, 404, 200]);
  expect(await recordOf(sale)).toMatchObject({ stock: 2, paused: true });
});

test('many concurrent requests with one key create one sale', async () => {
  const { product, price, opensAt, closesAt } = await system.createSale();
  const body = { productId: product.id, price, opensAt, closesAt, stock: 7 };
  const headers = { 'Idempotency-Key': nanoid() };
  const make = (more = {}) =>
    system.api('POST', '/api/sales', { token: system.adminToken, body: { ...body, ...more }, headers });
  const made = await Promise.all(Array.from({ length: 10 }, () => make()));
  expect(statusesOf(made)).toEqual([201]);
  expect(new Set(made.map((answer) => answer.body.id)).size).toBe(1);
  expect(await system.store.collections.sales.countDocuments({ productId: product.id })).toBe(2);
  expect(await make({ stock: 8 })).toMatchObject({ status: 422, body: { type: '/problems/key-reused' } });
});

test('changes and cancellations without Redis are made, and broadcast later', async () => {
  const sale = await system.createSale({ stock: 10 });
  const [order] = (await makePaid(sale, 1)) as [Paid];
  const token = system.buyerToken();
  await system.settled((await system.buy(sale.id, token)).body.orderId, token);
  process.kill(system.redis().pid, 'SIGKILL');

  const key = nanoid();
  for (let time = 1; time <= 2; time++) {
    const added = await change(sale.id, { addStock: 5 }, { key });
    expect([added.status, added.headers.get('takes-effect')]).toEqual([200, 'within seconds']);
  }
  const cancelled = await cancel(order);
  expect([cancelled.status, cancelled.headers.get('takes-effect')]).toEqual([200, 'within seconds']);
  expect(await recordOf(sale)).toMatchObject({ stock: 14, unitsOnSale: 15, unitsReturned: 1 });

  const [one, other] = system.servers.map(({ url }) => url);
  const signedOut = await system.api('DELETE', '/api/sessions', { token, at: one as string });
  expect(signedOut.status).toBe(204);
  await waitUntil(
    async () => (await system.api('GET', '/api/orders', { token, at: other as string })).status === 401,
    { deadlineMs: 10_000, what: 'the other server refuses the token, which Redis could not tell it' },
  );

  await system.restartRedis();
  await expectGateRight(sale);
});
