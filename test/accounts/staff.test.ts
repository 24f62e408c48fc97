import { nanoid } from 'nanoid';
import { io } from 'socket.io-client';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { issueToken, openTokenSecrets, textOfToken } from '../../accounts/one-time-token.ts';
import { type ApiKey, apiScope, type StaffInvitation, type StaffMember } from '../../insight/contract.ts';
import { ROOT } from '../../ops/local/folders.mjs';
import { run, waitUntil } from '../../ops/local/processes/process.mjs';
import { transact } from '../../runtime/databases/transact.ts';
import { type AccountRole, role as roles, type Session } from '../../sale/contract.ts';
import { startSystem, type TestSystem } from '../support/harness.ts';

let system: TestSystem;
beforeAll(async () => {
  system = await startSystem({ servers: 2, workers: 1, nginx: false });
});
afterAll(() => system.close());

const asAdmin = () => ({ token: system.adminToken });
const here = (n: number) => system.servers[n]?.url ?? '';

/** An account with this role, signed in. */
async function employ(role: AccountRole): Promise<Session & { email: string; password: string }> {
  const account = await system.signUp();
  await system.store.collections.users.updateOne({ _id: account.user.id }, { $set: { role } });
  const { email, password } = account;
  const { body } = await system.api<Session>('POST', '/api/sessions', { body: { email, password } });
  return { ...account, ...body };
}

const makeKey = async (scopes: string[], name = 'A till') =>
  (
    await system.api<ApiKey & { key: string }>('POST', '/api/admin/api-keys', {
      ...asAdmin(),
      body: { name, scopes },
    })
  ).body;

const opens = async (token: string, path = '/api/admin/overview', at = here(0)) =>
  (await system.api('GET', path, { token, at })).status;

test('every route is open to exactly the roles and scopes that its document names', async () => {
  type Security = { bearer?: string[]; apiKey?: string[]; session?: string[] };
  const { body } = await system.api('GET', '/openapi.json');
  const keys = new Map<string, string>();
  for (const scope of apiScope.options) keys.set(scope, (await makeKey([scope])).key);

  let checked = 0;
  for (const [path, operations] of Object.entries<Record<string, { security?: Security[] }>>(body.paths)) {
    if (!path.startsWith('/api/')) continue;
    for (const [method, { security = [] }] of Object.entries(operations)) {
      const wanted = security.flatMap(({ bearer = [] }) => bearer)[0];
      const scope = security.flatMap(({ apiKey = [] }) => apiKey)[0];
      const knock = async (token?: string) => {
        const filled = path.replace(/\{\w+\}/g, 'no-such-id-here');
        const { status, body } = await system.api(method.toUpperCase(), filled, { token });
        // The cookie's routes have refusals of their own, and a sent token means nothing to them.
        return security.some(({ session }) => session)
          ? null
          : [401, 403].includes(status)
            ? body.type
            : null;
      };
      const what = `${method} ${path}`;
      expect(await knock(), what).toBe(wanted ? '/problems/unauthorized' : null);
      expect(await knock('sk_'.padEnd(46, 'x')), what).toBe(wanted ? '/problems/unauthorized' : null);
      for (const role of ['buyer', 'viewer', 'desk', 'admin'] as const) {
        const isAllowed =
          !wanted || roles.options.indexOf(role) >= roles.options.indexOf(wanted as AccountRole);
        expect(await knock(system.tokenOf(role)), `${role}: ${what}`).toBe(
          isAllowed ? null : '/problems/forbidden',
        );
      }
      for (const [of, key] of keys) {
        const isAllowed = !wanted || scope === of;
        expect(await knock(key), `${of}: ${what}`).toBe(isAllowed ? null : '/problems/forbidden');
      }
      checked += 1;
    }
  }
  expect(checked).toBeGreaterThan(50);
});

