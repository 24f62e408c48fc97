import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { nanoid } from 'nanoid';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { byCommand } from '../../../commands/system.ts';
import { type AuditReport, audit } from '../../../insight/audit/audit.ts';
import type { AuditSizes } from '../../../insight/audit/sale.ts';
import { readAuditStatus } from '../../../insight/audit/status.ts';
import type { Change } from '../../../log/schemas.ts';
import { ROOT } from '../../../ops/local/folders.mjs';
import { run, waitUntil } from '../../../ops/local/processes/process.mjs';
import type { Order, SaleSnapshot } from '../../../sale/contract.ts';
import { orderIdOf } from '../../../sale/order.ts';
import { openSimulated } from '../../../sale/payment/simulated.ts';
import { cancelOrders } from '../../../sale/settlement/cancellation.ts';
import { allowanceKey } from '../../../sale/settlement/decide.ts';
import { settleBatch } from '../../../sale/settlement/transaction.ts';
import type { EventRecord, OrderRecord } from '../../../store/collections.ts';
import { bullOf, jobsIn, pauseQueues, resumeQueues } from '../../support/bull.ts';
import { startSystem, type TestSystem } from '../../support/harness.ts';

let system: TestSystem;
beforeAll(async () => {
  system = await startSystem({ servers: 1, nginx: false });
});
afterAll(() => system.close());

/** A sale of 10 units with a limit of 4, of which one buyer has 3. */
let sale: { id: string };
let order: Order;
let buyerId: string;
beforeEach(async () => {
  const { sales, orders, allowances, events } = system.store.collections;
  await Promise.all(
    [sales, orders, allowances, events].map((model) => (model as typeof events).deleteMany()),
  );
  await system.store.redis.flushall();
  sale = await system.createSale({ stock: 10, limitPerBuyer: 4 });
  buyerId = nanoid();
  const token = system.buyerToken(buyerId);
  const { body } = await system.buy(sale.id, token, { quantity: 3 });
  order = await system.settled(body.orderId, token);
  await system.quiet();
});

const node = (args: string[], env: Record<string, string>) =>
  run(process.execPath, args, { cwd: ROOT, env: { ...process.env, ...env }, deadlineMs: 60_000 });
const command = (env: Record<string, string>) => node(['run.mjs', 'commands/audit.ts'], env);
const { MONGO_URL: _mongo, REDIS_URL: _redis, ...bare } = process.env as Record<string, string>;

/** Even a single order is read in one of three parts. */
const inParts: AuditSizes = { ordersInSnapshot: 0, ordersInPartition: 1 / 3, batchSize: 2 };
const auditInParts = (sizes = inParts) => {
  const { collections, gate, queue } = system.store;
  return audit(collections, gate, queue, { sizes });
};

/** @returns what is found in one snapshot, and the same in parts. */
async function auditTwice(): Promise<AuditReport> {
  const [report, again] = [await system.audit(), await auditInParts()];
  const found = ({ ok, orders, I1, I2, I3, I4, I5, I7, I8 }: AuditReport) => {
    const all = [I1, I2, I3, I4, I5, { ...I7, listed: null }, I8];
    return [ok, orders, all.map((finding) => ({ ...finding, examples: finding.examples.toSorted() }))];
  };
  expect(found(again)).toEqual(found(report));
  return report;
}

type Invariant = 'I1' | 'I2' | 'I3' | 'I4';
async function expectBreach(broken: Invariant[], example: string): Promise<void> {
  const report = await auditTwice();
  const found = (['I1', 'I2', 'I3', 'I4'] as const).filter((name) => report[name].breaches > 0);
  expect(found).toEqual(broken);
  expect(report.ok).toBe(false);
  const examples = broken.flatMap((name) => report[name].examples);
  expect(examples.join('\n')).toContain(example);
}

test('the audit of a consistent shop exits with 0 and prints one line of JSON with its checks', async () => {
  const { ok, stdout } = await command(system.env);
  expect(ok).toBe(true);
  expect(stdout.trimEnd().split('\n')).toHaveLength(1);
  const sound = { breaches: 0, examples: [], checked: 1 };
  const report = JSON.parse(stdout) as AuditReport;
  expect(report).toMatchObject({ ok: true, sales: 1, orders: 1, queued: 0, I1: sound, I2: sound, I3: sound });
  expect(report.I4).toMatchObject({ breaches: 0, examples: [] });
});

