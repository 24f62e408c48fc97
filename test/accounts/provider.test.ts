import { type ChildProcess, spawn } from 'node:child_process';
import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { fileURLToPath } from 'node:url';
import bcrypt from 'bcrypt';
import jwt from 'jsonwebtoken';
import { nanoid } from 'nanoid';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { openAccountMails } from '../../accounts/account-mail.ts';
import { issueToken, openTokenSecrets, textOfToken } from '../../accounts/one-time-token.ts';
import { requestPasswordReset } from '../../accounts/password.ts';
import { providerTokenMaxSeconds } from '../../accounts/provider/provider.ts';
import { updateProviderAccount } from '../../accounts/provider/provider-account.ts';
import { beginSession, providerStaffSeconds, renewSession } from '../../accounts/session.ts';
import { isLastAdmin } from '../../accounts/staff.ts';
import { freePort } from '../../ops/local/processes/port.mjs';
import { waitUntil } from '../../ops/local/processes/process.mjs';
import { transact } from '../../runtime/databases/transact.ts';
import type { AccountRole, Session } from '../../sale/contract.ts';
import { openTokens } from '../../server/http/identity/tokens.ts';
import { type OpenBrowser, openBrowser } from '../support/browser.ts';
import { startSystem, type TestSystem } from '../support/harness.ts';

const audience = 'https://shop.example.com/api';
const client = { clientId: 'shop', clientSecret: 'a secret of the shop', audience };
const keysIntervalMs = 300;

let system: TestSystem;
let browser: OpenBrowser;
let issuer: string;
let providerPort: number;
let provider: ChildProcess | null = null;

interface Key {
  kid: string;
  privateKey: KeyObject;
  publicPem: string;
}

function newKey(): Key {
  const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: 2_048 });
  return {
    kid: nanoid(),
    privateKey,
    publicPem: publicKey.export({ type: 'spki', format: 'pem' }).toString(),
  };
}
let key = newKey();

/** Starts the provider with these keys, in a process of its own. */
async function startProvider(keys: Key[]): Promise<void> {
  const jwks = {
    keys: keys.map(({ kid, privateKey }) => ({
      ...privateKey.export({ format: 'jwk' }),
      kid,
      use: 'sig',
      alg: 'RS256',
    })),
  };
  const redirectUri = `${system.url}/sign-in/callback`;
  const script = fileURLToPath(new URL('../support/identity-provider.mjs', import.meta.url));
  provider = spawn(process.execPath, [script], {
    env: { ...process.env, PROVIDER: JSON.stringify({ port: providerPort, ...client, redirectUri, jwks }) },
    stdio: 'ignore',
  });
  const description = `${issuer}/.well-known/openid-configuration`;
  await waitUntil(() => fetch(description).then(({ ok }) => ok), {
    deadlineMs: 20_000,
    what: 'the provider does not answer',
  });
}

async function stopProvider(): Promise<void> {
  if (!provider) return;
  const ended = once(provider, 'exit');
  provider.kill('SIGKILL');
  await ended;
  provider = null;
}

beforeAll(async () => {
  providerPort = await freePort();
  // Another site than the shop's, so that browsers come back from a foreign page.
  issuer = `http://localhost:${providerPort}`;
  const env = {
    OIDC_ISSUER: issuer,
    OIDC_AUDIENCE: audience,
    OIDC_CLIENT_ID: client.clientId,
    OIDC_CLIENT_SECRET: client.clientSecret,
    OIDC_NAME: 'The club',
    OIDC_PERSON_CLAIM: 'person',
    OIDC_ROLES_CLAIM: 'roles',
    OIDC_TIMEOUT_MS: '500',
    OIDC_KEYS_INTERVAL_MS: String(keysIntervalMs),
  };
  [system, browser] = await Promise.all([startSystem({ servers: 1, env }), openBrowser()]);
  // A server starts without its provider.
  await startProvider([key]);
});
afterAll(async () => {
  await browser.close();
  await system.close();
  await stopProvider();
});

interface Signing {
  by?: Key;
  seconds?: number;
  options?: jwt.SignOptions;
}

/** A token as the provider signs it. */
function tokenOf(claims: object, { by = key, seconds = 60, options = {} }: Signing = {}): string {
  return jwt.sign({ person: 'ann', ...claims }, by.privateKey, {
    algorithm: 'RS256',
    keyid: by.kid,
    issuer,
    audience,
    subject: 'ann',
    expiresIn: seconds,
    ...options,
  });
}
const orders = async (token: string) => {
  const { status, body } = await system.api('GET', '/api/orders', { token });
  return [status, body.type ?? 'ok'];
};
/** The claims with which the provider verifies an address. */
const addressOf = (login: string) => ({ email: `${login}@example.com`, email_verified: true });
const secretsOf = () => openTokenSecrets(system.store.config.JWT_SECRET);
const accepted = [200, 'ok'];
const refused = [401, '/problems/unauthorized'];

