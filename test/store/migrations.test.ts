import bcrypt from 'bcrypt';
import { nanoid } from 'nanoid';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { waitUntil } from '../../ops/local/processes/process.mjs';
import type { Order, SaleSnapshot, Session } from '../../sale/contract.ts';
import { newPayment, paymentIdOf } from '../../sale/payment/payment.ts';
import type { UserRecord } from '../../store/collections.ts';
import { startSystem, type TestSystem } from '../support/harness.ts';

let system: TestSystem;
beforeAll(async () => {
  system = await startSystem({ servers: 1, nginx: false });
});
afterAll(() => system.close());

const password = 'correct horse';
const crowd = 1_200;

/** Inserts accounts of the previous version, more than one batch, into a database without migrations. */
async function insertOldAccounts(emails: string[]): Promise<UserRecord[]> {
  const passwordHash = await bcrypt.hash(password, 4);
  const others = Array.from({ length: crowd }, (_, n) => `old-${n}-${nanoid().toLowerCase()}@example.com`);
  const accounts = [...emails, ...others].map((email): UserRecord => {
    return { _id: nanoid(), email, name: 'Old', passwordHash, role: 'buyer', createdAt: new Date() };
  });
  const { users, people } = system.store.collections;
  // The processes have run the migrations on the empty database, so that they leave these accounts to those that start later.
  await migrated();
  await users.insertMany(accounts);
  await migrations().deleteMany({});
  await people.deleteMany();
  return accounts;
}

const migrations = () => system.store.collections.connection.collection('migrations');
const names = ['0001-people', '0002-items', '0003-voided-payments'];
const migrated = () =>
  waitUntil(async () => (await migrations().distinct('migrationName')).length === names.length, {
    deadlineMs: 30_000,
    what: 'the migrations have not run',
  });
const signIn = (email: string, what = password) =>
  system.api<Session>('POST', '/api/sessions', { body: { email, password: what } });
const signUp = (email: string) =>
  system.api<Session>('POST', '/api/users', { body: { email, password, name: 'Back' } });

test('accounts of the previous version get a person once, whose limit survives the account', async () => {
  const name = nanoid().toLowerCase();
  const [unicode, encoded] = [`${name}@bücher.example`, `${name}@xn--bcher-kva.example`];
  const emails = [
    `ann-${name}@example.com`,
    `bob-${name}@example.com`,
    `Cy-${name}@Example.com`,
    unicode,
    encoded,
  ];
  const accounts = await insertOldAccounts(emails);
  const [ann, bob, cy] = accounts as [UserRecord, UserRecord, UserRecord];
  const sale = await system.createSale({ stock: 50, limitPerBuyer: 2 });
  for (const { _id } of [ann, bob, cy]) {
    const token = system.buyerToken(_id);
    const { body } = await system.buy(sale.id, token, { quantity: 2 });
    expect(await system.settled(body.orderId, token)).toMatchObject({ status: 'paid' });
  }
  // Before anything is migrated.
  const left = await system.api('DELETE', '/api/account', { token: system.buyerToken(bob._id) });
  expect(left.status).toBe(204);

  await Promise.all([system.startServer(), system.startServer(), system.startWorker()]);
  await migrated();
  const { users, people } = system.store.collections;
  expect(await migrations().find().toArray()).toMatchObject(
    names.map((migrationName) => ({ migrationName })),
  );
  const now = await users.find({ _id: { $in: accounts.map(({ _id }) => _id) } }).toArray();
  expect(now).toHaveLength(accounts.length - 1);
  const foreign = now.filter(({ _id, personId }) => personId !== _id);
  expect(foreign).toHaveLength(1);
  expect([unicode, encoded]).toContain(accounts.find(({ _id }) => _id === foreign[0]?._id)?.email);
  // The two spellings are one person, and Bob's outlived his account.
  expect(await people.countDocuments()).toBe(accounts.length - 1);

  for (const { email, _id } of accounts.filter((account) => account !== bob).slice(0, 4)) {
    const { status, body } = await signIn(email);
    expect([email, status, body.user?.id]).toEqual([email, 201, _id]);
  }
  expect((await signIn(cy.email.toLowerCase())).body.user.id).toBe(cy._id);
  expect((await signUp(cy.email.toLowerCase())).status).toBe(409);

  for (const account of [ann, cy]) {
    const { token } = (await signIn(account.email)).body;
    expect((await system.api('DELETE', '/api/account', { token })).status).toBe(204);
  }
  for (const { email } of [ann, bob, cy]) {
    const { body } = await signUp(email.toLowerCase());
    expect((await system.buy(sale.id, body.token)).status).toBe(409);
  }
  expect(await system.audit()).toMatchObject({ ok: true });
});