test('the audit of a breach exits with 1 and prints one line of JSON that says where', async () => {
  await system.store.collections.sales.updateOne({ _id: sale.id }, { $inc: { stock: 1 } });
  const { ok, stdout } = await command(system.env);
  expect(ok).toBe(false);
  expect(stdout.trimEnd().split('\n')).toHaveLength(1);
  expect(JSON.parse(stdout)).toMatchObject({
    ok: false,
    I1: { breaches: 1, examples: [`sale ${sale.id}: 3 sold + 8 left, 10 were put on sale`] },
  });
});

test('I1: a stock that differs from the unsold units is a breach', async () => {
  await system.store.collections.sales.updateOne({ _id: sale.id }, { $inc: { stock: -1 } });
  await expectBreach(['I1'], sale.id);
});

test('I1: a stock below zero is a breach, even if the sum is right', async () => {
  const { collections } = system.store;
  await collections.sales.updateOne({ _id: sale.id }, { $set: { stock: -1, unitsOnSale: 2 } });
  await expectBreach(['I1'], '3 sold + -1 left');
});

test('I1: sold units of a sale that does not exist are a breach', async () => {
  await system.store.collections.sales.deleteOne({ _id: sale.id });
  await expectBreach(['I1', 'I4'], 'unknown sale');
});

test('I2: an accepted purchase without order and job is a breach', async () => {
  const { collections } = system.store;
  await collections.orders.deleteOne({ _id: order.id });
  await collections.allowances.deleteOne({ _id: allowanceKey(sale.id, buyerId) });
  await collections.sales.updateOne({ _id: sale.id }, { $set: { stock: 10 } });
  await expectBreach(['I2'], `purchase ${order.id} was accepted, and has neither an order nor a job`);
});

test('I2: an accepted purchase is no breach while its job is queued', async () => {
  await pauseQueues(system.store.queue);
  try {
    const { body } = await system.buy(sale.id, system.buyerToken());
    expect(await system.audit()).toMatchObject({ ok: true, queued: 1 });
    for (const job of await jobsIn(system.store.queue, ['waiting', 'paused', 'delayed'])) await job.remove();
    await expectBreach(['I2'], body.orderId);
  } finally {
    await resumeQueues(system.store.queue);
  }
});

test('a malformed job does not stop the audit', async () => {
  await pauseQueues(system.store.queue);
  try {
    await bullOf(system.store.queue).add({ purchases: 'poison' } as never);
    expect(await system.audit()).toMatchObject({ ok: true });
  } finally {
    await bullOf(system.store.queue).removeJobs('*');
    await resumeQueues(system.store.queue);
  }
});

test('I5: an event log with a gap or with another result is a breach', async () => {
  const { events } = system.store.collections;
  const creation = (await events.findOne({ saleId: sale.id }, { sort: { _id: 1 } })) as EventRecord;
  await events.deleteOne({ _id: creation._id });
  expect((await auditTwice()).I5).toMatchObject({
    breaches: 3,
    examples: expect.arrayContaining([expect.stringContaining('is missing in the log')]),
  });

  const changes = [{ ...creation.changes[0], stock: 11 } as Change];
  await events.insertMany([{ ...creation, changes }]);
  const report = await auditTwice();
  expect(report).toMatchObject({ ok: false, I1: { breaches: 0 }, I5: { breaches: 1 } });
  expect(report.I5.examples[0]).toBe(`sale ${sale.id}: the log gives 8 of 11 units left, the sale has 7`);
});

test('I3: a second order for one Idempotency-Key is a breach', async () => {
  const { orders, sales, allowances } = system.store.collections;
  const doubled = {
    ...((await orders.findOne({ _id: order.id })) as OrderRecord),
    _id: nanoid(22),
    quantity: 1,
  };
  await orders.insertMany([doubled]);
  await sales.updateOne({ _id: sale.id }, { $inc: { stock: -1 } });
  await allowances.updateOne({ _id: allowanceKey(sale.id, buyerId) }, { $inc: { units: 1 } });
  await expectBreach(
    ['I3'],
    `order ${doubled._id} does not have the id derived from its buyer, sale and key`,
  );
});

