import type { IncomingMessage } from 'node:http';
import { nanoid } from 'nanoid';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Problem } from '../../sale/contract.ts';
import { clientAddressOf, networkOf, openTrust } from '../../server/http/client-address.ts';
import { type ApiAnswer, startSystem, type TestSystem } from '../support/harness.ts';

const failures = 5;
const signIns = 30;
const signUps = 8;
const purchases = 10;
const requests = 40;

let system: TestSystem;
beforeAll(async () => {
  system = await startSystem({
    env: {
      LIMIT_FACTOR: '1',
      SIGN_IN_FAILURES_PER_ACCOUNT_PER_MINUTE: String(failures),
      SIGN_INS_PER_ADDRESS_PER_MINUTE: String(signIns),
      SIGN_UPS_PER_ADDRESS_PER_MINUTE: String(signUps),
      PURCHASES_PER_ACCOUNT_PER_MINUTE: String(purchases),
      REQUESTS_PER_ACCOUNT_PER_MINUTE: String(requests),
    },
  });
});
afterAll(() => system.close());

/** One of the servers, which trusts the test as its proxy and takes the client's address from it. */
const server = (n: number) => system.servers[n % 2]?.url ?? '';
let addresses = 0;
const newAddress = () => `10.1.${addresses >> 8}.${addresses++ & 255}`;
const post = (n: number, path: string, body: unknown, from: string) =>
  system.api<Problem & { token: string }>('POST', path, {
    body,
    at: server(n),
    headers: { 'X-Forwarded-For': from },
  });
const newAccount = () => ({ email: `${nanoid()}@example.com`, password: 'correct horse', name: 'Ann' });
const statuses = (answers: ApiAnswer<unknown>[]) => answers.map(({ status }) => status);

function expectLimited({ status, headers, body }: ApiAnswer<Problem>, name: string, quota: number): void {
  expect([status, body.type]).toEqual([429, '/problems/too-many-requests']);
  expect(headers.get('content-type')).toMatch(/^application\/problem\+json/);
  const seconds = Number(headers.get('retry-after'));
  expect(seconds).toBeGreaterThan(0);
  expect(seconds).toBeLessThanOrEqual(60);
  expect(headers.get('ratelimit-policy')).toBe(`"${name}";q=${quota};w=60`);
  expect(headers.get('ratelimit')).toBe(`"${name}";r=0;t=${seconds}`);
}

describe('signing in', () => {
  test.each(['known', 'unknown'])(
    'wrong passwords of one %s account are counted over addresses and instances, and then even the right one waits',
    async (which) => {
      const { name, ...account } = newAccount();
      if (which === 'known') await post(0, '/api/users', { name, ...account }, newAddress());
      for (let n = 0; n < failures; n++) {
        const answer = await post(n, '/api/sessions', { ...account, password: 'wrong' }, newAddress());
        expect(answer.status).toBe(401);
        expect(answer.headers.get('ratelimit')).toMatch(
          new RegExp(`^"sign-in-failures";r=${failures - 1 - n};t=\\d+$`),
        );
      }
      for (const n of [0, 1]) {
        const limited = await post(n, '/api/sessions', account, newAddress());
        expectLimited(limited, 'sign-in-failures', failures);
      }
      const upperCase = { ...account, email: account.email.toUpperCase() };
      expect((await post(0, '/api/sessions', upperCase, newAddress())).status).toBe(429);
    },
  );

  test('concurrent guesses are counted like consecutive ones', async () => {
    const { name: _, ...account } = newAccount();
    const answers = await Promise.all(
      Array.from({ length: 30 }, (_, n) => post(n, '/api/sessions', account, newAddress())),
    );
    expect(statuses(answers).sort()).toEqual([...Array(failures).fill(401), ...Array(25).fill(429)]);
  });

  test('correct passwords are limited by address only', async () => {
    const { name, ...account } = newAccount();
    const from = newAddress();
    await post(0, '/api/users', { name, ...account }, from);
    for (let n = 0; n < signIns; n++)
      expect((await post(n, '/api/sessions', account, from)).status).toBe(201);
    expectLimited(await post(0, '/api/sessions', account, from), 'sign-ins', signIns);
    expect((await post(0, '/api/sessions', account, newAddress())).status).toBe(201);
  });
});

