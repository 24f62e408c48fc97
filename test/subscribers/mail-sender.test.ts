import { once } from 'node:events';
import { SMTPServer } from 'smtp-server';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { UnsentMail } from '../../insight/contract.ts';
import { freePort } from '../../ops/local/processes/port.mjs';
import { waitUntil } from '../../ops/local/processes/process.mjs';
import { waitAfter } from '../../subscribers/mail/sender.ts';
import { startSystem, type TestSystem } from '../support/harness.ts';

/** How the mail server treats a buyer's mail: an SMTP code at a command, no answer, or a closed connection. */
type Manner = { at: 'MAIL' | 'RCPT' | 'DATA'; code?: number } & { hangs?: boolean; closes?: boolean };

const manners = new Map<string, Manner>();
/** Message ids of transmitted and of accepted mails, by address. */
const transmitted = new Map<string, string[]>();
const taken = new Map<string, string[]>();
const note = (lists: Map<string, string[]>, key: string, value: string) =>
  lists.set(key, [...(lists.get(key) ?? []), value]);

let port: number;
let server: SMTPServer;
let system: TestSystem;
/** At MAIL the server does not know the recipient yet. */
let mailManner: Manner | null = null;
const soon = { deadlineMs: 30_000 };

function act({ code, hangs, closes }: Manner, session: { id: string }, done: (error?: Error) => void): void {
  if (hangs) return;
  if (closes) {
    for (const connection of server.connections as Set<{ id: string; close: () => void }>) {
      if (connection.id === session.id) connection.close();
    }
    return;
  }
  done(Object.assign(new Error('not now'), { responseCode: code }));
}

async function openMailServer(): Promise<void> {
  server = new SMTPServer({
    closeTimeout: 100,
    authOptional: true,
    disabledCommands: ['STARTTLS'],
    onMailFrom(_address, session, done) {
      if (mailManner) act(mailManner, session, done);
      else done();
    },
    onRcptTo({ address }, session, done) {
      const manner = manners.get(address);
      if (manner?.at === 'RCPT') act(manner, session, done);
      else done();
    },
    async onData(stream, session, done) {
      const chunks: Buffer[] = [];
      for await (const chunk of stream) chunks.push(chunk);
      const to = session.envelope.rcptTo[0]?.address ?? '';
      const id = /^Message-ID: (\S+)/im.exec(Buffer.concat(chunks).toString())?.[1] ?? '';
      note(transmitted, to, id);
      const manner = manners.get(to);
      if (manner?.at === 'DATA') return act(manner, session, done);
      note(taken, to, id);
      done();
    },
  });
  server.on('error', () => {});
  server.listen(port, '127.0.0.1');
  await once(server.server, 'listening');
}

beforeAll(async () => {
  port = await freePort();
  await openMailServer();
  // Only the workers know the mail server, so that a sign-up mails nothing, and each buyer gets one mail.
  system = await startSystem({ servers: 1, workers: 0, nginx: false });
  await startWorker();
});
afterAll(async () => {
  await system.close();
  await new Promise<void>((resolve) => void server.close(resolve));
});

function startWorker() {
  return system.startWorker({
    SUBSCRIBERS: 'notifications',
    SMTP_URL: `smtp://127.0.0.1:${port}`,
    SMTP_TIMEOUT_MS: '1000',
    MAIL_RETRY_FIRST_MS: '20',
    JOB_LOCK_MS: '1500',
  });
}

/** Creates a buyer with an order, whose mail the server treats in this manner. */
async function buyer(manner?: Manner): Promise<{ email: string; orderId: string }> {
  const { token, email } = await system.signUp();
  if (manner) manners.set(email, manner);
  const sale = await system.createSale();
  const { body } = await system.buy(sale.id, token);
  await system.settled(body.orderId, token);
  return { email, orderId: body.orderId };
}

const has = (lists: Map<string, string[]>, { email }: { email: string }, count = 1) =>
  waitUntil(() => (lists.get(email)?.length ?? 0) >= count, { ...soon, what: `${count} mails to ${email}` });

async function list(state: UnsentMail['state']) {
  const { status, body } = await system.api('GET', `/api/admin/mails?state=${state}&limit=100`, {
    token: system.adminToken,
  });
  expect(status).toBe(200);
  return body as { mails: UnsentMail[]; more: boolean; counts: Record<string, number> };
}
const listed = (state: UnsentMail['state'], orderId: string, fits = (_mail: UnsentMail) => true) =>
  waitUntil(async () => (await list(state)).mails.find((mail) => mail.orderId === orderId && fits(mail)), {
    ...soon,
    what: `order ${orderId} has a mail that is ${state}`,
  });