test('a role that was taken away ends tokens, sessions and sockets on every instance', async () => {
  const desk = await employ('desk');
  for (const n of [0, 1]) expect(await opens(desk.token, '/api/admin/orders', here(n))).toBe(200);
  const socket = io(here(1), { transports: ['websocket'], auth: { token: desk.token }, reconnection: false });
  await new Promise((resolve) => socket.once('connect', () => resolve(null)));
  const closed = new Promise((resolve) => socket.once('disconnect', () => resolve(null)));

  const path = `/api/admin/staff/${desk.user.id}`;
  const changed = await system.api('PATCH', path, { ...asAdmin(), body: { role: 'viewer' }, at: here(0) });
  expect(changed.body).toMatchObject({ email: desk.email, role: 'viewer' });
  await closed;
  expect(await opens(desk.token, '/api/admin/orders', here(0))).toBe(401);
  await waitUntil(async () => (await opens(desk.token, '/api/orders', here(1))) === 401, {
    deadlineMs: 3_000,
    what: 'the other instance still takes the token',
  });

  const { email, password } = desk;
  const { body: again } = await system.api<Session>('POST', '/api/sessions', { body: { email, password } });
  expect(again.user.role).toBe('viewer');
  expect(await opens(again.token, '/api/admin/orders')).toBe(403);
  expect(await opens(again.token)).toBe(200);

  expect((await system.api('DELETE', path, asAdmin())).status).toBe(204);
  expect((await system.api('DELETE', path, asAdmin())).status).toBe(404);
  const { body: buyer } = await system.api<Session>('POST', '/api/sessions', { body: { email, password } });
  expect(buyer.user.role).toBe('buyer');
  const { body: log } = await system.api('GET', `/api/admin/staff-log?subject=${desk.user.id}`, asAdmin());
  expect(
    log.entries.map(({ action, before, after }: Record<string, unknown>) => [action, before, after]),
  ).toEqual([
    ['staff.removed', { role: 'viewer' }, { role: 'buyer' }],
    ['staff.role_changed', { role: 'desk' }, { role: 'viewer' }],
  ]);
});

test('a token that was issued while its role was taken away does not have the role', async () => {
  const admin = await employ('admin');
  await system.store.collections.users.updateOne({ _id: admin.user.id }, { $set: { role: 'buyer' } });
  for (const n of [0, 1]) expect(await opens(admin.token, '/api/admin/overview', here(n))).toBe(403);
  expect(await opens(admin.token, '/api/orders')).toBe(200);
});

test('of two last admins who remove each other at once, one stays', async () => {
  const { users } = system.store.collections;
  await users.updateMany({ role: 'admin' }, { $set: { role: 'buyer' } });
  const admins = [await employ('admin'), await employ('admin')] as const;
  const answers = await Promise.all(
    admins.map((_, n) =>
      system.api('DELETE', `/api/admin/staff/${admins[1 - n]?.user.id}`, {
        token: admins[n]?.token,
        at: here(n),
      }),
    ),
  );
  expect(answers.filter(({ status }) => status === 204)).toHaveLength(1);
  expect(await users.countDocuments({ role: 'admin' })).toBe(1);

  const [last] = await users.find({ role: 'admin' }).toArray();
  const { email, password } = admins.find(({ user }) => user.id === last?._id) ?? admins[0];
  const { body } = await system.api<Session>('POST', '/api/sessions', { body: { email, password } });
  const refused = [
    await system.api('PATCH', `/api/admin/staff/${last?._id}`, { token: body.token, body: { role: 'desk' } }),
    await system.api('DELETE', `/api/admin/staff/${last?._id}`, asAdmin()),
    await system.api('DELETE', '/api/account', { token: body.token }),
  ];
  for (const { status, body } of refused) expect([status, body.type]).toEqual([409, '/problems/last-admin']);
  expect(await opens(body.token)).toBe(200);
});

