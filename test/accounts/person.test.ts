import { nanoid } from 'nanoid';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { deleteAccount } from '../../accounts/account.ts';
import { byCommand } from '../../commands/system.ts';
import { waitUntil } from '../../ops/local/processes/process.mjs';
import type { Order, Purchase, Session } from '../../sale/contract.ts';
import { orderIdOf } from '../../sale/order.ts';
import { allowanceKey } from '../../sale/settlement/decide.ts';
import { collectionNames } from '../../store/collections.ts';
import { startSystem, type TestSystem } from '../support/harness.ts';

let system: TestSystem;
beforeAll(async () => {
  system = await startSystem({ servers: 2, env: { PERSON_ALIAS_DOMAINS: 'gmail.com,googlemail.com' } });
});
afterAll(() => system.close());

const password = 'correct horse';

async function signUp(email: string): Promise<Session> {
  const account = { email, password, name: 'A buyer' };
  const { status, body } = await system.api<Session>('POST', '/api/users', { body: account });
  expect([status, body]).toEqual([201, expect.anything()]);
  return body;
}

/** Creates a person with two accounts. The token of the first, deleted account is still valid. */
async function comeBack(): Promise<{ first: Session; second: Session; personId: string }> {
  const email = `${nanoid().toLowerCase()}@example.com`;
  const first = await signUp(email);
  expect(await deleteAccount(system.store.collections, first.user.id, byCommand('a test'))).toBe(true);
  const second = await signUp(email);
  return { first, second, personId: first.user.id };
}

async function buyAndSettle(saleId: string, { token }: Session, quantity = 1): Promise<Order> {
  const { status, body } = await system.buy(saleId, token, { quantity });
  expect(status).toBe(202);
  return await system.settled(body.orderId, token);
}

const unitsOf = async (saleId: string, personId: string) => {
  const key = allowanceKey(saleId, personId);
  return (await system.store.collections.allowances.findOne({ _id: key }))?.units;
};

test('a person who deletes an account and signs up again keeps the used part of the limit, however the address is written', async () => {
  const sale = await system.createSale({ stock: 20, limitPerBuyer: 2 });
  const name = nanoid().toLowerCase();
  const written = [
    `${name}@bücher.example`,
    `${name.toUpperCase()}@BU\u0308CHER.example`,
    `${name}@xn--bcher-kva.example`,
  ];
  let last = await signUp(written[0] ?? '');
  const personId = last.user.id;
  const order = await buyAndSettle(sale.id, last, 2);
  for (const email of [...written, ...written]) {
    expect((await system.api('DELETE', '/api/account', { token: last.token })).status).toBe(204);
    last = await signUp(email);
    expect(last.user.email).toBe(`${name}@xn--bcher-kva.example`);
    const { status, body } = await system.buy(sale.id, last.token);
    expect([status, (body as unknown as { type: string }).type]).toEqual([409, '/problems/over-limit']);
  }
  // The new account does not own the old orders.
  expect((await system.api('GET', '/api/orders', { token: last.token })).body.orders).toEqual([]);
  expect((await system.api('GET', `/api/orders/${order.id}`, { token: last.token })).status).toBe(404);

  // A gate that lost its counts admits them, and the transaction rejects them.
  await system.store.redis.del(system.store.gate.keyOf(sale.id));
  expect(await buyAndSettle(sale.id, last)).toMatchObject({ status: 'rejected', reason: 'over_limit' });
  expect(await unitsOf(sale.id, personId)).toBe(2);
  expect(await system.audit()).toMatchObject({ ok: true });
});

test('where the shop says so, addresses with another tag or other dots are accounts of one person', async () => {
  const sale = await system.createSale({ stock: 20, limitPerBuyer: 2 });
  const name = nanoid().toLowerCase().replace(/\W/g, 'x');
  const first = await signUp(`${name}+first@gmail.com`);
  const { people } = system.store.collections;
  expect(await people.countDocuments({ personId: first.user.id })).toBe(2);
  await buyAndSettle(sale.id, first, 2);
  const others = [`${name}@gmail.com`, `${name[0]}.${name.slice(1)}@googlemail.com`];
  for (const session of await Promise.all(others.map(signUp))) {
    expect(session.user.id).not.toBe(first.user.id);
    expect((await system.buy(sale.id, session.token)).status).toBe(409);
  }
  const elsewhere = await Promise.all([`${name}@example.com`, `${name}+2@example.com`].map(signUp));
  for (const session of elsewhere) expect((await buyAndSettle(sale.id, session, 2)).status).toBe('paid');
});

test('the gate admits exactly the limit of parallel purchases by two accounts of one person', async () => {
  const { first, second, personId } = await comeBack();
  const sale = await system.createSale({ stock: 100, limitPerBuyer: 5 });
  const presses = Array.from({ length: 40 }, (_, n) => {
    const at = system.servers[n % 4 < 2 ? 0 : 1]?.url ?? '';
    return system.buy(sale.id, (n % 2 ? first : second).token, { at });
  });
  const statuses = (await Promise.all(presses)).map(({ status }) => status);
  expect(statuses.filter((status) => status === 202)).toHaveLength(5);
  expect(statuses.filter((status) => status === 409)).toHaveLength(35);
  await system.quiet();
  expect(await unitsOf(sale.id, personId)).toBe(5);
  expect(await system.audit()).toMatchObject({ ok: true });
});