test('access tokens that the provider signed are accepted, those of its own token endpoint too', async () => {
  expect(await orders(tokenOf({}))).toEqual(accepted);
  const answer = await fetch(`${issuer}/token`, {
    method: 'POST',
    body: new URLSearchParams({
      grant_type: 'client_credentials',
      client_id: client.clientId,
      client_secret: client.clientSecret,
      resource: audience,
    }),
  });
  const { access_token: token } = (await answer.json()) as { access_token: string };
  expect(await orders(token)).toEqual(accepted);
});

test('forged, expired and foreign tokens are refused', async () => {
  const mine = { ...newKey(), kid: key.kid };
  const [head = '', body = ''] = tokenOf({}).split('.');
  const none = `${Buffer.from(JSON.stringify({ alg: 'none', kid: key.kid })).toString('base64url')}.${body}.x`;
  const symmetric = jwt.sign({ person: 'ann', sub: 'ann', iss: issuer, aud: audience }, key.publicPem, {
    algorithm: 'HS256',
    keyid: key.kid,
    expiresIn: 60,
  });
  const wrong = {
    'another key': tokenOf({}, { by: mine }),
    'an unknown key': tokenOf({}, { by: newKey() }),
    'no signature': none,
    'a cut signature': `${head}.${body}.AAAA`,
    'the public key as a secret': symmetric,
    expired: tokenOf({}, { seconds: -60 }),
    'a life of two days': tokenOf({}, { seconds: 2 * 86_400 }),
    'another audience': tokenOf({}, { options: { audience: 'another' } }),
    'another issuer': tokenOf({}, { options: { issuer: 'http://127.0.0.1:1' } }),
    'no person': tokenOf({ person: undefined }),
    'a person that is no text': tokenOf({ person: ['ann'] }),
    'no end': jwt.sign({ person: 'ann', sub: 'ann', iss: issuer, aud: audience }, key.privateKey, {
      algorithm: 'RS256',
      keyid: key.kid,
    }),
  };
  for (const [what, token] of Object.entries(wrong))
    expect([what, ...(await orders(token))]).toEqual([what, ...refused]);
});

test('the claim names the person whose limit counts, and the role; both from each token', async () => {
  const sale = await system.createSale({ stock: 9, limitPerBuyer: 1 });
  const [first, second] = ['one', 'two'].map((subject) =>
    tokenOf({ person: 'eve' }, { options: { subject } }),
  );
  const bought = await system.buy(sale.id, first ?? '');
  expect(bought.status).toBe(202);
  expect((await system.settled(bought.body.orderId, first ?? '')).status).toBe('paid');
  expect((await system.buy(sale.id, second ?? '')).status).toBe(409);
  expect(
    (await system.buy(sale.id, tokenOf({ person: 'Eve' }, { options: { subject: 'three' } }))).status,
  ).toBe(202);

  const overview = async (roles: unknown) =>
    (
      await system.api('GET', '/api/admin/overview', {
        token: tokenOf({ roles }, { options: { subject: 'four' } }),
      })
    ).status;
  expect(await overview(['a', 'admin'])).toBe(200);
  expect(await overview('admin')).toBe(200);
  for (const roles of [undefined, [], ['administrator'], { admin: true }, 'buyer'])
    expect(await overview(roles)).toBe(403);
});