describe('an invitation', () => {
  const inviteAs = async (email: string, role: string): Promise<string> =>
    (await system.api('POST', '/api/admin/staff-invitations', { ...asAdmin(), body: { email, role } })).body
      .token;
  const accept = (body: object) => system.api('POST', '/api/staff-invitations/acceptance', { body });
  const list = async () =>
    (
      await system.api<{ staff: StaffMember[]; invitations: StaffInvitation[] }>(
        'GET',
        '/api/admin/staff',
        asAdmin(),
      )
    ).body;

  test('makes a new account with the role, once', async () => {
    const email = `${nanoid().toLowerCase()}@example.com`;
    const outdated = await inviteAs(email, 'admin');
    const token = await inviteAs(email, 'desk');
    expect((await accept({ token: outdated, password: 'a good password' })).status).toBe(410);
    expect((await list()).invitations).toMatchObject([{ email, role: 'desk' }]);
    const read = await system.api('POST', '/api/staff-invitations', { body: { token } });
    expect(read.body).toEqual({ email, role: 'desk', hasAccount: false });

    expect((await accept({ token, password: 'short' })).body.errors?.[0]).toMatchObject({
      field: 'password',
    });
    const answers = await Promise.all(
      Array.from({ length: 4 }, () => accept({ token, password: 'a good password', name: 'Dee' })),
    );
    const [joined, ...others] = answers.sort((one, other) => one.status - other.status);
    expect(joined?.body.user).toMatchObject({ email, role: 'desk', name: 'Dee' });
    for (const { status } of others) expect([403, 410]).toContain(status);
    expect(await opens(joined?.body.token ?? '', '/api/admin/orders')).toBe(200);
    const { invitations, staff } = await list();
    expect([invitations, staff.find((member) => member.email === email)?.role]).toEqual([[], 'desk']);
  });

  test('gives an existing account the role, with its password only', async () => {
    const { email, password, user } = await system.signUp();
    const token = await inviteAs(email, 'viewer');
    expect((await accept({ token, password: 'another password' })).status).toBe(403);
    const joined = await accept({ token, password });
    expect(joined.body.user).toMatchObject({ id: user.id, role: 'viewer' });
    expect((await accept({ token, password })).status).toBe(410);
  });

  test('ends the tokens of the role before, leaves an admin, and verifies an address only where it was mailed', async () => {
    const { collections, config } = system.store;
    await collections.users.updateMany({ role: 'admin' }, { $set: { role: 'buyer' } });
    const { email, password, token: before, user } = await employ('admin');
    const token = await inviteAs(email, 'viewer');
    const refused = await accept({ token, password });
    expect([refused.status, refused.body.type]).toEqual([409, '/problems/last-admin']);
    expect(await opens(before)).toBe(200);
    await employ('admin');
    const joined = await accept({ token, password });
    expect(joined.body.user).toMatchObject({ id: user.id, role: 'viewer', emailVerified: false });
    await expect
      .poll(() => Promise.all([0, 1].map((n) => opens(before, '/api/orders', here(n)))))
      .toEqual([401, 401]);
    expect(await opens(joined.body.token)).toBe(200);

    // This shop mails nothing now, but the link may have been mailed before.
    const secretsOf = openTokenSecrets(config.JWT_SECRET);
    const mailed = { purpose: 'join-staff', subject: `desk ${email}`, seconds: 60, isMailed: true } as const;
    const id = await transact(
      collections.connection,
      (session) => issueToken(collections, mailed, secretsOf, session),
      { patienceMs: 2_000 },
    );
    const again = await accept({ token: await textOfToken(collections, id, secretsOf), password });
    expect(again.body.user).toMatchObject({ role: 'desk', emailVerified: true });
  });

  test('is withdrawn, and refused where it is malformed', async () => {
    const token = await inviteAs(`${nanoid().toLowerCase()}@example.com`, 'viewer');
    const [invitation] = (await list()).invitations;
    const path = `/api/admin/staff-invitations/${invitation?.id}`;
    expect((await system.api('DELETE', path, asAdmin())).status).toBe(204);
    expect((await system.api('DELETE', path, asAdmin())).status).toBe(404);
    expect((await accept({ token, password: 'a good password' })).status).toBe(410);
    for (const [field, wrong] of Object.entries({
      email: { email: 'x' },
      role: { role: 'owner' },
      more: { more: 1 },
    })) {
      const body = { email: 'ann@example.com', role: 'desk', ...wrong };
      const answer = await system.api('POST', '/api/admin/staff-invitations', { ...asAdmin(), body });
      expect([answer.status, answer.body.errors[0].field]).toEqual([400, field]);
    }
    expect((await accept({ token: 'nonsense', password: 'x' })).body.errors?.[0]?.field).toBe('token');
  });
});

