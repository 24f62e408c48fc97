import { createHash } from 'node:crypto';
import { nanoid } from 'nanoid';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { readAuditStatus } from '../../insight/audit/status.ts';
import { waitUntil } from '../../ops/local/processes/process.mjs';
import { bullOf } from '../support/bull.ts';
import { type ApiAnswer, startSystem, type TestSystem } from '../support/harness.ts';

/** Limits under concurrency: of many requests at once to two servers, exactly as many as allowed succeed. */

let system: TestSystem;
beforeAll(async () => {
  system = await startSystem({
    servers: 2,
    nginx: false,
    env: {
      CHALLENGE_DIFFICULTY_BITS: '1',
      LIMIT_FACTOR: '1',
      SIGN_IN_FAILURES_PER_ACCOUNT_PER_MINUTE: '4',
      SIGN_INS_PER_ADDRESS_PER_MINUTE: '1000',
      REQUESTS_PER_ACCOUNT_PER_MINUTE: '10000',
      REQUESTS_PER_ADDRESS_PER_MINUTE: '10000',
    },
  });
});
afterAll(() => system.close());

const serverOf = (n: number) => system.servers[n % 2]?.url ?? '';
const asAdmin = () => ({ token: system.adminToken });

/** How many of `count` requests at once were answered with each status. */
async function statusesOf(count: number, ask: (n: number) => Promise<ApiAnswer<unknown>>) {
  const answers = await Promise.all(Array.from({ length: count }, (_, n) => ask(n)));
  const statuses: Record<number, number> = {};
  for (const { status } of answers) statuses[status] = (statuses[status] ?? 0) + 1;
  return statuses;
}

test('there are at most 50 webhooks', async () => {
  const add = (n: number) =>
    system.api('POST', '/api/admin/webhooks', {
      ...asAdmin(),
      at: serverOf(n),
      body: { url: `https://example.com/${n}`, types: ['order.paid'] },
    });
  expect(await statusesOf(45, add)).toEqual({ 201: 45 });
  expect(await statusesOf(30, add)).toEqual({ 201: 5, 409: 25 });
  expect(await system.store.collections.webhooks.countDocuments()).toBe(50);

  const { body } = await system.api('GET', '/api/admin/webhooks', asAdmin());
  const remove = (n: number) =>
    system.api('DELETE', `/api/admin/webhooks/${body.webhooks[0].id}`, { ...asAdmin(), at: serverOf(n) });
  expect(await statusesOf(10, remove)).toEqual({ 204: 1, 404: 9 });
  expect(await statusesOf(10, add)).toEqual({ 201: 1, 409: 9 });
});

test('only one audit runs at a time, and not again right after it', async () => {
  const start = (n: number) => system.api('POST', '/api/admin/audits', { ...asAdmin(), at: serverOf(n) });
  expect(await statusesOf(20, start)).toEqual({ 202: 1, 503: 19 });
  await waitUntil(async () => (await readAuditStatus(system.store.redis)).at !== null, {
    deadlineMs: 20_000,
    what: 'it does not end',
  });
  expect(await statusesOf(20, start)).toEqual({ 503: 20 });
});

test.each([
  ['discarded', 'DELETE', '', 204],
  ['republished', 'POST', '/republish', 202],
])('a dead letter is %s once', async (_what, method, action, status) => {
  const bull = bullOf(system.store.queue);
  const job = await bull.add({ purchases: [{ nonsense: true }] } as never, {
    attempts: 1,
  });
  await waitUntil(() => job.isFailed(), { deadlineMs: 15_000, what: 'it does not fail' });
  // Otherwise it would fail again and become the next dead letter.
  await bull.pause();
  const act = (n: number) =>
    system.api(method, `/api/admin/dead-letters/0-${job.id}${action}`, { ...asAdmin(), at: serverOf(n) });
  expect(await statusesOf(12, act)).toEqual({ [status]: 1, 404: 11 });
  await bull.resume();
});

function work(challenge: string): string {
  for (let nonce = 0; ; nonce++) {
    const answer = `${challenge}.${nonce}`;
    if ((createHash('sha256').update(answer).digest()[0] ?? 255) < 128) return answer;
  }
}

test('a proof of work is of one buyer, whose limit bounds how often it is used', async () => {
  const sale = await system.createSale({ stock: 100, limitPerBuyer: 3 });
  const token = system.buyerToken();
  const buy = (key: string, headers: Record<string, string> = {}, at = serverOf(0)) =>
    system.api('POST', `/api/sales/${sale.id}/purchases`, {
      ...{ token, at, body: { quantity: 1 } },
      headers: { 'Idempotency-Key': key, ...headers },
    });
  const proof = { 'Proof-Of-Work': work((await buy(nanoid())).body.challenge) };
  const key = nanoid();
  expect(await statusesOf(10, (n) => buy(key, proof, serverOf(n)))).toEqual({ 202: 10 });
  const keys = Array.from({ length: 10 }, () => nanoid());
  expect(await statusesOf(10, (n) => buy(keys[n] ?? '', proof, serverOf(n)))).toEqual({ 202: 2, 409: 8 });
  await system.quiet();
  const { body } = await system.api('GET', '/api/orders', { token });
  expect(body.orders).toHaveLength(3);
});

test('concurrent password guesses are limited', async () => {
  const account = { email: `${nanoid().toLowerCase()}@example.com`, password: 'correct horse', name: 'Ann' };
  const { body } = await system.api('POST', '/api/users', { body: account });
  const headers = { 'Proof-Of-Work': work(body.challenge) };
  expect((await system.api('POST', '/api/users', { body: account, headers })).status).toBe(201);
  const guess = (n: number) =>
    system.api('POST', '/api/sessions', {
      at: serverOf(n),
      body: { email: account.email, password: `guess ${n}` },
    });
  expect(await statusesOf(20, guess)).toEqual({ 401: 4, 429: 16 });
});

test('a ticket opens Bull’s board once', async () => {
  const { body } = await system.api<{ path: string }>('POST', '/api/admin/queue-visits', asAdmin());
  const visits = await Promise.all(
    Array.from({ length: 10 }, (_, n) => fetch(serverOf(n) + body.path, { redirect: 'manual' })),
  );
  expect(visits.filter(({ headers }) => headers.has('set-cookie'))).toHaveLength(1);
});