test('I4: a buyer over the limit is a breach', async () => {
  const { orders, sales, allowances } = system.store.collections;
  const more = {
    ...((await orders.findOne({ _id: order.id })) as OrderRecord),
    idempotencyKey: 'more',
    _id: orderIdOf(buyerId, sale.id, 'more'),
  };
  await orders.insertMany([more]);
  await sales.updateOne({ _id: sale.id }, { $inc: { stock: -3 } });
  await allowances.updateOne({ _id: allowanceKey(sale.id, buyerId) }, { $inc: { units: 3 } });
  await expectBreach(['I4'], 'has 6 units, the limit is 4');
});

test('I4: an allowance that is wrong or missing is a breach', async () => {
  const { allowances } = system.store.collections;
  const _id = allowanceKey(sale.id, buyerId);
  await allowances.updateOne({ _id }, { $inc: { units: -1 } });
  await expectBreach(['I4'], 'allowance 2, orders 3');
  await allowances.deleteOne({ _id });
  await expectBreach(['I4'], 'allowance 0, orders 3');
});

test('I4: what was counted before the limit of an item was removed is no breach', async () => {
  const { product, opensAt, closesAt } = await system.createSale();
  const item = { productId: product.id, price: { amount: 100, currency: 'EUR' }, stock: 5, limitPerBuyer: 2 };
  const items = [
    { ...item, label: 'small' },
    { ...item, label: 'large' },
  ];
  const asAdmin = { token: system.adminToken };
  const made = await system.api<SaleSnapshot>('POST', '/api/sales', {
    ...asAdmin,
    body: { items, limitPerBuyer: 4, opensAt, closesAt },
  });
  expect(made.status).toBe(201);
  const { id } = made.body;
  const itemId = made.body.items[0]?.id ?? '';
  const token = system.buyerToken();
  const { body } = await system.buy(id, token, { lines: [{ itemId, quantity: 2 }] });
  expect((await system.settled(body.orderId, token)).status).toBe('paid');
  const itemLimits = [{ itemId, limitPerBuyer: null }];
  const changed = await system.api('PATCH', `/api/sales/${id}`, { ...asAdmin, body: { itemLimits } });
  expect(changed.status).toBe(200);
  const report = await auditTwice();
  expect([report.ok, report.I4.examples]).toEqual([true, []]);
});

test('I5: an order that differs from its log, or is in one of both only, is a breach', async () => {
  const { orders } = system.store.collections;
  const differs = await changedOrder({ status: 'cancelled' });
  // Its units and its allowance do not agree either.
  expect([differs.I1.breaches, differs.I4.breaches, differs.I5.examples]).toEqual([
    1,
    1,
    [`order ${order.id}: the log says paid 3 (3 of item 1) ${buyerId} of ${buyerId}`],
  ]);
  expect((await changedOrder({ personId: 'another' })).I5.breaches).toBe(1);
  expect((await changedOrder({ refundedAmount: 1 })).I5.breaches).toBe(1);
  expect(
    (await changedOrder({ lines: [{ itemId: '2', label: '', quantity: 3, amount: 1 }] })).I5.breaches,
  ).toBe(1);
  const record = (await orders.findOne({ _id: order.id })) as OrderRecord;
  const unknown = { ...record, idempotencyKey: 'unknown', _id: orderIdOf(buyerId, sale.id, 'unknown') };
  await orders.insertMany([{ ...unknown, status: 'rejected' }]);
  expect((await auditTwice()).I5.examples).toEqual([`order ${unknown._id} is not in the log`]);
  await orders.deleteMany({});
  expect((await auditTwice()).I5.breaches).toBe(1);

  async function changedOrder($set: Partial<OrderRecord>): Promise<AuditReport> {
    const before = (await orders.findOne({ _id: order.id })) as OrderRecord;
    await orders.updateOne({ _id: order.id }, { $set });
    const report = await auditTwice();
    await orders.replaceOne({ _id: order.id }, before);
    return report;
  }
});

