import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ROOT } from '../../ops/local/folders.mjs';
import { run } from '../../ops/local/processes/process.mjs';
import type { Session } from '../../sale/contract.ts';
import { openTokens } from '../../server/http/identity/tokens.ts';
import { createAccount, openBrowser } from '../support/browser.ts';
import { startSystem, type TestSystem } from '../support/harness.ts';

const [oldSecret, newSecret] = [
  'an-old-secret-that-is-long-enough-to-sign',
  'a-new-secret-that-is-long-enough-to-sign',
];

let system: TestSystem;
beforeAll(async () => {
  const keys = `new:${newSecret},old:${oldSecret},${'a-plain-secret-that-is-long-enough-to-sign'}`;
  system = await startSystem({ nginx: false, env: { JWT_SECRET: keys, BCRYPT_COST: '9' } });
});
afterAll(() => system.close());

const account = () => ({
  email: `${crypto.randomUUID()}@example.com`,
  password: 'correct horse',
  name: 'Ann',
});
const cookieOf = (headers: Headers) => headers.get('set-cookie')?.split(';')[0] ?? '';
const json = { 'Content-Type': 'application/json' };
const renew = (cookie: string, headers: Record<string, string> = {}) =>
  system.api<Session>('POST', '/api/sessions/renewal', { body: {}, headers: { cookie, ...headers } });
const opens = async (token: string, at = system.url) =>
  (await system.api('GET', '/api/orders', { token, at })).status === 200;

async function signUp() {
  const { body, headers } = await system.api<Session>('POST', '/api/users', { body: account() });
  return { ...body, cookie: cookieOf(headers), setCookie: headers.get('set-cookie') ?? '' };
}

describe('a session', () => {
  test('its cookie is HttpOnly, SameSite=Strict and limited to its path', async () => {
    const { setCookie } = await signUp();
    expect(setCookie).toMatch(
      /^stampede_session=[\w-]{22}\.[\w-]{43}; Path=\/api\/sessions; Expires=[^;]+; HttpOnly; SameSite=Strict$/,
    );
  });

  test('is renewed with the cookie, which rotates; the token is new and the buyer the same', async () => {
    const { user, token, cookie } = await signUp();
    const first = await renew(cookie);
    expect([first.status, first.body.user]).toEqual([200, user]);
    expect(first.body.token).not.toBe(token);
    expect(await opens(first.body.token)).toBe(true);
    const second = cookieOf(first.headers);
    expect(second).not.toBe(cookie);
    expect((await renew(second)).status).toBe(200);
  });

  test('one of many renewals with one cookie at once succeeds, and the session then ends', async () => {
    const { cookie } = await signUp();
    const answers = await Promise.all(Array.from({ length: 10 }, () => renew(cookie)));
    const won = answers.filter(({ status }) => status === 200);
    expect(won).toHaveLength(1);
    expect((await renew(cookieOf((won[0] as (typeof won)[number]).headers))).status).toBe(401);
  });

  test('a reused cookie ends the session, also for the holder of the rotated cookie', async () => {
    const { cookie } = await signUp();
    const stolen = await renew(cookie);
    expect(stolen.status).toBe(200);
    const again = await renew(cookie);
    expect([again.status, again.headers.get('set-cookie')]).toEqual([401, expect.stringContaining('1970')]);
    expect((await renew(cookieOf(stolen.headers))).status).toBe(401);
  });

  test.each([
    '',
    'stampede_session=',
    'stampede_session=x.y',
    `stampede_session=${'a'.repeat(22)}.${'b'.repeat(43)}`,
  ])('the cookie "%s" renews nothing', async (cookie) => {
    expect((await renew(cookie)).status).toBe(401);
  });

  test('another site’s page cannot renew it, whatever the browser sends', async () => {
    const { cookie } = await signUp();
    for (const origin of ['https://evil.example', 'null', 'http://127.0.0.1']) {
      expect((await renew(cookie, { origin })).status).toBe(403);
      const leave = { headers: { ...json, cookie, origin } };
      expect((await system.api('DELETE', '/api/sessions/current', leave)).status).toBe(403);
    }
    const form = { 'Content-Type': 'application/x-www-form-urlencoded' };
    expect((await renew(cookie, form)).status).toBe(415);
    expect((await renew(cookie, { origin: system.url })).status).toBe(200);
  });

  test('its cookie gives access to nothing else', async () => {
    const { cookie } = await signUp();
    expect((await system.api('GET', '/api/orders', { headers: { cookie } })).status).toBe(401);
    expect((await system.api('DELETE', '/api/sessions', { headers: { cookie } })).status).toBe(401);
  });

  test('signing out ends it and no other session', async () => {
    const [here, there] = [await signUp(), await signUp()];
    const gone = await system.api('DELETE', '/api/sessions/current', { headers: { cookie: here.cookie } });
    expect([gone.status, gone.headers.get('set-cookie')]).toEqual([204, expect.stringContaining('1970')]);
    expect((await renew(here.cookie)).status).toBe(401);
    const forged = there.cookie.replace(/\.[\w-]+$/, `.${'x'.repeat(43)}`);
    await system.api('DELETE', '/api/sessions/current', { headers: { cookie: forged } });
    expect((await renew(there.cookie)).status).toBe(200);
  });

  test('signing out everywhere ends all of them and the access tokens, on every instance', async () => {
    const mine = account();
    const first = await system.api<Session>('POST', '/api/users', { body: mine });
    const { email, password } = mine;
    const second = await system.api<Session>('POST', '/api/sessions', { body: { email, password } });
    const other = await signUp();
    const { token } = first.body;
    expect((await system.api('DELETE', '/api/sessions', { token })).status).toBe(204);
    for (const { headers } of [first, second]) expect((await renew(cookieOf(headers))).status).toBe(401);
    await expect.poll(() => opens(second.body.token, system.servers[1]?.url)).toBe(false);
    expect(await opens(token)).toBe(false);
    expect(await opens(other.token)).toBe(true);
    const again = await system.api<Session>('POST', '/api/sessions', { body: { email, password } });
    for (const { url } of system.servers) expect(await opens(again.body.token, url)).toBe(true);
  });

  test('only hashes of its secret are stored, and MongoDB removes expired sessions', async () => {
    const { cookie } = await signUp();
    const [id = '', secret = ''] = cookie.replace('stampede_session=', '').split('.');
    const record = await system.store.collections.sessions.findOne({ _id: id });
    expect(record).toMatchObject({ secretHash: expect.any(String), expiresAt: expect.any(Date) });
    expect(JSON.stringify(record)).not.toContain(secret);
    const indexes = await system.store.collections.sessions.indexes();
    expect(indexes).toContainEqual(expect.objectContaining({ key: { expiresAt: 1 }, expireAfterSeconds: 0 }));
  });
});

