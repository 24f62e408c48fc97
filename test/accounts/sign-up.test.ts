import { createHmac } from 'node:crypto';
import jwt, { type SignOptions } from 'jsonwebtoken';
import { nanoid } from 'nanoid';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startSystem, type TestSystem } from '../support/harness.ts';

let system: TestSystem;
beforeAll(async () => {
  system = await startSystem({ servers: 1, workers: 0, nginx: false });
});
afterAll(() => system.close());

const post = (path: string, body: unknown) => system.api('POST', path, { body });
const newAccount = () => ({ email: `${nanoid()}@example.com`, password: 'correct horse', name: 'Ann' });
const ordersWith = (token: string) => system.api('GET', '/api/orders', { token });

describe('signing up and in', () => {
  test('signing up creates an account whose token is accepted', async () => {
    const account = newAccount();
    const { status, body } = await post('/api/users', account);
    expect(status).toBe(201);
    expect(body).toEqual({
      user: {
        id: expect.any(String),
        email: account.email.toLowerCase(),
        name: 'Ann',
        role: 'buyer',
        emailVerified: false,
      },
      token: expect.any(String),
    });
    expect((await ordersWith(body.token)).status).toBe(200);
  });

  test('signing in gives the same user, however the address is written', async () => {
    const account = newAccount();
    const { body: signedUp } = await post('/api/users', account);
    const { status, body } = await post('/api/sessions', {
      email: account.email.toUpperCase(),
      password: account.password,
    });
    expect(status).toBe(201);
    expect(body.user).toEqual(signedUp.user);
    expect((await ordersWith(body.token)).status).toBe(200);
  });

  test('a second sign-up with a taken address is refused, also in another letter case', async () => {
    const account = newAccount();
    await post('/api/users', account);
    for (const email of [account.email, account.email.toUpperCase()]) {
      const { status, body } = await post('/api/users', { ...account, email, password: 'another one' });
      expect([status, body.type]).toEqual([409, '/problems/email-taken']);
    }
    expect((await post('/api/sessions', { email: account.email, password: 'another one' })).status).toBe(401);
  });

  test('one of twenty sign-ups with one address at once succeeds', async () => {
    const account = newAccount();
    const answers = await Promise.all(Array.from({ length: 20 }, () => post('/api/users', account)));
    const statuses = answers.map(({ status }) => status).sort();
    expect(statuses).toEqual([201, ...Array(19).fill(409)]);
  });

  test('a wrong password and an unknown account get the same answer', async () => {
    const account = newAccount();
    await post('/api/users', account);
    const wrong = await post('/api/sessions', { email: account.email, password: 'wrong horse' });
    const unknown = await post('/api/sessions', { email: newAccount().email, password: 'wrong horse' });
    expect(wrong.status).toBe(401);
    expect(wrong.body.type).toBe('/problems/unauthorized');
    expect([unknown.status, unknown.body]).toEqual([wrong.status, wrong.body]);
    const names = (headers: Headers) => [...headers.keys()].sort();
    expect(names(unknown.headers)).toEqual(names(wrong.headers));
    expect(wrong.headers.get('www-authenticate')).toBe('Bearer');
  });

  test.each([
    ['7 characters', '1234567'],
    ['73 bytes', 'x'.repeat(73)],
    ['40 characters of 2 bytes', 'ä'.repeat(40)],
    ['nothing', ''],
    ['a query object', { $ne: null }],
  ])('a password of %s is refused at the door', async (_what, password) => {
    const { status, body } = await post('/api/users', { ...newAccount(), password });
    expect(status).toBe(400);
    expect(body.errors.map(({ field }: { field: string }) => field)).toEqual(['password']);
  });

  test.each([
    ['8 characters', '12345678'],
    ['72 bytes', 'x'.repeat(72)],
    ['36 characters of 2 bytes', 'ä'.repeat(36)],
  ])('a password of %s is taken, and every byte of it counts', async (_what, password) => {
    const account = { ...newAccount(), password };
    expect((await post('/api/users', account)).status).toBe(201);
    const signIn = (tried: string) => post('/api/sessions', { email: account.email, password: tried });
    expect((await signIn(password)).status).toBe(201);
    expect((await signIn(password.slice(0, -1))).status).toBe(401);
    expect((await signIn(`${password}!`)).status).toBe(401);
  });

  test('an address that is a query object matches no account', async () => {
    await post('/api/users', newAccount());
    for (const email of [{ $ne: null }, { $gt: '' }, { $regex: '.*' }, ['a@example.com'], null, 1]) {
      for (const path of ['/api/users', '/api/sessions']) {
        const { status, body } = await post(path, { ...newAccount(), email });
        expect(status).toBe(400);
        expect(body.detail).toContain('email');
      }
    }
  });

  test.each(['role', 'id', '_id', 'passwordHash'])(
    'nobody signs up with a %s of their own',
    async (field) => {
      const account = newAccount();
      const { status, body } = await post('/api/users', { ...account, [field]: 'admin' });
      expect(status).toBe(400);
      expect(body.errors).toEqual([{ field, message: 'not expected here' }]);
      const { email, password } = account;
      expect((await post('/api/sessions', { email, password })).status).toBe(401);
    },
  );
});

