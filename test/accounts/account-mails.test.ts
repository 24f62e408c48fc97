import { nanoid } from 'nanoid';
import { io } from 'socket.io-client';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Session, SessionList } from '../../sale/contract.ts';
import { startSystem, type TestSystem } from '../support/harness.ts';
import { type MailCatcher, openMailCatcher } from '../support/mail-catcher.ts';

let mailbox: MailCatcher;
let system: TestSystem;
beforeAll(async () => {
  mailbox = await openMailCatcher();
  system = await startSystem({
    servers: 2,
    nginx: false,
    env: {
      SMTP_URL: mailbox.url,
      SHOP_NAME: 'Lamps & Co',
      PUBLIC_URL: 'https://shop.example.com/',
      LIMIT_FACTOR: '1',
    },
  });
});
afterAll(async () => {
  await system.close();
  await mailbox.close();
});

const json = { 'Content-Type': 'application/json' };
const cookieOf = (headers: Headers) => headers.get('set-cookie')?.split(';')[0] ?? '';
const post = (path: string, body: unknown, token?: string) => system.api('POST', path, { body, token });
const renew = (cookie: string) =>
  system.api<Session>('POST', '/api/sessions/renewal', { body: {}, headers: { ...json, cookie } });
const opens = async (token: string, at = system.url) =>
  (await system.api('GET', '/api/orders', { token, at })).status === 200;
const claimsOf = (token: string) =>
  JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString());

async function signUp(more: { language?: string; name?: string } = {}) {
  const account = { email: `${nanoid().toLowerCase()}@example.com`, password: 'correct horse', name: 'Ann' };
  const answer = await system.api<Session>('POST', '/api/users', { body: { ...account, ...more } });
  expect(answer.status).toBe(201);
  return { ...answer.body, ...account, cookie: cookieOf(answer.headers) };
}
const signIn = (email: string, password: string) =>
  system.api<Session>('POST', '/api/sessions', { body: { email, password } });

/** The token in the link of a mail. */
async function tokenTo(email: string, subject: string, nth = 1): Promise<string> {
  const mail = await mailbox.mailTo(email, subject, nth);
  const link = /https:\/\/shop\.example\.com\/account#(?:verify|reset)=([\w.-]+)/.exec(mail.text ?? '');
  return link?.[1] ?? '';
}
const verificationTo = (email: string, nth?: number) => tokenTo(email, 'Confirm your address', nth);
const resetTo = (email: string, nth?: number) => tokenTo(email, 'A new password', nth);

test('a new account gets one mail, whose link verifies the address once; the next access token says so', async () => {
  const { email, user, token, cookie } = await signUp({ name: 'You won http://evil.example' });
  expect(user.emailVerified).toBe(false);
  expect(claimsOf(token).email_verified).toBeUndefined();
  const link = await verificationTo(email);
  expect((await post('/api/email-verifications', { token: link })).status).toBe(204);
  const again = await post('/api/email-verifications', { token: link });
  expect([again.status, again.body.type]).toEqual([410, '/problems/link-expired']);

  const renewed = await renew(cookie);
  expect(renewed.body.user.emailVerified).toBe(true);
  expect(claimsOf(renewed.body.token).email_verified).toBe(true);
  const more = await post('/api/account/email-verification', undefined, renewed.body.token);
  expect([more.status, more.body.type]).toEqual([409, '/problems/email-verified']);
  const mails = mailbox.posts.filter(({ to }) => to === email);
  expect(mails).toHaveLength(1);
  expect(mails[0]?.mail.subject).toBe('Confirm your address for Lamps & Co');
  expect(JSON.stringify(mails)).not.toContain('evil');
});

test('mails are in the language of the account', async () => {
  const { email } = await signUp({ language: 'de' });
  const mail = await mailbox.mailTo(email, 'Bestätige deine Adresse für Lamps & Co');
  expect(mail.html).toContain('<html lang="de">');
});

test('another verification mail makes the link before it invalid, and there are few of them', async () => {
  const { email, token } = await signUp();
  const first = await verificationTo(email);
  const ask = () => post('/api/account/email-verification', undefined, token);
  expect((await ask()).status).toBe(202);
  const second = await verificationTo(email, 2);
  expect((await post('/api/email-verifications', { token: first })).status).toBe(410);
  expect((await post('/api/email-verifications', { token: second })).status).toBe(204);
  const statuses = [];
  for (let n = 0; n < 5; n++) statuses.push((await ask()).status);
  expect(statuses).toEqual([409, 409, 409, 429, 429]);

  // Another account with the address is made, but mails it nothing.
  expect((await system.api('DELETE', '/api/account', { token })).status).toBe(204);
  const account = { email: email.toUpperCase(), password: 'correct horse', name: 'Ann' };
  const again = await post('/api/users', account);
  expect(again.status).toBe(201);
  const { mails } = system.store.collections;
  expect(await mails.countDocuments({ 'account.to.userId': again.body.user.id })).toBe(0);
});