describe('the address', () => {
  test('limits sign-ups, and ignores entries of X-Forwarded-For before the proxy’s', async () => {
    const from = newAddress();
    for (let n = 0; n < signUps; n++) {
      expect((await post(n, '/api/users', newAccount(), `${newAddress()}, ${from}`)).status).toBe(201);
    }
    expectLimited(await post(0, '/api/users', newAccount(), `1.2.3.4, ${from}`), 'sign-ups', signUps);
    expect((await post(0, '/api/users', newAccount(), newAddress())).status).toBe(201);
  });

  test('cannot be forged behind nginx', async () => {
    const answers: ApiAnswer<unknown>[] = [];
    for (let n = 0; n <= signUps; n++) {
      const headers = { 'X-Forwarded-For': newAddress(), Forwarded: `for=${newAddress()}` };
      answers.push(await system.api('POST', '/api/users', { body: newAccount(), headers }));
    }
    expect(statuses(answers)).toEqual([...Array(signUps).fill(201), 429]);
  });

  test.each([
    ['nobody', 0, undefined, '127.0.0.1'],
    ['nobody, whatever the client claims', 0, '1.1.1.1', '127.0.0.1'],
    ['one proxy', 1, '1.1.1.1', '1.1.1.1'],
    ['one proxy, past what the client claims', 1, '6.6.6.6, 1.1.1.1', '1.1.1.1'],
    ['two proxies', 2, '6.6.6.6, 1.1.1.1, 10.0.0.1', '1.1.1.1'],
    ['two proxies, of which one said nothing', 2, '1.1.1.1', '1.1.1.1'],
  ])('of a socket is believed of %s', (_who, hops, forwarded, expected) => {
    const request = { headers: { 'x-forwarded-for': forwarded }, socket: { remoteAddress: '127.0.0.1' } };
    const trusts = openTrust({ TRUST_PROXY_HOPS: hops, TRUSTED_PROXIES: [] });
    expect(clientAddressOf(request as unknown as IncomingMessage, trusts)).toBe(expected);
  });

  test.each([
    ['10.1.2.3', '6.6.6.6, 1.1.1.1', '1.1.1.1'],
    ['10.1.2.3', '6.6.6.6, 1.1.1.1, 192.0.2.9', '1.1.1.1'],
    ['8.8.8.8', '1.1.1.1', '8.8.8.8'],
    ['::ffff:10.1.2.3', '2001:db8::1', '2001:db8::1'],
  ])(
    'behind trusted ranges, a connection of %s for %s is one of %s',
    (remoteAddress, forwarded, expected) => {
      const request = { headers: { 'x-forwarded-for': forwarded }, socket: { remoteAddress } };
      const trusts = openTrust({ TRUST_PROXY_HOPS: 0, TRUSTED_PROXIES: ['10.0.0.0/8', '192.0.2.9'] });
      expect(clientAddressOf(request as unknown as IncomingMessage, trusts)).toBe(expected);
    },
  );

  test.each([
    ['192.0.2.7', '192.0.2.7'],
    ['::ffff:192.0.2.7', '192.0.2.7'],
    ['::ffff:c000:207', '192.0.2.7'],
    ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2'],
    ['2001:db8::6', '2001:db8:0:0'],
    ['2001:db8:1:2::', '2001:db8:1:2'],
    ['::1', '0:0:0:0'],
    ['2130706433', '2130706433'],
    ['', ''],
  ])('%s counts as %s', (address, network) => {
    expect(networkOf(address)).toBe(network);
  });
});

describe('an account', () => {
  test('is limited in purchases, in parallel or not, without affecting others', async () => {
    const sale = await system.createSale({ stock: 1_000, limitPerBuyer: 1_000 });
    const [eager, calm] = [system.buyerToken(), system.buyerToken()];
    const answers = await Promise.all(
      Array.from({ length: 30 }, () => system.buy(sale.id, eager, { at: server(0) })),
    );
    expect(statuses(answers).sort()).toEqual([...Array(purchases).fill(202), ...Array(20).fill(429)]);
    const limited = await system.api<Problem>('POST', `/api/sales/${sale.id}/purchases`, {
      ...{ token: eager, body: { quantity: 1 }, at: server(0) },
    });
    expectLimited(limited, 'purchases', purchases);
    const { status, headers } = await system.buy(sale.id, calm, { at: server(0) });
    expect([status, headers.get('ratelimit-policy')]).toEqual([202, `"purchases";q=${purchases};w=60`]);
    await system.quiet();
    expect((await system.audit()).ok).toBe(true);
  });

  test('is limited in reads', async () => {
    const token = system.buyerToken();
    const read = () => system.api<Problem>('GET', '/api/orders', { token, at: server(1) });
    for (let n = 0; n < requests; n++) expect((await read()).status).toBe(200);
    expectLimited(await read(), 'requests', requests);
  });
});

// Last in this file, because Redis is paused.
test('each instance counts for itself while Redis does not answer, without delay', async () => {
  const { name, ...account } = newAccount();
  await post(0, '/api/users', { name, ...account }, newAddress());
  const { pid } = system.redis();
  process.kill(pid, 'SIGSTOP');
  try {
    const began = performance.now();
    expect((await post(0, '/api/sessions', account, newAddress())).status).toBe(201);
    expect((await system.api('GET', '/api/sales', { at: server(0) })).status).toBe(200);
    expect(performance.now() - began).toBeLessThan(1_900);
    const guesses = Array.from({ length: failures + 1 }, () =>
      post(0, '/api/sessions', { ...account, password: 'wrong' }, newAddress()),
    );
    expect(statuses(await Promise.all(guesses)).sort()).toEqual([...Array(failures).fill(401), 429]);
  } finally {
    process.kill(pid, 'SIGCONT');
  }
});