describe('an API key', () => {
  test('is shown once, stored as a hash, and says when it was used last', async () => {
    const made = await makeKey(['orders:read', 'orders:read'], 'The till');
    expect(made.key).toMatch(/^sk_[\w-]{43}$/);
    expect(made).toMatchObject({ name: 'The till', scopes: ['orders:read'], lastUsedAt: null });
    const record = await system.store.collections.apiKeys.findOne({ _id: made.id });
    expect(JSON.stringify(record)).not.toContain(made.key);
    for (let n = 0; n < 3; n++) expect(await opens(made.key, '/api/admin/orders', here(n % 2))).toBe(200);
    const { body } = await system.api<{ apiKeys: ApiKey[] }>('GET', '/api/admin/api-keys', asAdmin());
    const listed = body.apiKeys.find(({ id }) => id === made.id);
    expect(listed?.prefix).toBe(made.key.slice(0, 9));
    expect(Date.now() - Date.parse(listed?.lastUsedAt ?? '')).toBeLessThan(60_000);
    expect(JSON.stringify(body)).not.toContain(made.key);
  });

  test('is refused by every instance once it was revoked', async () => {
    const { key, id } = await makeKey(['sales:read']);
    for (const n of [0, 1]) expect(await opens(key, '/api/admin/overview', here(n))).toBe(200);
    const path = `/api/admin/api-keys/${id}`;
    expect((await system.api('DELETE', path, { ...asAdmin(), at: here(0) })).status).toBe(204);
    for (const n of [0, 1]) expect(await opens(key, '/api/admin/overview', here(n))).toBe(401);
    expect((await system.api('DELETE', path, asAdmin())).status).toBe(404);
  });

  test('makes a sale, which the staff log says, and a retry makes no second one', async () => {
    const { key, id } = await makeKey(['sales:write'], 'The warehouse');
    const send = (path: string, body: object) =>
      system.api('POST', path, {
        token: key,
        body,
        headers: { 'Idempotency-Key': 'a-sale-of-the-warehouse' },
      });
    const product = await send('/api/products', { name: 'A lamp' });
    const sale = {
      ...{ productId: product.body.id, price: { amount: 100, currency: 'EUR' }, stock: 3 },
      ...{ opensAt: new Date(), closesAt: new Date(Date.now() + 3_600_000) },
    };
    const [made, again] = [await send('/api/sales', sale), await send('/api/sales', sale)];
    expect([made.status, again.body.id]).toEqual([201, made.body.id]);
    const { body } = await system.api('GET', `/api/admin/staff-log?subject=${made.body.id}`, asAdmin());
    expect(body.entries).toMatchObject([
      { action: 'sale.created', actor: { kind: 'api_key', id, name: 'The warehouse', role: null } },
    ]);
  });

  test('cannot connect a socket, and is no account', async () => {
    const { key } = await makeKey(['sales:read', 'sales:write', 'orders:read', 'orders:write']);
    const socket = io(here(0), { transports: ['websocket'], auth: { token: key }, reconnection: false });
    const error = await new Promise<Error>((resolve) => socket.once('connect_error', resolve));
    expect(error.message).toBe('unauthorized');
    for (const path of ['/api/orders', '/api/account/export', '/api/admin/staff', '/api/admin/api-keys'])
      expect(await opens(key, path), path).toBe(403);
  });

  test('has a name and scopes that exist', async () => {
    for (const [body, field] of [
      [{ name: '', scopes: ['sales:read'] }, 'name'],
      [{ name: 'A', scopes: [] }, 'scopes'],
      [{ name: 'A', scopes: ['everything'] }, 'scopes.0'],
      [{ name: 'A', scopes: ['sales:read'], key: 'mine' }, 'key'],
    ] as const) {
      const answer = await system.api('POST', '/api/admin/api-keys', { ...asAdmin(), body });
      expect([answer.status, answer.body.errors[0].field]).toEqual([400, field]);
    }
  });
});