test('staff of the provider and keys see drafts; staff find a buyer by the address that it gave, and never by the placeholder', async () => {
  const admin = { token: system.adminToken };
  const sale = await system.createSale({ stock: 9 });

  const times = { opensAt: sale.opensAt, closesAt: sale.closesAt };
  const body = { draft: true, productId: sale.product.id, price: sale.price, stock: 1, ...times };
  const { body: draft } = await system.api('POST', '/api/sales', { ...admin, body });
  const scopes = ['sales:read'];
  const key = await system.api('POST', '/api/admin/api-keys', { ...admin, body: { name: 'A till', scopes } });
  const reads = async (token?: string) =>
    (await system.api('GET', `/api/sales/${draft.id}`, { token })).status;
  const viewer = tokenOf({ roles: 'viewer' }, { options: { subject: nanoid() } });
  expect(await Promise.all([reads(viewer), reads(key.body.key), reads(admin.token)])).toEqual([
    200, 200, 200,
  ]);
  expect(await Promise.all([reads(), reads(tokenOf({})), reads('forged')])).toEqual([404, 404, 404]);
  const [known, unknown] = [true, false].map((isKnown) => {
    const subject = nanoid().toLowerCase().replace(/\W/g, 'x');
    const claims = { person: subject, ...(isKnown && addressOf(subject)) };
    return { subject, token: tokenOf(claims, { options: { subject } }) };
  }) as [Shown, Shown];
  for (const buyer of [known, unknown]) {
    const { body } = await system.buy(sale.id, buyer.token);
    await system.settled(body.orderId, buyer.token);
    buyer.orderId = body.orderId;
  }
  const email = `${known.subject}@example.com`;
  const found = await system.api('GET', `/api/admin/orders?q=${encodeURIComponent(email)}`, admin);
  expect(found.body.orders).toMatchObject([{ id: known.orderId, email }]);
  const details = await system.api('GET', `/api/admin/orders/${unknown.orderId}`, admin);
  expect(details.body.order.email).toBeNull();
  const mail = await system.api('POST', `/api/admin/orders/${unknown.orderId}/mail`, admin);
  expect([mail.status, mail.body.type]).toEqual([409, '/problems/no-address']);

  const staffToken = tokenOf(
    { roles: 'desk', person: known.subject },
    { options: { subject: known.subject } },
  );
  const note = { token: staffToken, body: { text: 'Called.' } };
  expect((await system.api('POST', `/api/admin/orders/${known.orderId}/notes`, note)).status).toBe(201);
  const log = await system.api('GET', '/api/admin/staff-log', admin);
  expect(JSON.stringify(log.body)).toContain(email);
  expect(JSON.stringify([log.body, found.body, details.body])).not.toContain('oidc:');
});

interface Shown {
  subject: string;
  token: string;
  orderId?: string;
}

test('a revocation counts for as long as the longest token of the provider', () => {
  const tokens = openTokens('x'.repeat(32), 60, providerTokenMaxSeconds);
  const [hourAgo, daysAgo] = [3_600_000, 2 * 86_400_000].map((ms) => Date.now() - ms) as [number, number];
  expect(tokens.revoke('ann', hourAgo)).toBe(true);
  expect(tokens.revoke('bob', daysAgo)).toBe(false);
  tokens.revoke('eve', Date.now());
  expect(tokens.isRevoked('ann', hourAgo / 1_000 - 1)).toBe(true);
});

test('a deleted account’s older tokens are refused', async () => {
  const options = { subject: nanoid() };
  const token = tokenOf({ person: options.subject, name: 'Zoe' }, { options });
  expect((await system.api('GET', '/api/account', { token })).body).toMatchObject({ name: 'Zoe', email: '' });
  expect((await system.api('DELETE', '/api/account', { token })).status).toBe(204);
  expect(await orders(token)).toEqual(refused);
});

test('an account of the provider gets no password, whose owner could keep it after a dismissal', async () => {
  const subject = nanoid();
  const token = tokenOf({ person: subject, ...addressOf(subject) }, { options: { subject } });
  const { id } = (await system.api('GET', '/api/account', { token })).body;
  const { collections, config } = system.store;
  const post = (path: string, body: object) => system.api('POST', path, { body });

  expect((await post('/api/password-resets', { email: `oidc:${id}` })).status).toBe(400);
  await requestPasswordReset(collections, openAccountMails(collections, secretsOf()), `oidc:${id}`);
  expect(await collections.oneTimeTokens.countDocuments({ subject: id })).toBe(0);

  // A link that an earlier version mailed.
  const linked = { purpose: 'reset-password', subject: id, seconds: 60 } as const;
  const link = await transact(
    collections.connection,
    (session) => issueToken(collections, linked, secretsOf(), session),
    { patienceMs: 2_000 },
  );
  const text = await textOfToken(collections, link, secretsOf());
  const reset = await post('/api/passwords', { token: text, password: 'correct horse' });
  expect([reset.status, reset.body.type]).toEqual([410, '/problems/link-expired']);
  expect(await collections.users.findOne({ _id: id })).toMatchObject({ passwordHash: '' });

  // A password that was set in an earlier version lets nobody in.
  const passwordHash = await bcrypt.hash('correct horse', config.BCRYPT_COST);
  await collections.users.updateOne({ _id: id }, { $set: { passwordHash } });
  for (const email of [`oidc:${id}`, `${subject}@example.com`.toLowerCase()])
    expect((await post('/api/sessions', { email, password: 'correct horse' })).status).toBe(401);
});

