import { cp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { nanoid } from 'nanoid';
import { io } from 'socket.io-client';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { waitUntil } from '../../../ops/local/processes/process.mjs';
import type { Purchase, SaleSnapshot } from '../../../sale/contract.ts';
import { orderIdOf } from '../../../sale/order.ts';
import { allowanceKey } from '../../../sale/settlement/decide.ts';
import { keysOf, unsharded } from '../../../sale/shard.ts';
import { jobsIn, pauseQueues, resumeQueues } from '../../support/bull.ts';
import { startSystem, type TestSystem } from '../../support/harness.ts';
import { readSamples, valueIn } from '../../support/samples.ts';
import { expectNothingLost, startBuyers, waitForAccepted } from '../support/buyers.ts';

/** Gates that missed a change, are outdated after a restore, or have wrong counts. */

const env = { JOB_LOCK_MS: '1500', RECONCILE_INTERVAL_MS: '500', RECONCILE_AFTER_MS: '1500' };
const soon = { deadlineMs: 15_000 };
/** Two seconds, with a margin for a loaded machine. */
const obeysWithin = { deadlineMs: 4_000, everyMs: 20 };

let system: TestSystem;
beforeAll(async () => {
  system = await startSystem({ servers: 1, nginx: false, env });
});
afterAll(() => system.close());

/** The counts of a sale and of each of its buyers, in its gate and in MongoDB. */
async function countsOf(saleId: string) {
  const { collections, gate, redis } = system.store;
  const sale = await collections.sales.findOne({ _id: saleId });
  const fields = await redis.hgetall(gate.keyOf(saleId));
  const allowances = await collections.allowances.find().toArray();
  const prefix = allowanceKey(saleId, '');
  const inMongo = allowances.filter(({ _id, units }) => _id.startsWith(prefix) && units > 0);
  const inGate = Object.entries(fields).filter(([name, units]) => name.startsWith('b:') && units !== '0');
  return {
    gate: {
      left: Number(fields.left),
      queued: Number(fields.queued ?? 0),
      paused: fields.paused === '1',
      buyers: Object.fromEntries(inGate.map(([name, units]) => [name.slice(2), Number(units)])),
    },
    mongo: {
      left: sale?.stock,
      queued: await gate.countQueued(),
      paused: sale?.paused,
      buyers: Object.fromEntries(inMongo.map(({ _id, units }) => [_id.slice(prefix.length), units])),
    },
  };
}

async function gateIsRight(saleId: string): Promise<void> {
  let seen: Awaited<ReturnType<typeof countsOf>> | undefined;
  await waitUntil(
    async () => {
      seen = await countsOf(saleId);
      return JSON.stringify(sorted(seen.gate)) === JSON.stringify(sorted(seen.mongo));
    },
    { ...soon, what: 'the gate counts what MongoDB has' },
  ).catch(() => expect(seen?.gate).toEqual(seen?.mongo));
}
const sorted = ({ buyers, ...counts }: { buyers: Record<string, number> }) => ({
  ...counts,
  buyers: Object.entries(buyers).sort(),
});

/** New buyers press Buy until MongoDB has no unit left, which fails if the gate has lost a unit. */
async function sellOut(saleId: string): Promise<void> {
  await waitUntil(
    async () => {
      await Promise.all(Array.from({ length: 20 }, () => system.buy(saleId, system.buyerToken())));
      return (await system.api('GET', `/api/sales/${saleId}`)).body.stock === 0;
    },
    { ...soon, what: 'every unit is sold' },
  );
}

/** Checks that everything is settled, all counts are right, every unit can be sold, and every invariant holds. */
async function expectRight(...saleIds: string[]): Promise<void> {
  await system.quiet();
  for (const saleId of saleIds) {
    await gateIsRight(saleId);
    await sellOut(saleId);
  }
  await system.quiet();
  expect(await system.audit()).toMatchObject({ ok: true, queued: 0 });
}

const forget = (saleId: string, orderId: string) =>
  system.store.redis.del(keysOf(system.store.gate.shardOf(saleId)).purchases + orderId);

describe('a purchase that Redis lost, and that is sent again with its key', () => {
  test('for another sale, gets an order of its own, and both sales sell every unit', async () => {
    const [one, other] = [await system.createSale({ stock: 4 }), await system.createSale({ stock: 6 })];
    const [token, key] = [system.buyerToken(), nanoid()];
    const first = await system.buy(one.id, token, { key });
    await system.settled(first.body.orderId, token);
    await forget(one.id, first.body.orderId);
    const second = await system.buy(other.id, token, { key });
    expect(second.status).toBe(202);
    expect(second.body.orderId).not.toBe(first.body.orderId);
    expect(await system.settled(second.body.orderId, token)).toMatchObject({
      saleId: other.id,
      status: 'paid',
    });
    await expectRight(one.id, other.id);
  });

  test('with another quantity or after a cancellation, gets the existing order, and no unit is lost', async () => {
    const sale = await system.createSale({ stock: 10, limitPerBuyer: 3 });
    const [kept, cancelled] = [system.buyerToken('kept'), system.buyerToken('cancelled')];
    const key = nanoid();
    const first = await system.buy(sale.id, kept, { key });
    const second = await system.buy(sale.id, cancelled, { key, quantity: 3 });
    const order = await system.settled(first.body.orderId, kept);
    await system.settled(second.body.orderId, cancelled);
    await system.api('DELETE', `/api/orders/${second.body.orderId}`, { token: cancelled });
    for (const { body } of [first, second]) await forget(sale.id, body.orderId);

    const again = await system.buy(sale.id, kept, { key, quantity: 2 });
    expect([again.status, again.body.orderId]).toEqual([202, order.id]);
    expect((await system.buy(sale.id, cancelled, { key, quantity: 3 })).status).toBe(202);
    await system.quiet();
    expect(await system.settled(order.id, kept)).toEqual(order);
    expect((await system.settled(second.body.orderId, cancelled)).status).toBe('cancelled');
    // The settlement gave the units back, without a repair.
    const { gate, mongo } = await countsOf(sale.id);
    expect(sorted(gate)).toEqual(sorted(mongo));
    expect((await system.buy(sale.id, kept, { quantity: 2 })).status).toBe(202);
    expect((await system.buy(sale.id, cancelled, { quantity: 3 })).status).toBe(202);
    await expectRight(sale.id);
  });

  test('while it is queued, takes its units once', async () => {
    const sale = await system.createSale({ stock: 5, limitPerBuyer: 2 });
    const [token, key] = [system.buyerToken('ann'), nanoid()];
    await pauseQueues(system.store.queue);
    const { body } = await system.buy(sale.id, token, { key });
    await forget(sale.id, body.orderId);
    expect((await system.buy(sale.id, token, { key })).body).toEqual(body);
    const {
      left,
      queued,
      'b:ann': units,
    } = await system.store.redis.hgetall(system.store.gate.keyOf(sale.id));
    expect([left, queued, units]).toEqual(['4', '1', '1']);
    await resumeQueues(system.store.queue);
    await expectRight(sale.id);
  });
});

test('units below those of queued purchases are withdrawn: new ones can be bought within seconds', async () => {
  const sale = await system.createSale({ stock: 10 });
  await pauseQueues(system.store.queue);
  const tokens = Array.from({ length: 8 }, () => system.buyerToken());
  const bought = await Promise.all(tokens.map((token) => system.buy(sale.id, token)));
  await system.changeSale(sale.id, { withdrawStock: 5 });
  const left = async () => Number(await system.store.redis.hget(system.store.gate.keyOf(sale.id), 'left'));
  expect(await left()).toBe(-3);
  await resumeQueues(system.store.queue);
  const orders = await Promise.all(
    bought.map(({ body }, n) => system.settled(body.orderId, tokens[n] ?? '')),
  );
  expect(orders.filter(({ status }) => status === 'paid')).toHaveLength(5);
  expect(orders.filter(({ reason }) => reason === 'sold_out')).toHaveLength(3);
  await waitUntil(async () => (await left()) === 0, { ...soon, what: 'the gate is corrected' });
  await system.changeSale(sale.id, { addStock: 2 });
  expect((await system.buy(sale.id, system.buyerToken())).status).toBe(202);
  await expectRight(sale.id);
});

test('gates are repaired while purchases flow and Redis loses some or all of its keys', async () => {
  const sale = await system.createSale({ stock: 700, limitPerBuyer: 4 });
  const repairs = async () => {
    const { body } = await system.api('GET', '/metrics', { at: system.workers[0]?.url ?? '' });
    return valueIn(readSamples(body), 'stampede_repairs_total', { what: 'gates' }) ?? 0;
  };
  const load = startBuyers(system, sale);
  await waitForAccepted(load, 50);
  for (const { orderId } of load.accepted.slice(-20)) await forget(sale.id, orderId);
  await waitForAccepted(load, 20);
  await system.store.redis.flushall();
  await waitForAccepted(load, 50);
  const before = await repairs();
  await system.store.redis.hincrby(system.store.gate.keyOf(sale.id), 'left', -300);
  await system.store.redis.hincrby(system.store.gate.keyOf(sale.id), 'b:somebody', 2);
  await waitUntil(async () => (await repairs()) >= before + 2, { ...soon, what: 'the gate is corrected' });
  await load.stop();
  await waitUntil(async () => (await load.resendUnknown()) === 0, { ...soon, what: 'all is known' });
  await expectNothingLost(system, sale, load);
  await expectRight(sale.id);
});

describe('a gate that missed a change', () => {
  /** Whether a new buyer is refused, and why. */
  const refusalOf = async (saleId: string) => {
    const { status, body } = await system.buy(saleId, system.buyerToken());
    return status === 409 ? (body as unknown as { type: string }).type : null;
  };
  const change = (saleId: string, body: object) =>
    system.api('PATCH', `/api/sales/${saleId}`, { token: system.adminToken, body });

  test('follows MongoDB when Redis was down while an admin paused, ended and restocked sales', async () => {
    const [paused, ended, added] = [
      await system.createSale(),
      await system.createSale(),
      await system.createSale({ stock: 1 }),
    ];
    for (const { id } of [paused, ended, added]) await system.buy(id, system.buyerToken());
    await system.quiet();
    const shown: string[] = [];
    const tab = io(system.servers[0]?.url ?? '', {
      auth: { token: system.buyerToken() },
      transports: ['websocket'],
    });
    tab.on('sale', ({ id, status }: SaleSnapshot) => shown.push(`${id} ${status}`));
    await tab.timeout(5_000).emitWithAck('watch', { saleId: paused.id });
    process.kill(system.redis().pid, 'SIGKILL');
    await system.redis().ended;
    // MongoDB has the change, and the answer says that the gate follows later.
    const changes = [
      await change(paused.id, { paused: true }),
      await change(ended.id, { closesAt: new Date() }),
      await change(added.id, { addStock: 3 }),
    ];
    for (const answer of changes) {
      expect(answer.status).toBe(200);
      expect(answer.headers.get('Takes-Effect')).toBe('within seconds');
    }
    expect((await system.api('GET', `/api/sales/${paused.id}`)).body.status).toBe('paused');
    await system.restartRedis();
    await obeys(paused.id, '/problems/paused');
    await obeys(ended.id, '/problems/ended');
    await waitUntil(() => shown.includes(`${paused.id} paused`), { ...soon, what: 'the tab shows it' });
    tab.close();
    await expectRight(added.id);
  });

  test('follows MongoDB after an old Redis directory is restored', async () => {
    const [paused, ended, sold] = [
      await system.createSale({ stock: 50 }),
      await system.createSale({ stock: 50 }),
      await system.createSale({ stock: 30, limitPerBuyer: 2 }),
    ];
    for (const { id } of [paused, ended, sold]) await system.buy(id, system.buyerToken());
    await system.quiet();
    const [, dir = ''] = (await system.store.redis.config('GET', 'dir')) as string[];
    const old = `${dir}-old`;
    await cp(dir, old, { recursive: true, filter: (path) => !path.endsWith('.sock') });
    try {
      await system.changeSale(paused.id, { paused: true });
      await system.changeSale(ended.id, { closesAt: new Date() });
      await system.changeSale(sold.id, { addStock: 5 });
      for (let n = 0; n < 10; n++) await system.buy(sold.id, system.buyerToken(), { quantity: 2 });
      await system.quiet();
      process.kill(system.redis().pid, 'SIGKILL');
      await system.redis().ended;
      for (const part of ['appendonlydir', 'appendonly.aof', 'dump.rdb']) {
        await rm(join(dir, part), { recursive: true, force: true });
        await cp(join(old, part), join(dir, part), { recursive: true }).catch(() => {});
      }
      await system.restartRedis();
      await obeys(paused.id, '/problems/paused');
      await obeys(ended.id, '/problems/ended');
      await expectRight(sold.id);
    } finally {
      await rm(old, { recursive: true });
    }
  });

  test('follows MongoDB when its revision is newer, as after a restore of MongoDB', async () => {
    const sale = await system.createSale({ stock: 5 });
    await system.buy(sale.id, system.buyerToken());
    await system.quiet();
    await system.store.redis.hset(system.store.gate.keyOf(sale.id), {
      revision: 9,
      paused: 1,
      units: 8,
      left: 7,
    });
    expect(await refusalOf(sale.id)).toBe('/problems/paused');
    await waitUntil(async () => (await refusalOf(sale.id)) !== '/problems/paused', {
      ...obeysWithin,
      what: 'it goes on',
    });
    await expectRight(sale.id);
  });

  const obeys = (saleId: string, refusal: string) =>
    waitUntil(async () => (await refusalOf(saleId).catch(() => null)) === refusal, {
      ...obeysWithin,
      what: `buyers are told ${refusal}`,
    });
});

describe('a purchase that Redis remembers but whose job is lost', () => {
  async function lose(saleId: string) {
    const [token, key] = [system.buyerToken(), nanoid()];
    await pauseQueues(system.store.queue);
    const { body } = await system.buy(saleId, token, { key });
    for (const job of await jobsIn(system.store.queue, ['waiting', 'paused'])) await job.remove();
    await system.store.redis.zrem(keysOf(system.store.gate.shardOf(saleId)).queued, body.orderId);
    await resumeQueues(system.store.queue);
    expect((await system.audit()).I2).toMatchObject({ breaches: 1 });
    return { token, key, orderId: body.orderId };
  }
  const settles = (orderId: string) =>
    waitUntil(async () => system.store.collections.orders.findOne({ _id: orderId, status: 'paid' }), {
      ...soon,
      what: 'it is settled',
    });

  test('is queued again when it is sent again or read', async () => {
    const sale = await system.createSale({ stock: 5 });
    const pressed = await lose(sale.id);
    const again = await system.buy(sale.id, pressed.token, { key: pressed.key });
    expect([again.status, again.body.orderId]).toEqual([202, pressed.orderId]);
    await settles(pressed.orderId);
    const asked = await lose(sale.id);
    // For a second the server that accepted it takes it for queued without looking: a buyer reads more than once.
    const order = await system.settled(asked.orderId, asked.token);
    expect(order.status).toBe('paid');
    await expectRight(sale.id);
  });

  test('is found by a new leader, and by the leader after an outage of Redis', async () => {
    const sale = await system.createSale({ stock: 5 });
    const lost = await lose(sale.id);
    const [worker] = system.workers;
    if (worker) await system.restart(worker);
    await settles(lost.orderId);
    const more = await lose(sale.id);
    process.kill(system.redis().pid, 'SIGKILL');
    await system.redis().ended;
    await system.restartRedis();
    await settles(more.orderId);
    await expectRight(sale.id);
  });
});

test('a purchase that the previous version queued is settled, and sent again here it stays one order', async () => {
  const [sale, other] = [await system.createSale({ stock: 3 }), await system.createSale({ stock: 3 })];
  const [token, key] = [system.buyerToken('ann'), nanoid()];
  const purchase: Purchase = {
    orderId: orderIdOf('ann', sale.id, key),
    saleId: sale.id,
    buyerId: 'ann',
    quantity: 1,
    idempotencyKey: key,
    createdAt: new Date().toISOString(),
  };
  const { redis, gate, queue } = system.store;
  const before = keysOf(unsharded);
  await pauseQueues(queue);
  await redis.set(before.purchases + purchase.orderId, JSON.stringify(purchase), 'EX', 600);
  await gate.queueAgain(unsharded, [purchase]);
  await queue.bulls.at(-1)?.add({ purchases: [purchase] }, { attempts: 5, removeOnComplete: true });
  expect((await system.api('GET', `/api/orders/${purchase.orderId}`, { token })).body.status).toBe('queued');
  const again = await system.buy(sale.id, token, { key });
  expect([again.status, again.body.orderId]).toEqual([202, purchase.orderId]);
  await resumeQueues(queue);
  expect((await system.settled(purchase.orderId, token)).status).toBe('paid');
  const elsewhere = await system.buy(other.id, token, { key });
  expect(elsewhere.body.orderId).not.toBe(purchase.orderId);
  await expectRight(sale.id, other.id);
  expect(await redis.exists(before.queued)).toBe(0);
  expect(await system.store.collections.orders.countDocuments({ saleId: sale.id, buyerId: 'ann' })).toBe(1);
});