test('the commands list, invite and change staff, and make and revoke keys', async () => {
  const ask = (file: string, ...args: string[]) =>
    run(process.execPath, ['--import', 'tsx', `commands/${file}.ts`, ...args], {
      cwd: ROOT,
      env: { ...process.env, ...system.env },
      deadlineMs: 30_000,
    });
  const email = `${nanoid().toLowerCase()}@example.com`;
  const [invited, made, wrong] = await Promise.all([
    ask('admin', 'invite', email, 'desk'),
    ask('api-keys', 'create', 'A till', 'sales:read'),
    ask('api-keys', 'create', 'A till', 'everything'),
  ]);
  expect(wrong.output).toContain('npm run api-keys');
  const { link } = JSON.parse(invited.stdout);
  const { key, id } = JSON.parse(made.stdout);
  const token = link.split('#join=')[1];
  const body = { token, password: 'a good password' };
  const { body: joined } = await system.api<Session>('POST', '/api/staff-invitations/acceptance', { body });
  expect(await opens(joined.token, '/api/admin/orders')).toBe(200);
  expect(await opens(key)).toBe(200);
  await Promise.all([ask('admin', 'role', email, 'viewer'), ask('api-keys', 'revoke', id)]);
  expect(await opens(key)).toBe(401);
  await waitUntil(async () => (await opens(joined.token, '/api/orders')) === 401, {
    deadlineMs: 5_000,
    what: 'the token is still taken',
  });
  expect((await ask('admin', 'list')).stdout).toContain(
    `"email":"${email}","name":"${email}","role":"viewer"`,
  );
});

test('a flood of wrong keys and a busy key are slowed down', async () => {
  const options = 'WRONG_API_KEYS_PER_ADDRESS_PER_MINUTE=3';
  const limited = await startSystem({
    ...{ servers: 1, workers: 0, nginx: false },
    env: { LIMIT_FACTOR: '1', REQUESTS_PER_API_KEY_PER_MINUTE: '5', TEST_OPTIONS: options },
  });
  try {
    const body = { name: 'A till', scopes: ['sales:read'] };
    const { body: made } = await limited.api('POST', '/api/admin/api-keys', {
      token: limited.adminToken,
      body,
    });
    const ask = async (token: string) => await limited.api('GET', '/api/admin/products', { token });
    const answers = [];
    for (let n = 0; n < 6; n++) answers.push(await ask(made.key));
    expect(answers.map(({ status }) => status)).toEqual([200, 200, 200, 200, 200, 429]);
    expect(answers.at(-1)?.headers.get('retry-after')).toMatch(/^\d+$/);
    const { body: second } = await limited.api('POST', '/api/admin/api-keys', {
      token: limited.adminToken,
      body,
    });
    expect((await ask(second.key)).status).toBe(200);
    const wrong = [];
    for (let n = 0; n < 4; n++) wrong.push((await ask('sk_'.padEnd(46, String(n)))).status);
    expect(wrong).toEqual([401, 401, 401, 429]);
    // A key that was right before still is, from the same address.
    expect((await ask(second.key)).status).toBe(200);
  } finally {
    await limited.close();
  }
});
