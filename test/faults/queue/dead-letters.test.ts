import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { nanoid } from 'nanoid';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { waitUntil } from '../../../ops/local/processes/process.mjs';
import type { DeadLetter, Purchase } from '../../../sale/contract.ts';
import { orderIdOf } from '../../../sale/order.ts';
import { bullOf } from '../../support/bull.ts';
import { startSystem, type TestSystem } from '../../support/harness.ts';
import { expectNothingLost, startBuyers, waitForAccepted } from '../support/buyers.ts';

/** Purchases that cannot be settled. */

let system: TestSystem;
beforeAll(async () => {
  system = await startSystem({
    servers: 1,
    nginx: false,
    env: { RECONCILE_INTERVAL_MS: '300', RECONCILE_AFTER_MS: '60000' },
  });
});
afterAll(() => system.close());

async function deadLetters(): Promise<DeadLetter[]> {
  const { body } = await system.api('GET', '/api/admin/dead-letters', { token: system.adminToken });
  return body.deadLetters;
}

/** Each of the five attempts may wait behind other jobs. */
const deadLetterAbout = (text: string) =>
  waitUntil(async () => (await deadLetters()).find(({ data }) => JSON.stringify(data).includes(text)), {
    deadlineMs: 60_000,
    what: `a dead letter about ${text}`,
  });

const act = (method: string, id: string, action = '') =>
  system.api(method, `/api/admin/dead-letters/${id}${action}`, { token: system.adminToken });

/** Sets an invalid stock that passes the check but not the guarded update, so that no purchase of the sale can be settled. */
const setStock = (saleId: string, stock: unknown) =>
  system.store.collections.connection
    .collection('sales')
    .updateOne({ _id: saleId as never }, { $set: { stock } });

function purchaseOf(saleId: string, quantity: number): Purchase {
  const [buyerId, key] = [nanoid(), nanoid()];
  const orderId = orderIdOf(buyerId, saleId, key);
  return { orderId, saleId, buyerId, quantity, idempotencyKey: key, createdAt: new Date().toISOString() };
}

test('malformed jobs become dead letters after five attempts, while other jobs are settled', async () => {
  const sale = await system.createSale({ stock: 1_000_000, limitPerBuyer: 1_000 });
  const good = purchaseOf(sale.id, 1);
  const bad = purchaseOf(sale.id, -3);
  await bullOf(system.store.queue).add({ purchases: [good, bad] }, { attempts: 5, removeOnComplete: true });
  await bullOf(system.store.queue).add({ nonsense: 'at all' } as never, { attempts: 5, backoff: 10 });

  const load = startBuyers(system, sale);
  const letter = await deadLetterAbout(bad.orderId);
  expect(letter).toMatchObject({ attempts: 5, data: { purchases: [bad] } });
  expect(letter.reason).toMatch(/^Not a purchase: quantity: /);
  expect(letter.stacks).toHaveLength(5);
  expect((await act('GET', letter.id)).body).toEqual(letter);
  expect((await deadLetterAbout('nonsense')).reason).toMatch(/^Not a purchase: /);

  // The other purchase of the same job was settled, and the shop goes on selling.
  expect(await system.store.collections.orders.findOne({ _id: good.orderId })).toMatchObject({
    status: 'paid',
  });
  await waitForAccepted(load, 100);
  await expectNothingLost(system, sale, load);
  for (const { id } of await deadLetters()) expect((await act('DELETE', id)).status).toBe(204);
  expect(await deadLetters()).toEqual([]);
});

test('a purchase that fails after Redis was killed gets five attempts, and its dead letter keeps the error', async () => {
  const sale = await system.createSale({ stock: 1_000_000, limitPerBuyer: 1_000 });
  const poisoned = await system.createSale({ stock: 5 });
  const load = startBuyers(system, sale);
  await waitForAccepted(load, 100);
  process.kill(system.redis().pid, 'SIGKILL');
  await system.redis().ended;
  await system.restartRedis();
  await setStock(poisoned.id, '5');
  const token = system.buyerToken();
  const orderId = await waitUntil(
    async () => {
      const { status, body } = await system.buy(poisoned.id, token, { key: 'the-same-press' });
      return status === 202 ? body.orderId : null;
    },
    { deadlineMs: 10_000, what: 'the purchase is accepted' },
  );
  const letter = await deadLetterAbout(orderId);
  expect(letter).toMatchObject({
    attempts: 5,
    reason: `The stock of sale ${poisoned.id} is too low for the 1 units decided`,
  });
  await setStock(poisoned.id, 5);
  expect((await act('DELETE', letter.id)).status).toBe(204);
  await expectNothingLost(system, sale, load);
});