test.each([
  { at: 'RCPT', code: 421 },
  { at: 'RCPT', code: 450 },
  { at: 'RCPT', closes: true },
  { at: 'DATA', code: 452 },
] as Manner[])(
  'a temporarily refused mail, %o, is retried with backoff while others are sent',
  async (manner) => {
    const refused = await buyer(manner);
    await listed('waiting', refused.orderId, ({ attempts }) => attempts >= 3);
    const others = await Promise.all([buyer(), buyer()]);
    for (const other of others) await has(taken, other);
    manners.delete(refused.email);
    await has(taken, refused);
    expect(taken.get(refused.email)).toHaveLength(1);
  },
);

test('a temporarily refused sender is retried as well', async () => {
  mailManner = { at: 'MAIL', code: 452 };
  const refused = await buyer();
  expect(await listed('waiting', refused.orderId, ({ attempts }) => attempts >= 2)).toMatchObject({
    answer: '452 at MAIL FROM',
  });
  mailManner = null;
  await has(taken, refused);
});

test('a permanently refused mail is kept, and sent when an admin retries it', async () => {
  const refused = await buyer({ at: 'RCPT', code: 550 });
  const mail = await listed('failed', refused.orderId);
  expect(mail).toMatchObject({ attempts: 1, answer: '550 at RCPT TO' });
  manners.delete(refused.email);
  const resend = `/api/admin/mails/${mail.eventId}/resend`;
  expect((await system.api('POST', resend, { token: system.adminToken })).status).toBe(202);
  await has(taken, refused);
  expect((await system.api('POST', resend, { token: system.adminToken })).status).toBe(404);
  expect(
    (await system.api('POST', '/api/admin/mails/nonsense/resend', { token: system.adminToken })).status,
  ).toBe(400);
  expect((await system.api('GET', '/api/admin/mails', { token: system.buyerToken() })).status).toBe(403);
});

test.each([{ hangs: true }, { closes: true }])(
  'a transmitted mail without an answer, %o, is sent once more and then held',
  async (silence) => {
    const mute = await buyer({ at: 'DATA', ...silence });
    const other = await buyer();
    await has(taken, other);
    const { answer, attempts } = await listed('unsure', mute.orderId);
    expect({ answer, attempts }).toEqual({
      answer: expect.stringMatching(/^transmitted, then E(TIMEDOUT|CONNECTION)$/),
      attempts: 2,
    });
    const ids = transmitted.get(mute.email) ?? [];
    expect(ids).toHaveLength(2);
    expect(new Set(ids).size).toBe(1);
    const { body } = await system.api<string>('GET', '/metrics', { at: system.workers[0]?.url ?? '' });
    expect(body).toMatch(/stampede_unsent_mails\{state="unsure"\} [1-9]/);
  },
);

test('five recipients whose server hangs delay the others by one timeout at most', async () => {
  const mutes = await Promise.all(Array.from({ length: 5 }, () => buyer({ at: 'RCPT', hangs: true })));
  const others = await Promise.all(Array.from({ length: 10 }, () => buyer()));
  for (const other of others) await has(taken, other);
  for (const { email } of mutes) manners.delete(email);
  for (const mute of mutes) await has(taken, mute);
});

test('a truncated list has a cursor', async () => {
  const { mails } = system.store.collections;
  const event = { type: 'order.paid', subject: 'an-order' } as never;
  const failed = { state: 'failed' as const, event, attempts: 1, dueAt: new Date(), createdAt: new Date() };
  await mails.insertMany([
    { _id: 'a:1:0', ...failed },
    { _id: 'a:1:1', ...failed },
  ]);
  const { body } = await system.api('GET', '/api/admin/mails?limit=1', { token: system.adminToken });
  expect(body).toMatchObject({ more: true, mails: [{}] });
  await mails.deleteMany({ _id: { $in: ['a:1:0', 'a:1:1'] } });
});

test('another worker sends the mail of a killed one', async () => {
  const mute = await buyer({ at: 'RCPT', hangs: true });
  await listed('waiting', mute.orderId);
  const [worker] = system.workers;
  process.kill(worker?.pid ?? 0, 'SIGKILL');
  await worker?.ended;
  manners.delete(mute.email);
  await startWorker();
  await has(taken, mute);
  expect(taken.get(mute.email)).toHaveLength(1);
});

test('retry delays grow to an hour, and end after a day', () => {
  const waits = Array.from({ length: 50 }, (_, n) => waitAfter(n + 1, 5_000));
  const given = waits.filter((wait) => wait !== null);
  expect(given.slice(0, 4)).toEqual([5_000, 10_000, 20_000, 40_000]);
  expect(Math.max(...given)).toBe(3_600_000);
  const sumMs = given.reduce((sum, wait) => sum + wait, 0);
  expect(sumMs / 3_600_000).toBeGreaterThanOrEqual(24);
  expect(sumMs / 3_600_000).toBeLessThan(26);
  expect(waits.indexOf(null)).toBe(given.length);
});
