import mongoose, { type Connection } from 'mongoose';
import { nanoid } from 'nanoid';
import { afterAll, beforeAll, expect, inject, test } from 'vitest';
import { openMutex } from '../../runtime/mutex.ts';
import type { Purchase } from '../../sale/contract.ts';
import { orderIdOf } from '../../sale/order.ts';
import { type Poison, readJob } from '../../sale/queue/queue.ts';
import { allowanceKey } from '../../sale/settlement/decide.ts';
import { openSettlement } from '../../sale/settlement/settlement.ts';
import type { Batch } from '../../sale/settlement/transaction.ts';
import { type Collections, openCollections, prepareCollections } from '../../store/collections.ts';
import { Fenced, requireFences, takeFence } from '../../store/shards.ts';

let mongo: Connection;
let collections: Collections;
beforeAll(async () => {
  const url = new URL(inject('mongoUrl'));
  url.pathname = `/settlement-${nanoid(8)}`;
  mongo = mongoose.createConnection(url.href);
  collections = openCollections(mongo);
  await mongo.asPromise();
  await prepareCollections(collections);
});
afterAll(async () => {
  await mongo.dropDatabase();
  await mongo.close();
});

async function putOnSale({ stock = 10, limitPerBuyer = 1 } = {}): Promise<string> {
  const _id = nanoid();
  const window = { opensAt: new Date(0), closesAt: new Date('2100-01-01') };
  await collections.sales.insertOne({
    _id,
    productId: 'a-product',
    price: { amount: 100, currency: 'EUR' },
    ...window,
    limitPerBuyer,
    stock,
    unitsOnSale: stock,
    paused: false,
    stockVersion: 0,
    eventSeq: 0,
    revision: 0,
    createdAt: new Date(),
  });
  return _id;
}

function press(saleId: string, { buyerId = nanoid(), quantity = 1, key = nanoid() } = {}): Purchase {
  const orderId = orderIdOf(buyerId, saleId, key);
  return { orderId, saleId, buyerId, quantity, idempotencyKey: key, createdAt: new Date().toISOString() };
}

/** Each settles as a shard of its own, so that two of them do not shut each other out. */
let nextShard = 100;
/** No other worker takes a shard. */
const taken = new AbortController().signal;

/** Settles as a worker does. @param committed receives every committed batch. */
function openSettle(committed: Batch[] = []): (purchases: Purchase[], again?: boolean) => Promise<Poison[]> {
  const settle = openSettlementOf(committed);
  const begun = takeFence(collections, nextShard++);
  return async (purchases, again = false) => settle({ purchases, again, fence: await begun, taken });
}

function openSettlementOf(committed: Batch[] = []) {
  return openSettlement({
    collections,
    maxPurchases: 1_000,
    minIntervalMs: 0,
    patienceMs: 0,
    isTransient: () => false,
    stopping: new AbortController().signal,
    exclusive: openMutex(),
    otherWriters: { refresh: async () => {}, gapMs: () => 0 },
    async afterCommit(batch) {
      committed.push(batch);
    },
  });
}

/** All documents of a sale that a settlement may change. */
async function stateOf(saleId: string) {
  const sale = await collections.sales.findOne({ _id: saleId });
  const orders = await collections.orders.find({ saleId }).sort({ _id: 1 }).toArray();
  const allowances = (await collections.allowances.find().sort({ _id: 1 }).toArray()).filter(({ _id }) =>
    _id.startsWith(`${saleId}:`),
  );
  const paid = orders
    .filter(({ status }) => status === 'paid')
    .reduce((sum, { quantity }) => sum + quantity, 0);
  return { sale, orders, allowances, paid };
}

test('a batch creates orders and allowances, takes stock, and is broadcast', async () => {
  const saleId = await putOnSale({ stock: 3, limitPerBuyer: 2 });
  const crowd = [
    press(saleId, { buyerId: 'ann', quantity: 2 }),
    press(saleId, { buyerId: 'ann', quantity: 1 }),
    press(saleId, { buyerId: 'bob', quantity: 2 }),
    press(saleId, { buyerId: 'cy', quantity: 1 }),
  ];
  const committed: Batch[] = [];
  await openSettle(committed)(crowd);

  const { sale, orders, allowances } = await stateOf(saleId);
  expect(sale).toMatchObject({ stock: 0, stockVersion: 1, unitsOnSale: 3 });
  const outcome = new Map(orders.map(({ _id, status, reason }) => [_id, reason ?? status]));
  expect(crowd.map(({ orderId }) => outcome.get(orderId))).toEqual([
    'paid',
    'over_limit',
    'sold_out',
    'paid',
  ]);
  expect(allowances).toEqual([
    { _id: allowanceKey(saleId, 'ann'), units: 2 },
    { _id: allowanceKey(saleId, 'cy'), units: 1 },
  ]);
  expect(committed).toHaveLength(1);
  expect(committed[0]?.settled.stocks).toMatchObject([{ saleId, stock: 0, stockVersion: 1 }]);
  expect(committed[0]?.settled.orders.map(({ buyerId, order }) => [buyerId, order.status])).toEqual([
    ['ann', 'paid'],
    ['ann', 'rejected'],
    ['bob', 'rejected'],
    ['cy', 'paid'],
  ]);
  expect(committed[0]?.settledPurchases).toEqual(
    [null, 'over_limit', 'sold_out', null].map((reason, n) => {
      const { orderId, buyerId, quantity } = crowd[n] as Purchase;
      return { orderId, saleId, personId: buyerId, quantity, reason };
    }),
  );
});