test('an account created later by a server of the previous version gets its person at sign-in', async () => {
  const email = `late-${nanoid().toLowerCase()}@example.com`;
  const { users, people } = system.store.collections;
  const record = { _id: nanoid(), email, name: 'Late', role: 'buyer' as const, createdAt: new Date() };
  await users.insertOne({ ...record, passwordHash: await bcrypt.hash(password, 4) });
  const before = await people.countDocuments();
  expect((await signIn(email)).status).toBe(201);
  expect(await people.countDocuments()).toBe(before + 1);
  expect(await users.findOne({ _id: record._id })).toMatchObject({ personId: record._id });
});

test('sales and orders of the previous version get their item and their money, and go on being sold', async () => {
  const { sales, orders } = system.store.collections;
  const sale = await system.createSale({ stock: 5, limitPerBuyer: 3 });
  const token = system.buyerToken();
  const { body } = await system.buy(sale.id, token, { quantity: 2 });
  await system.settled(body.orderId, token);
  const asBefore = async () => {
    await sales.updateOne({ _id: sale.id }, { $unset: { items: 1 } });
    await orders.updateOne({ _id: body.orderId }, { $unset: { amount: 1, currency: 1 } });
  };
  const read = async () => (await system.api<SaleSnapshot>('GET', `/api/sales/${sale.id}`)).body;
  const orderNow = async () =>
    (await system.api<Order>('GET', `/api/orders/${body.orderId}`, { token })).body;

  // Before anything is migrated: the old shape is read, bought from, and cancelled.
  await asBefore();
  const item = { id: '1', label: '', price: sale.price, limitPerBuyer: null };
  expect((await read()).items).toMatchObject([{ ...item, stock: 3, unitsOnSale: 5 }]);
  expect(await orderNow()).toMatchObject({ lines: [{ itemId: '1', quantity: 2 }], amount: null });
  const other = await system.buy(sale.id, token);
  await system.settled(other.body.orderId, token);
  expect((await system.api('DELETE', `/api/orders/${other.body.orderId}`, { token })).status).toBe(200);

  await asBefore();
  await migrations().deleteMany({ migrationName: '0002-items' });
  // As of a process that logged it although its lease had run out.
  await migrations().insertOne({ migrationName: '0001-people' });
  await system.startWorker();
  await migrated();
  const record = await sales.findOne({ _id: sale.id });
  expect(record).toMatchObject({ stock: 3, items: [{ id: '1', productId: sale.product.id, amount: 4_900 }] });
  expect(record).not.toHaveProperty('itemCounts');
  expect(await orderNow()).toMatchObject({
    lines: [{ itemId: '1', label: '', quantity: 2, amount: 9_800 }],
    amount: 9_800,
    currency: 'EUR',
  });
  const last = await system.buy(sale.id, system.buyerToken(), { quantity: 3 });
  expect(last.status).toBe(202);
  await system.quiet();
  expect((await read()).items).toMatchObject([{ ...item, stock: 0, unitsOnSale: 5 }]);
  expect(await system.audit()).toMatchObject({ ok: true });
});

test('an order that a voided payment of the previous version still pays ends, and no other', async () => {
  const { orders, payments } = system.store.collections;
  const sale = await system.createSale({ stock: 5 });
  const buy = async () => {
    const token = system.buyerToken();
    const { orderId } = (await system.buy(sale.id, token)).body;
    await system.settled(orderId, token);
    return orderId;
  };
  const [lost, paidOtherwise] = [await buy(), await buy()];
  const at = new Date();
  for (const orderId of [lost, paidOtherwise]) {
    const paymentId = paymentIdOf(orderId, 1);
    const whose = { saleId: sale.id, provider: 'simulated' as const };
    const fresh = newPayment({ paymentId, orderId, price: { amount: 4_900, currency: 'EUR' } }, whose, {
      now: at,
      dueAt: at,
    });
    const ended = {
      providerId: orderId,
      state: 'voided' as const,
      authorisedAt: at,
      endedAt: at,
      dueAt: null,
    };
    await payments.insertOne({ ...fresh, ...ended });
  }
  await orders.updateOne({ _id: lost }, { $set: { paymentId: paymentIdOf(lost, 1) } });
  await orders.updateOne({ _id: paidOtherwise }, { $set: { paymentId: paymentIdOf(paidOtherwise, 2) } });
  await migrations().deleteMany({});
  await system.startWorker();
  await migrated();
  await waitUntil(async () => (await orders.findOne({ _id: lost }))?.status === 'cancelled', {
    deadlineMs: 20_000,
    what: 'the order is not cancelled',
  });
  expect(await orders.findOne({ _id: lost })).toMatchObject({ cancelReason: 'payment_lost' });
  expect(await orders.findOne({ _id: paidOtherwise })).toMatchObject({ status: 'paid' });
});

test('a process with another number of shards than the database was made with refuses to run, and says so', async () => {
  await expect(system.startServer({ SHARDS: '4' })).rejects.toThrow(
    'SHARDS is 4, but this database was made with 16: set SHARDS=16',
  );
});