describe('tokens', () => {
  const secret = () => system.env.JWT_SECRET ?? '';
  const sign = (claims: object, options: SignOptions = {}, key = secret()) =>
    jwt.sign({ role: 'buyer', ...claims }, key, {
      algorithm: 'HS256',
      issuer: 'stampede',
      audience: 'stampede',
      subject: 'somebody',
      ...('exp' in claims ? {} : { expiresIn: 60 }),
      ...options,
    });
  const now = () => Math.floor(Date.now() / 1_000);
  const encode = (part: object) => Buffer.from(JSON.stringify(part)).toString('base64url');

  test('a token made like a real one is accepted, so that each refusal below is for its one fault', async () => {
    expect((await ordersWith(sign({}))).status).toBe(200);
  });

  const own = { iss: 'stampede', aud: 'stampede', sub: 'somebody', role: 'buyer' };
  const faults: [string, () => string][] = [
    ['no algorithm', () => `${encode({ alg: 'none' })}.${encode({ ...own, exp: now() + 60 })}.`],
    ['HS512', () => sign({}, { algorithm: 'HS512' })],
    ['another secret', () => sign({}, {}, 'x'.repeat(32))],
    ['no exp', () => jwt.sign(own, secret(), { algorithm: 'HS256' })],
    ['an exp that is past', () => sign({ exp: now() - 1 })],
    ['another issuer', () => sign({}, { issuer: 'elsewhere' })],
    ['another audience', () => sign({}, { audience: 'elsewhere' })],
    ['no subject', () => jwt.sign({ ...own, sub: undefined, exp: now() + 60 }, secret())],
    ['a role we do not know', () => sign({ role: 'root' })],
    ['no role', () => jwt.sign({ ...own, role: undefined, exp: now() + 60 }, secret())],
    [
      'a changed payload',
      () => sign({}).replace(/\.[^.]+\./, `.${encode({ ...own, role: 'admin', exp: now() + 60 })}.`),
    ],
    [
      'a signature over an empty key',
      () => {
        const text = `${encode({ alg: 'HS256' })}.${encode({ ...own, exp: now() + 60 })}`;
        return `${text}.${createHmac('sha256', '').update(text).digest('base64url')}`;
      },
    ],
    ['nothing of a token', () => 'garbage'],
    ['10,000 characters', () => 'x'.repeat(10_000)],
    ['a visitor’s role', () => sign({ role: 'visitor' })],
  ];
  test.each(faults)('a token with %s is answered 401', async (_what, make) => {
    const { status, headers, body } = await ordersWith(make());
    expect(status).toBe(401);
    expect(headers.get('www-authenticate')).toBe('Bearer');
    expect(headers.get('content-type')).toMatch(/^application\/problem\+json/);
    expect(body).toMatchObject({ type: '/problems/unauthorized', status: 401 });
  });

  test.each(['', 'Bearer', 'Bearer ', 'Basic YTpi', 'Bearer a b', 'bearer'])(
    'an Authorization header of "%s" is answered 401',
    async (authorization) => {
      const { status } = await system.api('GET', '/api/orders', {
        headers: { Authorization: authorization },
      });
      expect(status).toBe(401);
    },
  );

  test('a visitor may only watch', async () => {
    const { status, body } = await system.api('POST', '/api/visitors');
    expect(status).toBe(201);
    expect((await ordersWith(body.token)).status).toBe(401);
    const sale = await system.createSale();
    expect((await system.buy(sale.id, body.token)).status).toBe(401);
  });

  test('a buyer gets 403 on admin routes', async () => {
    const { token } = await system.signUp();
    const { status, body } = await system.api('GET', '/api/admin/overview', { token });
    expect([status, body.type]).toEqual([403, '/problems/forbidden']);
  });
});