test('settling the same purchases again changes nothing and reports them as done', async () => {
  const saleId = await putOnSale({ stock: 5, limitPerBuyer: 2 });
  const crowd = Array.from({ length: 8 }, () => press(saleId));
  await openSettle()(crowd);
  const before = await stateOf(saleId);
  expect(before.paid).toBe(5);

  const committed: Batch[] = [];
  await openSettle(committed)([...crowd, ...crowd]);
  expect(await stateOf(saleId)).toEqual(before);
  expect(committed[0]?.settled).toEqual({ stocks: [], orders: [] });
  expect(new Set(committed[0]?.settledPurchases.map(({ orderId }) => orderId))).toEqual(
    new Set(crowd.map(({ orderId }) => orderId)),
  );
});

test('jobs that arrive during a settlement share the next transaction', async () => {
  const saleId = await putOnSale({ stock: 100 });
  const committed: Batch[] = [];
  const settle = openSettle(committed);
  await Promise.all(Array.from({ length: 20 }, () => settle([press(saleId)])));
  expect((await stateOf(saleId)).paid).toBe(20);
  expect(committed.length).toBeLessThan(20);
});

test('two concurrent settlements of the same purchases sell no unit twice', async () => {
  const saleId = await putOnSale({ stock: 150, limitPerBuyer: 3 });
  const buyers = Array.from({ length: 30 }, () => nanoid());
  const crowd = Array.from({ length: 300 }, (_, index) =>
    press(saleId, { buyerId: buyers[index % 30] ?? '' }),
  );
  const settles = [openSettle(), openSettle()];
  const jobs = Array.from({ length: 30 }, (_, index) => crowd.slice(index * 10, index * 10 + 10));
  await Promise.all(jobs.flatMap((job) => settles.map((settle) => settle(job))));

  const { sale, orders, allowances, paid } = await stateOf(saleId);
  expect(new Set(orders.map(({ _id }) => _id))).toEqual(new Set(crowd.map(({ orderId }) => orderId)));
  expect(orders).toHaveLength(300);
  // 30 buyers, three units each.
  expect(paid).toBe(90);
  expect(sale?.stock).toBe(60);
  expect(allowances.map(({ units }) => units)).toEqual(Array(30).fill(3));
});

test('two concurrent settlements sell exactly the last units', async () => {
  const saleId = await putOnSale({ stock: 25 });
  const settles = [openSettle(), openSettle()];
  const jobs = Array.from({ length: 20 }, () => [press(saleId), press(saleId), press(saleId)]);
  await Promise.all(jobs.map((job, index) => settles[index % 2]?.(job)));
  const { sale, orders, paid } = await stateOf(saleId);
  expect({ stock: sale?.stock, paid, orders: orders.length }).toEqual({ stock: 0, paid: 25, orders: 60 });
});

/** Sets an invalid stock that passes `decide` but not the guarded update, so that no purchase of the sale can be settled. */
const spoil = (saleId: string) =>
  mongo.collection('sales').updateOne({ _id: saleId as never }, { $set: { stock: '10' } });

test('a refused guard aborts the whole transaction without a broadcast', async () => {
  const saleId = await putOnSale();
  await spoil(saleId);
  const committed: Batch[] = [];
  const purchase = press(saleId);
  const poison = await openSettle(committed)([purchase]);
  expect(poison).toMatchObject([
    { raw: purchase, error: { message: `The stock of sale ${saleId} is too low for the 1 units decided` } },
  ]);
  expect(await stateOf(saleId)).toMatchObject({ orders: [], allowances: [], sale: { stockVersion: 0 } });
  expect(committed).toEqual([]);
});