test('another role at the provider ends sessions and tokens, and no session of its staff is older than 12 hours', async () => {
  const { collections } = system.store;
  const subject = nanoid();
  const signIn = (role: AccountRole) =>
    updateProviderAccount(
      collections,
      { subject, person: subject, role, verifiedEmail: null, name: null },
      { issuer, aliasDomains: [] },
    );
  const { account, revocation } = await signIn('buyer');
  expect(revocation).toBeNull();
  const { id: userId } = account.user;
  const [phone, laptop] = [nanoid(), nanoid()];
  const sessionOf = (userAgent: string) =>
    beginSession(collections, userId, { seconds: 30 * 86_400, userAgent });
  const first = await sessionOf(phone);
  const promoted = await signIn('admin');
  expect(promoted).toMatchObject({ account: { user: { role: 'admin' } }, revocation: { userId } });
  expect((await renewSession(collections, first.token)).outcome).toBe('unknown');
  expect((await signIn('admin')).revocation).toBeNull();

  // The role is changed at the provider only.
  const { staff } = (await system.api('GET', '/api/admin/staff', { token: system.adminToken })).body;
  expect(staff).toContainEqual({ id: userId, email: '', name: '–', role: 'admin', ofProvider: true });
  const path = `/api/admin/staff/${userId}`;
  for (const [method, body] of [['PATCH', { role: 'viewer' }], ['DELETE']] as const) {
    const { status, body: problem } = await system.api(method, path, { token: system.adminToken, body });
    expect([status, problem.type]).toEqual([409, '/problems/provider-role']);
  }
  // Such an admin does not count as the one who must be left.
  const own = await collections.users.findOne({ _id: (await system.signUp()).user.id });
  if (!own) throw new Error('no account');
  expect(
    await transact(
      collections.connection,
      (session) => isLastAdmin(collections, { ...own, role: 'admin' }, session),
      { patienceMs: 2_000 },
    ),
  ).toBe(true);

  const second = await sessionOf(laptop);
  const renewed = await renewSession(collections, second.token);
  if (renewed.outcome !== 'renewed') throw new Error(renewed.outcome);
  const createdAt = new Date(Date.now() - providerStaffSeconds * 1_000);
  await collections.sessions.updateOne({ _id: second.id }, { $set: { createdAt } });
  expect((await renewSession(collections, renewed.token)).outcome).toBe('unknown');
  expect(await collections.sessions.countDocuments({ userId })).toBe(0);
});

test('rotated keys are accepted within the interval, and withdrawn ones refused', async () => {
  const [old, next] = [key, newKey()];
  await stopProvider();
  await startProvider([next, old]);
  expect(await orders(tokenOf({}, { by: old }))).toEqual(accepted);
  await expect.poll(() => orders(tokenOf({}, { by: next })), { timeout: 10_000 }).toEqual(accepted);
  key = next;
  await stopProvider();
  await startProvider([next]);
  // A token of a third key makes the server read the keys again.
  await expect
    .poll(
      async () => {
        await orders(tokenOf({}, { by: newKey() }));
        return await orders(tokenOf({ n: nanoid() }, { by: old }));
      },
      { timeout: 10_000 },
    )
    .toEqual(refused);
});

test('while the provider is away or silent, known keys go on, and an unknown one is answered 503 in time', async () => {
  expect(await orders(tokenOf({}))).toEqual(accepted);
  await stopProvider();
  const away = [503, '/problems/unavailable'];
  await expect.poll(() => orders(tokenOf({}, { by: newKey() })), { timeout: 10_000 }).toEqual(away);
  expect(await orders(tokenOf({ n: 1 }))).toEqual(accepted);

  // It accepts connections and says nothing.
  const sockets = new Set<{ destroy(): void }>();
  let connections = 0;
  const silent = createServer((socket) => {
    connections += 1;
    sockets.add(socket.on('error', () => {}));
  }).listen(providerPort, 'localhost');
  await once(silent, 'listening');
  try {
    const stranger = newKey();
    const tokens = Array.from({ length: 50 }, () => tokenOf({}, { by: { ...stranger, kid: nanoid() } }));
    const began = performance.now();
    expect(await Promise.all(tokens.map(orders))).toEqual(Array(50).fill(away));
    expect(performance.now() - began).toBeLessThan(8_000);
    // The crowd shares the reads.
    expect(connections).toBeLessThan(20);
    expect(await orders(tokenOf({ n: 2 }))).toEqual(accepted);
  } finally {
    for (const socket of sockets) socket.destroy();
    silent.close();
    await startProvider([key]);
  }
});