test('a purchase that fails after Redis forgot its scripts gets five attempts, and its dead letter keeps the error', async () => {
  const sale = await system.createSale({ stock: 5 });
  const token = system.buyerToken();
  await setStock(sale.id, '5');
  await system.store.redis.script('FLUSH');
  const { body } = await system.buy(sale.id, token);
  const letter = await deadLetterAbout(body.orderId);
  expect(letter).toMatchObject({
    attempts: 5,
    reason: `The stock of sale ${sale.id} is too low for the 1 units decided`,
  });
  expect(letter.stacks).toHaveLength(5);
  await setStock(sale.id, 5);
  expect((await act('DELETE', letter.id)).status).toBe(204);
});

test('the buyer of a dead letter sees it, and gets the unit once when it is republished', async () => {
  const sale = await system.createSale({ stock: 5 });
  const token = system.buyerToken();
  await setStock(sale.id, '5');
  const { body } = await system.buy(sale.id, token);
  const letter = await deadLetterAbout(body.orderId);
  expect(letter).toMatchObject({
    attempts: 5,
    reason: `The stock of sale ${sale.id} is too low for the 1 units decided`,
  });
  expect(await system.settled(body.orderId, token)).toMatchObject({ status: 'rejected', reason: 'failed' });

  await setStock(sale.id, 5);
  const answers = await Promise.all([
    act('POST', letter.id, '/republish'),
    act('POST', letter.id, '/republish'),
  ]);
  const statuses = answers.map(({ status }) => status);
  expect(statuses).toContain(202);
  expect(statuses.every((status) => status === 202 || status === 404)).toBe(true);
  await waitUntil(
    async () => (await system.api('GET', `/api/orders/${body.orderId}`, { token })).body.status === 'paid',
    { deadlineMs: 20_000, what: 'the republished order is paid' },
  );
  expect((await act('POST', letter.id, '/republish')).status).toBe(404);
  expect((await system.api('GET', `/api/sales/${sale.id}`)).body.stock).toBe(4);
  await waitUntil(async () => (await deadLetters()).length === 0, {
    deadlineMs: 5_000,
    what: 'no dead letter is left',
  });
  expect(await system.audit()).toMatchObject({ ok: true, queued: 0 });
});

test('a discarded purchase stays rejected, and another buyer can buy its unit', async () => {
  const sale = await system.createSale({ stock: 1 });
  const token = system.buyerToken();
  await setStock(sale.id, '1');
  const { body } = await system.buy(sale.id, token);
  const letter = await deadLetterAbout(body.orderId);
  await setStock(sale.id, 1);
  expect((await act('DELETE', letter.id)).status).toBe(204);
  expect((await act('DELETE', letter.id)).status).toBe(404);
  expect(await system.settled(body.orderId, token)).toMatchObject({ status: 'rejected', reason: 'failed' });

  const other = system.buyerToken();
  const bought = await system.buy(sale.id, other);
  expect(bought.status).toBe(202);
  expect(await system.settled(bought.body.orderId, other)).toMatchObject({ status: 'paid' });
  expect(await system.audit()).toMatchObject({ ok: true });
});

test('npm run dlq lists, shows, republishes and discards dead letters', async () => {
  const bad = purchaseOf(nanoid(), 0);
  await bullOf(system.store.queue).add({ purchases: [bad] }, { attempts: 1 });
  const letter = await deadLetterAbout(bad.orderId);
  const dlq = async (...args: string[]) => {
    const command = ['run.mjs', 'commands/dlq.ts', ...args];
    return (await promisify(execFile)(process.execPath, command, { env: { ...process.env, ...system.env } }))
      .stdout;
  };
  expect(JSON.parse(await dlq('list'))).toMatchObject({ id: letter.id, attempts: 1 });
  expect(JSON.parse(await dlq('show', letter.id))).toEqual(letter);
  expect(await dlq('republish', letter.id)).toBe(`${letter.id}: republished\n`);
  await deadLetterAbout(bad.orderId);
  expect(await dlq('discard', letter.id)).toBe(`${letter.id}: discarded\n`);
  expect(await dlq('discard', letter.id)).toBe(`${letter.id}: there is no such dead letter\n`);
  expect(await dlq('list')).toBe('');
  await expect(dlq('explode')).rejects.toThrow('expected one of');
});

test('buyers have no access to dead letters', async () => {
  const token = system.buyerToken();
  expect((await system.api('GET', '/api/admin/dead-letters', { token })).status).toBe(403);
  expect((await system.api('DELETE', '/api/admin/dead-letters/1', { token })).status).toBe(403);
});