test('a purchase that cannot be settled does not block others, in its job or in other jobs', async () => {
  const [good, bad] = [await putOnSale({ stock: 100 }), await putOnSale()];
  await spoil(bad);
  const settle = openSettle();
  const mixed = [press(good), press(bad), press(good), press(good), press(bad)];
  const [poison, none] = await Promise.all([settle(mixed), settle([press(good), press(good)])]);
  expect(poison.map(({ raw }) => raw)).toEqual([mixed[1], mixed[4]]);
  expect(none).toEqual([]);
  expect((await stateOf(good)).paid).toBe(5);
});

test('a failed order is decided again only when its dead letter is republished', async () => {
  const saleId = await putOnSale();
  const purchase = press(saleId);
  const { orderId, createdAt, lines: _, ...rest } = purchase;
  const givenUp = { _id: orderId, ...rest, status: 'rejected', reason: 'failed' } as const;
  await collections.orders.insertOne({ ...givenUp, createdAt: new Date(createdAt), settledAt: new Date() });

  await openSettle()([purchase]);
  expect((await stateOf(saleId)).orders).toMatchObject([{ status: 'rejected', reason: 'failed' }]);
  await openSettle()([purchase], true);
  await openSettle()([purchase], true);
  expect(await stateOf(saleId)).toMatchObject({
    paid: 1,
    orders: [{ status: 'paid', reason: null }],
    sale: { stock: 9 },
  });
});

test('a purchase of an unknown sale is rejected', async () => {
  const purchase = press(nanoid());
  await openSettle()([purchase]);
  expect(await collections.orders.findOne({ _id: purchase.orderId })).toMatchObject({
    status: 'rejected',
    reason: 'unknown_sale',
  });
});

const good = press('a-sale');
test.each<[string, string, object]>([
  ['a negative quantity', 'quantity', { quantity: -3 }],
  ['a quantity of 0', 'quantity', { quantity: 0 }],
  ['half a unit', 'quantity', { quantity: 1.5 }],
  ['a quantity that is text', 'quantity', { quantity: '1' }],
  ['an operator for a quantity', 'quantity', { quantity: { $inc: 1 } }],
  ['an operator for a sale id', 'saleId', { saleId: { $ne: null } }],
  ['no buyer', 'buyerId', { buyerId: '' }],
  ['a short order id', 'orderId', { orderId: 'short' }],
  ['a vague time', 'createdAt', { createdAt: 'yesterday' }],
  ['a field too many', 'price', { price: 0 }],
])('a purchase with %s is set apart from its neighbours, and the error names %s', (_what, named, change) => {
  const raw = { ...good, ...change };
  const { purchases, malformed } = readJob({ purchases: [good, raw, good] });
  expect(purchases).toEqual([good, good]);
  expect(malformed).toHaveLength(1);
  expect(malformed[0]?.raw).toBe(raw);
  expect(malformed[0]?.error.message).toMatch(/^Not a purchase: /);
  expect(malformed[0]?.error.message).toContain(named);
});

test.each<[string, unknown]>([
  ['an empty list', { purchases: [] }],
  ['no list', {}],
  ['null', null],
  ['a text', 'a text'],
  ['a field too many', { purchases: [good], price: 0 }],
])('a job with %s for its content is refused', (_what, data) => {
  expect(() => readJob(data)).toThrow(/^Not a purchase: /);
});

test('a worker that another one has followed writes nothing of that shard, and settles its other shards', async () => {
  const [lost, kept] = [await putOnSale({ stock: 3 }), await putOnSale({ stock: 3 })];
  const settle = openSettlementOf();
  const [former, other] = [await takeFence(collections, 1), await takeFence(collections, 2)];
  const newer = await takeFence(collections, 1);
  expect(newer.token).toBeGreaterThan(former.token);
  const before = await stateOf(lost);
  const [ofFormer, ofOther] = await Promise.allSettled([
    settle({ purchases: [press(lost)], again: false, fence: former, taken }),
    settle({ purchases: [press(kept)], again: false, fence: other, taken }),
  ]);
  expect(ofFormer).toMatchObject({ status: 'rejected', reason: expect.any(Fenced) });
  expect(ofOther).toMatchObject({ status: 'fulfilled', value: [] });
  expect(await stateOf(lost)).toEqual(before);
  expect((await stateOf(kept)).paid).toBe(1);
  await settle({ purchases: [press(lost)], again: false, fence: newer, taken });
  expect((await stateOf(lost)).paid).toBe(1);
});

test('a transaction that is in progress when another worker takes its shard is undone', async () => {
  const saleId = await putOnSale({ stock: 3 });
  const former = await takeFence(collections, 3);
  const session = await collections.connection.startSession();
  session.startTransaction();
  // It has its snapshot before the other worker begins.
  await collections.sales.findOne({ _id: saleId }, { session });
  await takeFence(collections, 3);
  await expect(requireFences(collections, [former], session)).rejects.toMatchObject({ code: 112 });
  await session.endSession();
});