test('a sale that is read in parts while it sells and gives units back is in order', async () => {
  const { collections } = system.store;
  const busy = await system.createSale({ sizes: { S: 400, M: 400 }, limitPerBuyer: 300 });
  const state = { ended: false, made: [] as string[], cancelled: 0 };

  async function sell(n: number): Promise<void> {
    const purchases = Array.from({ length: 3 }, (_, k) => {
      // Some buyers come again, others are new.
      const [own, idempotencyKey] = [`buyer-${k === 0 ? n % 5 : `${n}-${k}`}`, `${n}-${k}`];
      const lines = [{ itemId: `${1 + (n % 2)}`, quantity: 1 }];
      const what = { buyerId: own, quantity: 1, lines, idempotencyKey, createdAt: new Date().toISOString() };
      return { orderId: orderIdOf(own, busy.id, idempotencyKey), saleId: busy.id, ...what };
    });
    await settleBatch(collections, purchases);
    state.made.push(...purchases.map(({ orderId }) => orderId));
    if (n % 2 === 0) return;
    const orderId = state.made[(n * 7) % state.made.length] ?? '';
    const request = {
      orderId,
      by: 'staff' as const,
      staff: byCommand('test'),
      reason: 'a test',
      restock: n % 4 === 1,
    };
    const { cancelled } = await cancelOrders(collections, [request]);
    if (cancelled) state.cancelled += 1;
  }
  for (let n = 0; n < 20; n++) await sell(n);
  const selling = (async () => {
    for (let n = 20; !state.ended; n++) await sell(n);
  })().finally(() => {
    state.ended = true;
  });
  try {
    for (
      let audits = 0, before = 0;
      !state.ended && (audits < 5 || state.made.length < before + 20);
      audits++
    ) {
      before ||= state.made.length;
      const report = await auditInParts({ ...inParts, ordersInPartition: 20, batchSize: 20 });
      expect(report.ok, JSON.stringify(report)).toBe(true);
    }
  } finally {
    state.ended = true;
    await selling;
  }
  expect((await auditTwice()).orders).toBe(state.made.length + 1);
  expect(state.cancelled).toBeGreaterThan(10);
});

test('a closed sale is read again only when it or its orders or payments have changed', async () => {
  const { collections, gate, queue } = system.store;
  const next = async () => {
    const { ok, salesRead, orders, I1, I5 } = await audit(collections, gate, queue, { isWhole: false });
    return { ok, salesRead, orders, checked: [I1.checked, I5.checked] };
  };
  const open = await next();
  expect(open).toMatchObject({ ok: true, salesRead: 1, orders: 1 });
  expect(await next()).toEqual(open);
  await system.changeSale(sale.id, { closesAt: new Date(Date.now() + 100) });
  // The leader writes the end of the sale to its log.
  await waitUntil(async () => (await collections.sales.findOne({ _id: sale.id }))?.phase === 'ended', {
    deadlineMs: 20_000,
    what: 'the sale has ended',
  });
  await waitUntil(async () => (await next()).salesRead === 0, {
    deadlineMs: 10_000,
    what: 'the sale is not read again',
  });
  const kept = await audit(collections, gate, queue, { isWhole: false });
  expect(kept).toMatchObject({ ok: true, salesRead: 0, orders: 1, closedReadAt: expect.any(String) });
  // A whole audit reads it, and so does the next one after a change.
  expect(await audit(collections, gate, queue)).toMatchObject({ ok: true, salesRead: 1, orders: 1 });
  await collections.orders.updateOne({ _id: order.id }, { $set: { quantity: 2 } });
  expect(await next()).toMatchObject({ ok: true, salesRead: 0 });
  await collections.sales.updateOne({ _id: sale.id }, { $inc: { eventSeq: 1 } });
  expect(await next()).toMatchObject({ ok: false, salesRead: 1 });
  // What is not in order is read until it is.
  expect(await next()).toMatchObject({ ok: false, salesRead: 1 });
});

