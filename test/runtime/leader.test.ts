import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { pino } from 'pino';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { openRedis } from '../../ops/local/databases/redis.mjs';
import { waitUntil } from '../../ops/local/processes/process.mjs';
import { openLeaderElection } from '../../runtime/leader/leader.ts';

const ttlMs = 600;
const soon = { deadlineMs: 10_000 };

let dir: string;
let server: Awaited<ReturnType<typeof openRedis>>;
const closers: (() => Promise<void>)[] = [];
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'leader-'));
  server = await openRedis({ dataDir: dir });
});
afterEach(async () => {
  for (const close of closers.splice(0)) await close();
});
afterAll(async () => {
  await server.close();
  await rm(dir, { recursive: true });
});

/** A candidate for leadership with its own connection. */
function openProcess(work = async () => {}) {
  const redis = new Redis(server.url);
  const process = { doing: 0, redis, isFit: (): boolean => true, close };
  const election = openLeaderElection(
    {
      redis,
      name: 'a-lease',
      ttlMs,
      log: pino({ level: 'silent' }),
      isFit: () => process.isFit(),
    },
    {
      first: async (signal) => {
        process.doing += 1;
        if (!signal.aborted) await once(signal, 'abort');
        process.doing -= 1;
      },
      second: async (signal) => {
        await work();
        if (!signal.aborted) await once(signal, 'abort');
      },
    },
  );
  let closing: Promise<void> | undefined;
  function close(): Promise<void> {
    closing ??= election.close().then(() => redis.disconnect());
    return closing;
  }
  closers.push(close);
  return process;
}

const does = (process: { doing: number }) =>
  waitUntil(() => process.doing === 1, { ...soon, what: 'it leads' });

test('one candidate leads, and another one takes over when it closes', async () => {
  const processes = [openProcess(), openProcess(), openProcess()];
  for (let left = processes.length; left > 0; left--) {
    const doing = () => processes.filter((process) => process.doing === 1);
    await waitUntil(() => doing().length === 1, { ...soon, what: 'a candidate leads' });
    await delay(ttlMs);
    expect(doing()).toHaveLength(1);
    const [one] = doing();
    await one?.close();
    processes.splice(processes.indexOf(one as (typeof processes)[number]), 1);
  }
});

test('another candidate takes over when the leader stops renewing its lease', async () => {
  const first = openProcess();
  await does(first);
  const second = openProcess();
  first.redis.disconnect();
  await does(second);
});

test('a leader that finds another leader steps down', async () => {
  const first = openProcess();
  await does(first);
  await first.redis.set('lease:a-lease', 'another');
  await waitUntil(() => first.doing === 0, { ...soon, what: 'it steps down' });
  await first.redis.del('lease:a-lease');
  await does(first);
});

test('an unhealthy leader steps down at once, and does not lead again before it is healthy', async () => {
  const first = openProcess();
  await does(first);
  const second = openProcess();
  first.isFit = () => false;
  await does(second);
  expect(first.doing).toBe(0);
  await second.close();
  await delay(2 * ttlMs);
  expect(first.doing).toBe(0);
  first.isFit = () => true;
  await does(first);
});

test('a failed task is restarted, and other tasks continue', async () => {
  let failed = 0;
  const process = openProcess(async () => {
    if (failed < 3) throw new Error(`fault ${++failed}`);
  });
  await does(process);
  let leftOff = false;
  const watch = setInterval(() => (leftOff ||= process.doing !== 1), 1);
  await waitUntil(() => failed === 3, { ...soon, what: 'it is restarted' });
  clearInterval(watch);
  expect(leftOff).toBe(false);
});
