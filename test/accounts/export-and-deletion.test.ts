import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { AccountExport, Order, Session } from '../../sale/contract.ts';
import { startSystem, type TestSystem } from '../support/harness.ts';

let system: TestSystem;
beforeAll(async () => {
  system = await startSystem({ servers: 1, env: { LOG_LEVEL: 'debug' } });
});
afterAll(() => system.close());

const cookieOf = (headers: Headers) => headers.get('set-cookie')?.split(';')[0] ?? '';

test('the export of an account contains all data of its buyer, and of nobody else', async () => {
  const [ann, bob] = [await system.signUp(), await system.signUp()];
  const sale = await system.createSale({ stock: 9, limitPerBuyer: 2 });
  const orders: Order[] = [];
  for (const { token } of [ann, bob, ann]) {
    const { body } = await system.buy(sale.id, token);
    orders.push(await system.settled(body.orderId, token));
  }
  const { status, headers, body } = await system.api<AccountExport>('GET', '/api/account/export', {
    token: ann.token,
  });
  expect(status).toBe(200);
  expect(headers.get('content-disposition')).toContain('attachment');
  expect(headers.get('cache-control')).toBe('no-store');
  expect(body.user).toEqual({ ...ann.user, createdAt: expect.any(String), emailVerifiedAt: null });
  const session = { createdAt: expect.any(String), expiresAt: expect.any(String), userAgent: 'node' };
  expect(body.sessions).toEqual([session]);
  expect(body.personId).toBe(ann.user.id);
  expect(body.orders).toEqual([orders[2], orders[0]]);
  expect(JSON.stringify(body)).not.toMatch(/password|hash|secret/i);
});

test('deleting an account frees its address and revokes its tokens; its orders stay', async () => {
  const email = 'leaver@example.com';
  const account = { email, password: 'correct horse', name: 'Leaver' };
  const { body: session, headers } = await system.api<Session>('POST', '/api/users', { body: account });
  const { token, user } = session;
  const sale = await system.createSale({ stock: 9 });
  const { body } = await system.buy(sale.id, token);
  await system.settled(body.orderId, token);

  const gone = await system.api('DELETE', '/api/account', { token });
  expect([gone.status, gone.body]).toEqual([204, '']);
  expect((await system.api('GET', '/api/orders', { token })).status).toBe(401);
  expect((await system.api('DELETE', '/api/account', { token })).status).toBe(401);
  const cookie = { cookie: cookieOf(headers) };
  const renewal = await system.api('POST', '/api/sessions/renewal', { body: {}, headers: cookie });
  expect(renewal.status).toBe(401);
  const { name: _, ...credentials } = account;
  expect((await system.api('POST', '/api/sessions', { body: credentials })).status).toBe(401);

  const { orders, users, sessions } = system.store.collections;
  expect(await orders.findOne({ _id: body.orderId })).toMatchObject({ buyerId: user.id, status: 'paid' });
  expect(await users.countDocuments({ email })).toBe(0);
  expect(await sessions.countDocuments({ userId: user.id })).toBe(0);
  expect((await system.audit()).ok).toBe(true);

  const again = await system.api<Session>('POST', '/api/users', { body: account });
  expect(again.status).toBe(201);
  const mine = await system.api('GET', '/api/orders', { token: again.body.token });
  expect(mine.body.orders).toEqual([]);
});

test('an account that does not exist cannot be exported or deleted', async () => {
  const token = system.buyerToken();
  expect((await system.api('GET', '/api/account/export', { token })).status).toBe(404);
  expect((await system.api('DELETE', '/api/account', { token })).status).toBe(404);
});

test('the logs of a sign-up, a purchase and a failure contain no address, password, token or cookie', async () => {
  const account = {
    email: 'quiet.person@example.com',
    password: 'a very quiet password',
    name: 'Quiet Person',
  };
  const { email, password } = account;
  const { body: first, headers } = await system.api<Session>('POST', '/api/users', { body: account });
  const secrets = [email, password, account.name, first.token, cookieOf(headers).split('=')[1] ?? ''];
  await system.api('POST', '/api/users', { body: account });
  await system.api('POST', '/api/sessions', { body: { email, password: `${password} not` } });
  const second = await system.api<Session>('POST', '/api/sessions', { body: { email, password } });
  secrets.push(second.body.token);
  await system.api('POST', '/api/users', { body: `{"email": "${email}", "password": "${password}"` });
  await system.api('GET', `/api/orders?email=${email}&password=${password}`, { token: first.token });
  const cookie = { cookie: cookieOf(headers) };
  for (let n = 0; n < 2; n++) {
    await system.api('POST', '/api/sessions/renewal', { body: {}, headers: cookie });
  }
  const sale = await system.createSale();
  await system.buy(sale.id, first.token);
  await system.quiet();
  const [server] = system.servers;
  const written = () =>
    system.servers.concat(system.workers).map(({ logFile }) => readFileSync(logFile, 'utf8'));

  // Redis becomes unavailable, because the errors logged then contain the failed command.
  const { pid } = system.redis();
  process.kill(pid, 'SIGSTOP');
  expect((await system.buy(sale.id, first.token, { at: server?.url ?? '' })).status).toBe(503);
  process.kill(pid, 'SIGCONT');
  await system.api('DELETE', '/api/account', { token: second.body.token });

  const logs = written().join('\n');
  expect(logs).toContain('a session ended: its token came twice');
  expect(logs).toContain('answered 503');
  for (const secret of secrets) {
    expect(secret.length).toBeGreaterThan(5);
    expect(logs.toLowerCase()).not.toContain(secret.toLowerCase());
  }
});