test('signing in to an unknown account takes as long as a wrong password', async () => {
  const { email } = (await signUp()).user;
  const millisecondsOf = async (address: string) => {
    const began = performance.now();
    const body = { email: address, password: 'wrong horse' };
    expect((await system.api('POST', '/api/sessions', { body })).status).toBe(401);
    return performance.now() - began;
  };
  const [known, unknown]: [number[], number[]] = [[], []];
  for (let n = 0; n < 15; n++) {
    known.push(await millisecondsOf(email));
    unknown.push(await millisecondsOf(account().email));
  }
  const median = (times: number[]) => times.sort((a, b) => a - b)[7] ?? 0;
  // bcrypt takes nine tenths of the time, so the ratio would be far off without it.
  const quotient = median(unknown) / median(known);
  expect(quotient).toBeGreaterThan(0.6);
  expect(quotient).toBeLessThan(1.7);
});

test('tokens signed with a listed key are accepted, those of a removed key are not', async () => {
  const user = { id: 'somebody-here', role: 'buyer' as const };
  const by = (secrets: string) => openTokens(secrets, 60).issue(user);
  expect(await opens(by(`old:${oldSecret}`))).toBe(true);
  expect(await opens(by(`new:${newSecret}`))).toBe(true);
  expect(await opens(by('a-plain-secret-that-is-long-enough-to-sign'))).toBe(true);
  expect(await opens(by(`old:${newSecret}`))).toBe(false);
  expect(await opens(by(`dropped:${oldSecret}`))).toBe(false);
  expect(await opens(by(newSecret))).toBe(false);
  const { token } = await signUp();
  expect(JSON.parse(Buffer.from(token.split('.')[0] ?? '', 'base64url').toString()).kid).toBe('new');
});

test('the admin command creates the first admin and shows the password once', async () => {
  const email = 'first.admin@example.com';
  const ask = (...args: string[]) =>
    run(process.execPath, ['run.mjs', 'commands/admin.ts', ...args], {
      cwd: ROOT,
      env: { ...process.env, ...system.env },
      deadlineMs: 30_000,
    });
  const { stdout } = await ask('create', email);
  const { password } = JSON.parse(stdout);
  const { body } = await system.api<Session>('POST', '/api/sessions', { body: { email, password } });
  expect((await system.api('GET', '/api/admin/overview', { token: body.token })).status).toBe(200);
  expect((await ask('create', email)).ok).toBe(false);
  expect((await ask('create', 'no address')).output).toContain('npm run admin');
});

test('a page renews its expired token silently, and signs out on the server', async () => {
  // So short that each request finds its token expired.
  const short = await startSystem({ servers: 1, workers: 1, nginx: false, env: { TOKEN_SECONDS: '1' } });
  const browser = await openBrowser();
  try {
    const sale = await short.createSale({ stock: 9 });
    const page = await browser.page();
    await page.goto(`${short.url}/sales/${sale.id}`);
    await page.locator('[data-testid=buy][data-state=sign-in]').click();
    await createAccount(page, { email: account().email });
    const renewed = page.waitForResponse((answer) => answer.url().endsWith('/renewal') && answer.ok());
    await renewed;
    await page.locator('[data-testid=buy][data-state=buy]').click();
    await page.getByTestId('order-status').filter({ hasText: 'Paid' }).waitFor();
    await page.goto(`${short.url}/orders`);
    await page.getByTestId('order-status').filter({ hasText: 'Paid' }).waitFor();
    expect(await page.getByTestId('account').textContent()).toBe('Ada');

    await page.getByTestId('account').click();
    const left = page.waitForResponse((answer) => answer.url().endsWith('/sessions/current'));
    await page.getByRole('button', { name: 'Sign out', exact: true }).click();
    expect((await left).status()).toBe(204);
    expect(await short.store.collections.sessions.countDocuments()).toBe(0);
  } finally {
    await browser.close();
    await short.close();
  }
});
