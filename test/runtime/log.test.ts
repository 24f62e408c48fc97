import { appendFileSync, readFileSync, writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { followLog, openPrettyLog } from '../../ops/local/log-lines.mjs';
import { waitUntil } from '../../ops/local/processes/process.mjs';
import { startSystem, type TestSystem } from '../support/harness.ts';

let system: TestSystem;
let dir: string;
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'stampede-log-'));
  system = await startSystem({
    env: { LOG_LEVEL: 'info', LOG_PURCHASES_PER_SECOND: '5', SETTLE_RUSH_INTERVAL_MS: '1000' },
  });
});
afterAll(async () => {
  await system.close();
  await rm(dir, { recursive: true });
});

interface Line {
  msg: string;
  orderId?: string;
  requestId?: string;
  leftOut?: number;
  [field: string]: unknown;
}

const textOf = (parts: { logFile: string }[]) =>
  parts.map(({ logFile }) => readFileSync(logFile, 'utf8')).join('');
const linesOf = (parts: { logFile: string }[], msg: string): Line[] =>
  textOf(parts)
    .split('\n')
    .flatMap((line) => (line.startsWith('{') ? [JSON.parse(line) as Line] : []))
    .filter((line) => line.msg.startsWith(msg));

test('a setting that is none any more is told when a process starts', () => {
  const warning = 'SETTLE_RUSH_INTERVAL_MS is not a setting any more';
  for (const part of [...system.servers, ...system.workers]) expect(linesOf([part], warning)).toHaveLength(1);
});

test('a purchase has one log line of the server and one of the worker, with the request id of its answer', async () => {
  const sale = await system.createSale();
  const { headers, body } = await system.buy(sale.id, system.buyerToken('a-buyer'));
  await system.settled(body.orderId, system.buyerToken('a-buyer'));
  const requestId = headers.get('x-request-id');
  expect(requestId).toMatch(/^[\da-f]{32}$/);
  const about = ({ orderId }: Line) => orderId === body.orderId;
  const found = await waitUntil(
    () => {
      const [accepted, settled] = [linesOf(system.servers, 'accepted'), linesOf(system.workers, 'settled')];
      return settled.some(about)
        ? { accepted: accepted.filter(about), settled: settled.filter(about) }
        : null;
    },
    { deadlineMs: 5_000, what: 'there are no lines' },
  );
  expect(found.accepted).toMatchObject([{ requestId, saleId: sale.id, buyerId: 'a-buyer', quantity: 1 }]);
  const traceparent = found.accepted[0]?.traceparent;
  expect(traceparent).toMatch(/^00-[\da-f]{32}-[\da-f]{16}-01$/);
  expect(found.settled).toMatchObject([{ saleId: sale.id, buyerId: 'a-buyer', status: 'paid', traceparent }]);
});

test('a server keeps a valid request id, and replaces an invalid one', async () => {
  const at = system.servers[0]?.url ?? '';
  const idFor = async (given?: string) => {
    const headers: Record<string, string> = given === undefined ? {} : { 'X-Request-Id': given };
    return (await system.api('GET', '/api/sales', { at, headers })).headers.get('x-request-id');
  };
  expect(await idFor('from-the-proxy-1')).toBe('from-the-proxy-1');
  for (const bad of ['short', 'x'.repeat(65), 'spaces are not welcome'])
    expect(await idFor(bad)).not.toBe(bad);
  expect(await idFor()).not.toBe(await idFor());
  // nginx always sets its own request id.
  const { headers } = await system.api('GET', '/api/sales', {
    headers: { 'X-Request-Id': 'from-a-browser' },
  });
  expect(headers.get('x-request-id')).toMatch(/^[\da-f]{32}$/);
});

test('under load a few lines a second are logged, with the count of those left out', async () => {
  const sale = await system.createSale({ stock: 500 });
  const load = Array.from({ length: 100 }, () => system.buy(sale.id, system.buyerToken()));
  expect((await Promise.all(load)).map(({ status }) => status)).toEqual(Array(100).fill(202));
  const about = ({ saleId }: Line) => saleId === sale.id;
  const leftOut = (lines: Line[]) => lines.reduce((sum, line) => sum + (line.leftOut ?? 0), 0);
  for (const [parts, msg] of [
    [system.servers, 'accepted'],
    [system.workers, 'settled'],
  ] as const) {
    await waitUntil(
      () => {
        const lines = linesOf(parts, msg);
        return lines.filter(about).length + leftOut(lines) === 100 && leftOut(lines) > 50;
      },
      { deadlineMs: 10_000, what: `the lines “${msg}” do not add up` },
    );
  }
});

test('no log contains an e-mail address, a password or a token', async () => {
  const account = await system.signUp();
  const credentials = { email: account.email, password: account.password };
  await system.api('POST', '/api/sessions', { body: credentials });
  await system.api('POST', '/api/sessions', { body: { ...credentials, password: 'a wrong password' } });
  await system.api('POST', '/api/users', { body: account });
  const sale = await system.createSale();
  await system.buy(sale.id, account.token);
  await system.quiet();
  const text = textOf([...system.servers, ...system.workers]);
  expect(text).toContain(account.user.id);
  for (const secret of [account.email, account.password, account.token, 'a wrong password']) {
    expect(text).not.toContain(secret);
  }
});

test('npm start shows warnings, with a limit on lines a second', async () => {
  const file = join(dir, 'server-1.log');
  const line = (level: number, msg: string) =>
    `${JSON.stringify({ level, time: 0, instance: 'server-1', msg })}\n`;
  writeFileSync(file, line(50, 'from before'));
  const shown: string[] = [];
  const stop = followLog(file, await openPrettyLog('warn', (text) => shown.push(text)));
  appendFileSync(
    file,
    line(30, 'accepted') + line(40, 'MongoDB unavailable, retrying') + line(50, 'x').slice(0, 10),
  );
  const isShown = (text: string) => () => shown.some((one) => one.includes(text));
  await waitUntil(isShown('MongoDB unavailable, retrying'), {
    deadlineMs: 5_000,
    what: 'the warning is not shown',
  });
  expect(shown).toHaveLength(1);
  expect(shown[0]).toMatch(/WARN.*server-1: MongoDB unavailable, retrying/);

  const many = Array.from({ length: 50 }, (_, n) => line(40, `trouble ${n}`));
  appendFileSync(file, line(50, 'x').slice(10) + many.join('') + many.join(''));
  await waitUntil(isShown('more such lines'), {
    deadlineMs: 5_000,
    what: 'the number of hidden lines is not shown',
  });
  expect(shown.length).toBe(1 + 5 + 1);
  expect(shown.at(-1)).toBe('… and 46 more such lines');
  stop();
});