test('the transaction keeps the limit when purchases of both accounts are queued', async () => {
  const { first, second, personId } = await comeBack();
  const sale = await system.createSale({ stock: 100, limitPerBuyer: 5 });
  const purchases = Array.from({ length: 40 }, (_, n): Purchase => {
    const buyerId = (n % 2 ? first : second).user.id;
    return {
      orderId: orderIdOf(buyerId, sale.id, `press-${n}`),
      saleId: sale.id,
      buyerId,
      ...(buyerId !== personId && { personId }),
      quantity: 1,
      idempotencyKey: `press-${n}`,
      createdAt: new Date().toISOString(),
    };
  });
  await system.store.queue.add(purchases.map((purchase) => ({ purchases: [purchase] })));
  const orders = await waitUntil(
    async () => {
      const found = await system.store.collections.orders.find({ saleId: sale.id }).toArray();
      return found.length === purchases.length ? found : null;
    },
    { deadlineMs: 20_000, what: 'the purchases are not settled' },
  );
  expect(orders.filter(({ status }) => status === 'paid')).toHaveLength(5);
  expect(orders.filter(({ reason }) => reason === 'over_limit')).toHaveLength(35);
  expect(await unitsOf(sale.id, personId)).toBe(5);
});

test('purchases that were queued when the account was deleted count for the person', async () => {
  const [worker] = system.workers;
  if (!worker) throw new Error('there is no worker');
  const sale = await system.createSale({ stock: 9, limitPerBuyer: 2 });
  const email = `${nanoid().toLowerCase()}@example.com`;
  const first = await signUp(email);
  process.kill(worker.pid, 'SIGSTOP');
  const queued = await system.buy(sale.id, first.token, { quantity: 2 });
  expect(queued.status).toBe(202);
  expect((await system.api('DELETE', '/api/account', { token: first.token })).status).toBe(204);
  const second = await signUp(email);
  expect((await system.buy(sale.id, second.token)).status).toBe(409);
  process.kill(worker.pid, 'SIGCONT');
  await system.quiet();
  const order = await system.store.collections.orders.findOne({ _id: queued.body.orderId });
  expect(order).toMatchObject({ buyerId: first.user.id, status: 'paid' });
  expect(await unitsOf(sale.id, first.user.id)).toBe(2);
  expect(await system.audit()).toMatchObject({ ok: true });
});

test('a cancelled order of either account gives its units back to the person', async () => {
  const { first, second, personId } = await comeBack();
  const sale = await system.createSale({ stock: 9, limitPerBuyer: 2 });
  const bought = [await buyAndSettle(sale.id, first), await buyAndSettle(sale.id, second)];
  for (const [n, { token }] of [first, second].entries()) {
    for (const buyer of [first, second]) expect((await system.buy(sale.id, buyer.token)).status).toBe(409);
    const cancelled = await system.api('DELETE', `/api/orders/${bought[n]?.id}`, { token });
    expect(cancelled.body.status).toBe('cancelled');
    expect(await unitsOf(sale.id, personId)).toBe(1);
    expect(await buyAndSettle(sale.id, n === 0 ? second : first)).toMatchObject({ status: 'paid' });
  }
  expect(await unitsOf(sale.id, personId)).toBe(2);
  expect(await system.audit()).toMatchObject({ ok: true });
});

test('one of many parallel sign-ups with one address in many spellings gets the account', async () => {
  const name = nanoid().toLowerCase();
  const { users, people } = system.store.collections;
  const before = await people.countDocuments();
  const spellings = [
    `${name}@bücher.example`,
    `${name.toUpperCase()}@Bücher.Example`,
    `${name}@xn--bcher-kva.example`,
  ];
  const answers = await Promise.all(
    Array.from({ length: 21 }, (_, n) => {
      const body = { email: spellings[n % 3], password, name: 'A buyer' };
      const at = system.servers[n % 2]?.url ?? '';
      return system.api<Session>('POST', '/api/users', { body, at });
    }),
  );
  expect(answers.map(({ status }) => status).sort()).toEqual([201, ...Array(20).fill(409)]);
  const winner = answers.find(({ status }) => status === 201)?.body.user;
  expect(await users.find({ email: `${name}@xn--bcher-kva.example` }).toArray()).toMatchObject([
    { _id: winner?.id, personId: winner?.id },
  ]);
  expect(await people.countDocuments()).toBe(before + 1);
  for (const email of spellings)
    expect((await system.api('POST', '/api/sessions', { body: { email, password } })).status).toBe(201);
});

test('nothing that is kept of a deleted account contains its address', async () => {
  const email = `${nanoid().toLowerCase()}@example.com`;
  const { token } = await signUp(email);
  expect((await system.api('DELETE', '/api/account', { token })).status).toBe(204);
  const { connection } = system.store.collections;
  for (const name of collectionNames(system.store.collections)) {
    const documents = await connection.collection(name).find().toArray();
    expect(JSON.stringify(documents)).not.toContain(email);
  }
});