test('a sign-in needs the browser that began it, and says when the provider refuses', async () => {
  const go = (path: string, cookie = '') =>
    fetch(system.url + path, { redirect: 'manual', headers: { cookie } });
  const begun = await go('/sign-in?returnTo=/orders');
  const target = new URL(begun.headers.get('location') ?? '');
  expect(begun.status).toBe(303);
  expect(target.origin).toBe(issuer);
  expect(Object.fromEntries(target.searchParams)).toMatchObject({
    code_challenge_method: 'S256',
    state: expect.any(String),
  });
  const state = target.searchParams.get('state') ?? '';
  const cookie = begun.headers.get('set-cookie')?.split(';')[0] ?? '';
  const callback = `/sign-in/callback?state=${state}&iss=${encodeURIComponent(issuer)}`;
  const ends = async (path: string, sent?: string) => (await go(path, sent)).headers.get('location');
  expect(await ends(`${callback}&code=stolen`)).toBe('/account#sign-in-failed=expired');
  expect(await ends(`${callback}&code=stolen`, 'stampede_sign_in=another')).toBe(
    '/account#sign-in-failed=expired',
  );
  expect(await ends(`${callback}&code=made-up`, cookie)).toBe('/account#sign-in-failed=refused');
  expect(await ends(`${callback}&code=made-up`, cookie)).toBe('/account#sign-in-failed=expired');
  expect((await go('/sign-in?returnTo=//evil.example')).status).toBe(400);
});

test('buyers and staff sign in through the pages, and are who the claims say', async () => {
  const page = await browser.page({ viewport: { width: 390, height: 844 } });
  const login = `boss-${nanoid().toLowerCase().replace(/\W/g, 'x')}`;
  await page.goto(`${system.url}/orders`);
  await page.getByTestId('account').click();
  await page.getByRole('link', { name: 'Continue with The club' }).click();
  await page.locator('input[name=login]').fill(login);
  await page.locator('input[name=password]').fill('anything');
  await page.getByRole('button').click();
  await page.getByRole('button', { name: 'Continue' }).click();
  await page
    .getByTestId('account')
    .filter({ hasText: `Name of ${login}` })
    .waitFor();
  expect(page.url()).toBe(`${system.url}/orders`);
  await page.screenshot({ path: '/tmp/people-provider.png' });

  const session: Session = JSON.parse(
    (await page.evaluate("localStorage.getItem('stampede.session')")) as string,
  );
  expect(session.user).toMatchObject({ email: `${login}@example.com`, role: 'admin', emailVerified: true });
  expect((await system.api('GET', '/api/admin/overview', { token: session.token })).status).toBe(200);

  // An account with a password and the same address is another account of the same person.
  const account = { email: `${login}@example.com`, password: 'correct horse', name: 'Ann' };
  const own = await system.api<Session>('POST', '/api/users', { body: account });
  expect(own.body.user.id).not.toBe(session.user.id);
  const sale = await system.createSale({ stock: 9, limitPerBuyer: 1 });
  expect((await system.buy(sale.id, session.token)).status).toBe(202);
  expect((await system.buy(sale.id, own.body.token)).status).toBe(409);
});

test('a shop without passwords refuses them everywhere, and its pages offer the provider alone', async () => {
  const { url, close } = await system.startServer({ PASSWORD_ACCOUNTS: 'off' });
  const [email, password] = [`${nanoid()}@example.com`, 'correct horse'];
  const [token, link] = [system.adminToken, `${'a'.repeat(22)}.${'b'.repeat(43)}`];
  for (const [path, body] of [
    ['/api/users', { email, password, name: 'Ann' }],
    ['/api/sessions', { email, password }],
    ['/api/password-resets', { email }],
    ['/api/passwords', { token: link, password }],
    ['/api/account/password', { oldPassword: password, password }],
    ['/api/admin/staff-invitations', { email, role: 'desk' }],
    ['/api/staff-invitations/acceptance', { token: link, password }],
  ] as const) {
    const { status, body: problem } = await system.api('POST', path, { token, body, at: url });
    expect([path, status, problem.type]).toEqual([path, 409, '/problems/no-passwords']);
    expect(problem.detail).toContain('The club');
  }
  const ways = await system.api('GET', '/api/sign-in', { at: url });
  expect(ways.body).toEqual({ provider: { name: 'The club', path: '/sign-in' }, passwords: false });

  const page = await browser.page({ viewport: { width: 390, height: 844 } });
  await page.goto(`${url}/orders`);
  await page.getByTestId('account').click();
  await page.getByRole('link', { name: 'Continue with The club' }).waitFor();
  await page.getByTestId('sign-in-form').waitFor({ state: 'hidden' });
  await page.screenshot({ path: '/tmp/people-no-passwords.png' });
  await close();
});