test('a link is stored as a hash, and works neither for another purpose, nor expired, nor altered', async () => {
  const { email, user } = await signUp();
  const link = await verificationTo(email);
  const [id = '', secret = ''] = link.split('.');
  const { oneTimeTokens } = system.store.collections;
  const record = await oneTimeTokens.findOne({ _id: id });
  expect(record).toMatchObject({ purpose: 'verify-email', subject: user.id });
  expect(JSON.stringify(record)).not.toContain(secret);
  expect(JSON.stringify(await system.store.collections.mails.find({}).toArray())).not.toContain(secret);
  const altered = `${id}.${secret.startsWith('A') ? 'B' : 'A'}${secret.slice(1)}`;
  expect((await post('/api/email-verifications', { token: altered })).status).toBe(410);
  expect((await post('/api/passwords', { token: link, password: 'another horse' })).status).toBe(410);
  await oneTimeTokens.updateOne({ _id: id }, { $set: { expiresAt: new Date() } });
  expect((await post('/api/email-verifications', { token: link })).status).toBe(410);
  expect((await post('/api/email-verifications', { token: 'nonsense' })).status).toBe(400);
  const indexes = await oneTimeTokens.indexes();
  expect(indexes).toContainEqual(expect.objectContaining({ key: { expiresAt: 1 }, expireAfterSeconds: 0 }));
});

test('one of twenty redemptions of a link at once succeeds', async () => {
  const { email } = await signUp();
  const token = await verificationTo(email);
  const answers = await Promise.all(
    Array.from({ length: 20 }, () => post('/api/email-verifications', { token })),
  );
  expect(answers.map(({ status }) => status).sort()).toEqual([204, ...Array(19).fill(410)]);
});

test('a forgotten password is replaced once; all sessions, tokens and sockets end on every instance', async () => {
  const { email, password, token, cookie } = await signUp();
  const socket = io(system.servers[1]?.url ?? '', { auth: { token }, transports: ['websocket'] });
  await new Promise<void>((resolve) => socket.once('connect', resolve));
  const cutOff = new Promise<string>((resolve) => socket.once('disconnect', resolve));

  expect((await post('/api/password-resets', { email: email.toUpperCase() })).status).toBe(202);
  const link = await resetTo(email);
  const short = await post('/api/passwords', { token: link, password: 'short' });
  expect([short.status, short.body.errors[0].field]).toEqual([400, 'password']);
  const reset = await system.api<Session>('POST', '/api/passwords', {
    body: { token: link, password: 'another horse' },
  });
  expect(reset.status).toBe(201);
  // The link came by mail.
  expect(reset.body.user.emailVerified).toBe(true);
  expect((await renew(cookie)).status).toBe(401);
  expect(await cutOff).toBe('io server disconnect');
  socket.close();
  await expect.poll(() => opens(token, system.servers[1]?.url)).toBe(false);
  expect(await opens(token)).toBe(false);
  for (const { url } of system.servers) expect(await opens(reset.body.token, url)).toBe(true);
  expect((await renew(cookieOf(reset.headers))).status).toBe(200);
  expect((await signIn(email, password)).status).toBe(401);
  expect((await signIn(email, 'another horse')).status).toBe(201);
  expect((await post('/api/passwords', { token: link, password: 'a third horse' })).status).toBe(410);
  await mailbox.mailTo(email, 'Your password for Lamps & Co was changed');
});

test('an unknown address gets the same answer after the same work, no mail, and leaves no address behind', async () => {
  const { email } = await signUp();
  const unknown = `${nanoid().toLowerCase()}@example.com`;
  const { mails, oneTimeTokens } = system.store.collections;
  const written = async () => [await mails.countDocuments({}), await oneTimeTokens.countDocuments({})];
  const ask = async (address: string) => {
    const [mailsBefore = 0, tokensBefore = 0] = await written();
    const { status, body, headers } = await post('/api/password-resets', { email: address });
    const [mailsAfter = 0, tokensAfter = 0] = await written();
    return [
      status,
      body,
      headers.get('ratelimit')?.split(';')[1],
      mailsAfter - mailsBefore,
      tokensAfter - tokensBefore,
    ];
  };
  await verificationTo(email);
  expect(await ask(unknown)).toEqual(await ask(email));
  await resetTo(email);
  await expect.poll(() => mails.countDocuments({ state: 'skipped' })).toBe(1);
  expect(mailbox.posts.some(({ to }) => to === unknown)).toBe(false);
  expect(JSON.stringify(await mails.find({}).toArray())).not.toContain(unknown);
  // Five an hour, whether it is known or not.
  for (const address of [email, unknown]) {
    const statuses = [];
    for (let n = 0; n < 5; n++)
      statuses.push((await post('/api/password-resets', { email: address })).status);
    expect(statuses).toEqual([202, 202, 202, 202, 429]);
  }
});