test('the orders of an open sale that takes long to read rest, and its log and counts do not', async () => {
  const { collections, gate, queue } = system.store;
  const next = async () => {
    const { ok, salesRead, salesGlanced, orders, ordersReadAt } = await audit(collections, gate, queue, {
      isWhole: false,
      glanceAboveMs: 0,
    });
    return { ok, read: [salesRead, salesGlanced], orders, ordersReadAt };
  };
  const readAgain = (tookMs: number) =>
    collections.saleAudits.updateOne({ _id: sale.id }, { $set: { tookMs } });
  expect(await next()).toMatchObject({ ok: true, read: [1, 0], ordersReadAt: null });
  // As if reading had taken a minute: it rests for twenty.
  await readAgain(60_000);
  const kept = await collections.saleAudits.findOne({ _id: sale.id });
  const rested = { ok: true, read: [0, 1], orders: 1, ordersReadAt: kept?.at.toISOString() };
  expect(await next()).toEqual(rested);
  // The provider's list is compared with payments that are read for it.
  const provider = openSimulated({ collections, webhookSecrets: ['secret'], latencyMs: 0 });
  const withProvider = { isWhole: false, glanceAboveMs: 0, provider };
  expect(await audit(collections, gate, queue, withProvider)).toMatchObject({
    salesRead: 1,
    salesGlanced: 0,
  });
  await readAgain(60_000);
  rested.ordersReadAt = (await collections.saleAudits.findOne({ _id: sale.id }))?.at.toISOString();
  // What was sold since is in the log, from which the next look goes on.
  const token = system.buyerToken();
  await system.settled((await system.buy(sale.id, token)).body.orderId, token);
  await system.quiet();
  expect(await next()).toEqual(rested);
  expect((await collections.saleAudits.findOne({ _id: sale.id }))?.log).toMatchObject({
    stock: 6,
    unitsOnSale: 10,
  });
  // Counts that the log does not give are seen at once, and so is a gap in the log.
  const { sales, events } = collections;
  await sales.updateOne({ _id: sale.id }, { $inc: { stock: 1 } });
  expect(await next()).toMatchObject({ ok: false, read: [1, 0] });
  await sales.updateOne({ _id: sale.id }, { $inc: { stock: -1 } });
  expect(await next()).toMatchObject({ ok: true, read: [1, 0], orders: 2 });
  await readAgain(60_000);
  await system.settled((await system.buy(sale.id, system.buyerToken())).body.orderId, token).catch(() => {});
  await system.quiet();
  const last = await events.findOne({ saleId: sale.id }, { sort: { _id: -1 } });
  await events.deleteOne({ _id: last?._id ?? '' });
  expect(await next()).toMatchObject({ ok: false, read: [1, 0] });
});

test('the leader runs an audit of its own process when it is requested', async () => {
  const request = () => system.api('POST', '/api/admin/audits', { token: system.adminToken });
  const light = async () => (await readAuditStatus(system.store.redis)).state;
  expect((await request()).status).toBe(202);
  expect((await request()).status).toBe(503);
  expect(await light()).toBe('running');
  await waitUntil(async () => (await light()) === 'ok', { deadlineMs: 30_000, what: 'the audit has ended' });
});

test('npm run audit without a running system prints one line that says so', async () => {
  const STAMPEDE_DATA_DIR = await mkdtemp(join(tmpdir(), 'stampede-none-'));
  const env = { ...bare, STAMPEDE_DATA_DIR, MONGO_URL: '', REDIS_URL: '' };
  const { ok, output, stdout } = await command(env);
  await rm(STAMPEDE_DATA_DIR, { recursive: true });
  expect([ok, stdout]).toEqual([false, '']);
  expect(output.trim()).toBe(
    'No system runs here. Start one with `npm start`, or name one with MONGO_URL and REDIS_URL.',
  );
});

test.each([
  ['MONGO_URL', 'mongodb://127.0.0.1:1/shop'],
  ['REDIS_URL', 'redis://127.0.0.1:1'],
])('where %s leads nowhere the command says so and ends', async (name, url) => {
  const { ok, output, stdout } = await command({ ...system.env, MONGO_WAIT_MS: '500', [name]: url });
  expect([ok, stdout]).toEqual([false, '']);
  const which = name === 'MONGO_URL' ? 'MongoDB' : 'Redis';
  expect(output.trim()).toMatch(
    new RegExp(`^${which} at 127.0.0.1:1 does not answer .*: start it, or correct ${name}\\.$`),
  );
});