test('a changed password needs the old one, ends every other session, and makes a mailed link invalid', async () => {
  const { email, password, token, cookie } = await signUp();
  const other = await signIn(email, password);
  await post('/api/password-resets', { email });
  const link = await resetTo(email);
  const change = (body: object, at?: string) => post('/api/account/password', body, at ?? token);

  const wrong = await change({ oldPassword: 'wrong horse', password: 'another horse' });
  expect([wrong.status, wrong.body.type]).toEqual([403, '/problems/wrong-password']);
  const changed = await change({ oldPassword: password, password: 'another horse' });
  expect([changed.status, changed.body.user.email]).toEqual([200, email]);
  expect(await opens(changed.body.token)).toBe(true);
  expect(await opens(token)).toBe(false);
  await expect.poll(() => opens(other.body.token, system.servers[1]?.url)).toBe(false);
  expect((await renew(cookieOf(other.headers))).status).toBe(401);
  expect((await renew(cookie)).status).toBe(200);
  expect((await post('/api/passwords', { token: link, password: 'a third horse' })).status).toBe(410);
  expect((await signIn(email, password)).status).toBe(401);
  await mailbox.mailTo(email, 'Your password for Lamps & Co was changed');

  const guess = async (n: number) =>
    (await change({ oldPassword: `guess ${n}`, password: 'a third horse' }, changed.body.token)).status;
  const guesses = [];
  for (let n = 0; n < 12; n++) guesses.push(await guess(n));
  expect([guesses[0], guesses.at(-1)]).toEqual([403, 429]);
});

test('sessions are listed, and one is ended with its access tokens on every instance', async () => {
  const { email, password, token, cookie } = await signUp();
  const other = await system.api<Session>('POST', '/api/sessions', {
    body: { email, password },
    headers: { 'User-Agent': 'Somebody’s telephone'.replace('’', "'") },
  });
  const list = async () => (await system.api<SessionList>('GET', '/api/account/sessions', { token })).body;
  const { sessions, more } = await list();
  expect(more).toBe(false);
  expect(sessions).toMatchObject([
    { userAgent: "Somebody's telephone", isCurrent: false, renewedAt: null },
    { isCurrent: true },
  ]);
  const path = `/api/account/sessions/${sessions[0]?.id}`;
  const stranger = await signUp();
  expect((await system.api('DELETE', path, { token: stranger.token })).status).toBe(404);
  expect((await system.api('DELETE', path, { token })).status).toBe(204);
  expect((await system.api('DELETE', path, { token })).status).toBe(404);
  await expect.poll(() => opens(other.body.token, system.servers[1]?.url)).toBe(false);
  expect(await opens(other.body.token)).toBe(false);
  expect((await renew(cookieOf(other.headers))).status).toBe(401);
  expect(await opens(token)).toBe(true);
  expect((await renew(cookie)).status).toBe(200);
  expect((await list()).sessions).toHaveLength(1);
});

test('a sale for verified addresses refuses others, also without a gate, until their token says so', async () => {
  const [product, buyer] = [
    await system.api('POST', '/api/products', { token: system.adminToken, body: { name: 'A lamp' } }),
    await signUp(),
  ];
  const sale = await system.api('POST', '/api/sales', {
    token: system.adminToken,
    body: {
      productId: product.body.id,
      price: { amount: 4_900, currency: 'EUR' },
      stock: 5,
      requiresVerifiedEmail: true,
      language: 'fr',
      opensAt: new Date(Date.now() - 60_000),
      closesAt: new Date(Date.now() + 60_000),
    },
  });
  expect([sale.status, sale.body.requiresVerifiedEmail]).toEqual([201, true]);
  const { id } = sale.body;
  const press = async (token: string, at = system.url) => {
    const { status, body } = await system.buy(id, token, { at });
    return [status, (body as unknown as { type?: string }).type];
  };
  const refused = [403, '/problems/email-not-verified'];
  for (const { url } of system.servers) expect(await press(buyer.token, url)).toEqual(refused);
  const { redis } = system.store;
  await redis.del(system.store.gate.keyOf(id));
  // Its answer is used for a second, and then the gate is made from the sale.
  await expect
    .poll(async () => [...(await press(buyer.token)), await redis.exists(system.store.gate.keyOf(id))], {
      timeout: 10_000,
    })
    .toEqual([...refused, 1]);

  await post('/api/email-verifications', { token: await verificationTo(buyer.email) });
  expect(await press(buyer.token)).toEqual(refused);
  const { body } = await renew(buyer.cookie);
  const bought = await system.buy(id, body.token);
  expect(bought.status).toBe(202);
  expect((await system.settled(bought.body.orderId, body.token)).status).toBe('paid');
  // The account has no language, so the sale's is taken.
  const mail = await mailbox.mailTo(buyer.email, 'C’est à vous : 1 × A lamp');
  expect(mail.text).toContain('pour 49,00\u00a0€');
  expect((await system.audit()).ok).toBe(true);
});

test('a deleted account gets no mail and its links do nothing', async () => {
  const { email, token, user } = await signUp();
  const link = await verificationTo(email);
  await post('/api/account/email-verification', undefined, token);
  expect((await system.api('DELETE', '/api/account', { token })).status).toBe(204);
  expect((await post('/api/email-verifications', { token: link })).status).toBe(410);
  expect(await system.store.collections.oneTimeTokens.countDocuments({ subject: user.id })).toBe(0);
});
