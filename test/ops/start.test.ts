import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, inject, test, vi } from 'vitest';
import { ROOT } from '../../ops/local/folders.mjs';
import { freePort, tryPort } from '../../ops/local/processes/port.mjs';
import { run, waitUntil } from '../../ops/local/processes/process.mjs';
import { bornAt } from '../../ops/local/processes/process-list.mjs';
import { needs } from '../support/needs.ts';

interface Running {
  pid: number;
  env: Record<'MONGO_URL' | 'REDIS_URL' | 'BASE_URL' | 'JWT_SECRET', string>;
  servers: { name: string; url: string; pid: number }[];
  workers: { name: string; url: string; pid: number }[];
  redis: { url: string; pid: number };
  mongo: { url: string; pid: number };
}

/** Runs `npm start` as a terminal does, in its own process group that receives Ctrl-C. */
class Start {
  output = '';
  readonly exited: Promise<number | null>;
  readonly #child: ChildProcess;

  constructor(dataDir: string, port: number, env: Record<string, string> = {}) {
    const { MONGO_URL, REDIS_URL, ...inherited } = process.env;
    this.#child = spawn(process.execPath, ['start.mjs'], {
      cwd: ROOT,
      detached: true,
      env: { ...inherited, STAMPEDE_DATA_DIR: dataDir, PORT: String(port), ...env },
    });
    for (const stream of [this.#child.stdout, this.#child.stderr]) {
      stream?.setEncoding('utf8').on('data', (text: string) => {
        this.output += text;
      });
    }
    this.exited = once(this.#child, 'close').then(([code]) => code);
    starts.push(this);
  }

  /** Resolves when a line of the output matches; throws when the start ends before. */
  async says(pattern: RegExp): Promise<void> {
    const saidOrEnded = () => pattern.test(this.output) || this.#child.exitCode !== null;
    await waitUntil(saidOrEnded, { deadlineMs: 60_000, what: `${pattern} was not said` });
    expect(this.output).toMatch(pattern);
  }

  signal(signal: NodeJS.Signals): void {
    if (this.#child.pid && this.#child.exitCode === null && this.#child.signalCode === null) {
      process.kill(-this.#child.pid, signal);
    }
  }
}

// A start launches six processes, and its own deadlines are longer than the default timeout of a test.
vi.setConfig({ testTimeout: 180_000 });

const starts: Start[] = [];
/** Too long for the path of a Unix socket. */
const longName = 'long'.repeat(40);
const screenEnd = /Ctrl-C stops everything.*/;
let dir: string;

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'stampede-start-'));
});
afterAll(async () => {
  for (const start of starts) start.signal('SIGINT');
  await Promise.all(starts.map(({ exited }) => exited));
  await rm(dir, { recursive: true });
});

const readJson = (dataDir: string, file: string) => JSON.parse(readFileSync(join(dataDir, file), 'utf8'));
const runningIn = (dataDir: string): Running => readJson(dataDir, 'running.json');
const processesIn = (dataDir: string): { name: string; pid: number }[] =>
  readJson(dataDir, 'processes.json').processes;
const pidsOf = (dataDir: string) => processesIn(dataDir).map(({ pid }) => pid);
const pidOf = (dataDir: string, wanted: string) =>
  processesIn(dataDir).find(({ name }) => name === wanted)?.pid ?? Number.NaN;
const allGone = (pids: number[]) => () => pids.every((pid) => bornAt(pid) === null);
const saleIdIn = (output: string) => output.match(/\/sales\/(\S+)/)?.[1];

describe('npm start', needs('nginx'), () => {
  let dataDir: string;
  let port: number;
  let start: Start;

  beforeAll(async () => {
    // The folder's name is part of nginx's configuration and Redis' arguments.
    dataDir = join(dir, `it's $5 "%20" \\ é`);
    port = await freePort();
    start = new Start(dataDir, port);
    await start.says(screenEnd);
  });

  test('shows the address, the demo sale, the accounts and the processes', () => {
    const { output } = start;
    expect(output).toContain(`http://127.0.0.1:${port}`);
    expect(output).toMatch(/The demo sale +http:\/\/127\.0\.0\.1:\d+\/sales\/\S+/);
    expect(output).toMatch(/admin@example\.com +\S{8,} +admin/);
    expect(output).toMatch(/buyer@example\.com +\S{8,} +buyer/);
    for (const name of ['nginx', 'server-1', 'server-2', 'worker-1', 'redis', 'mongo']) {
      expect(output).toMatch(new RegExp(`^ +${name} +\\S+:\\d+ +\\d+ +.+/${name}\\.log$`, 'm'));
    }
  });

  test('answers at the address, from both servers', async () => {
    const page = await fetch(`http://127.0.0.1:${port}/`);
    expect(page.status).toBe(200);
    const instances = new Set<string | null>();
    for (let n = 0; n < 4; n++) {
      instances.add((await fetch(`http://127.0.0.1:${port}/api/sales`)).headers.get('X-Instance'));
    }
    expect([...instances].sort()).toEqual(['server-1', 'server-2']);
  });

  test('writes the environment for commands, readable by this user only', () => {
    const { pid, env, servers, workers, redis, mongo } = runningIn(dataDir);
    expect(bornAt(pid)).not.toBeNull();
    expect(env.BASE_URL).toBe(`http://127.0.0.1:${port}`);
    expect(env.MONGO_URL).toContain('/stampede?');
    expect(env.JWT_SECRET).toBe(readJson(dataDir, 'secrets.json').jwtSecret);
    for (const part of [...servers, ...workers, redis, mongo]) expect(bornAt(part.pid)).not.toBeNull();
    const targets = readJson(dataDir, 'prometheus-targets.json');
    expect(targets.map(({ labels }: { labels: object }) => labels)).toEqual([
      { instance: 'server-1', role: 'server' },
      { instance: 'server-2', role: 'server' },
      { instance: 'worker-1', role: 'worker' },
    ]);
    for (const file of ['running.json', 'secrets.json', 'accounts.json']) {
      expect(statSync(join(dataDir, file)).mode & 0o077).toBe(0);
    }
  });

  test('refuses to start twice on the same data', async () => {
    const second = new Start(dataDir, await freePort());
    expect(await second.exited).toBe(1);
    expect(second.output).toMatch(
      /^Stampede is already running at http:\/\/127\.0\.0\.1:\d+ \(pid \d+\)\.\n$/,
    );
  });

  test('restarts a killed server on the same port', async () => {
    const before = runningIn(dataDir).servers[0];
    process.kill(before?.pid ?? 0, 'SIGKILL');
    await start.says(/server-1 restarted \(pid \d+\)/);
    const after = runningIn(dataDir).servers[0];
    expect(after?.url).toBe(before?.url);
    expect(after?.pid).not.toBe(before?.pid);
    expect((await fetch(`${after?.url}/readyz`)).status).toBe(200);
  });

  test.each(['nginx', 'redis', 'mongo'])(
    'starts %s again when it was killed, with its data',
    async (name) => {
      process.kill(pidOf(dataDir, name), 'SIGKILL');
      await start.says(new RegExp(`${name} restarted \\(pid \\d+\\)`));
      const url = `http://127.0.0.1:${port}`;
      await waitUntil(async () => (await fetch(`${url}/readyz`)).ok, {
        deadlineMs: 30_000,
        what: 'not ready',
      });
      expect((await fetch(`${url}/api/sales/${saleIdIn(start.output)}`)).status).toBe(200);
    },
  );

  test('stops all processes on Ctrl-C', async () => {
    const pids = pidsOf(dataDir);
    start.signal('SIGINT');
    expect(await start.exited).toBe(0);
    expect(pids.length).toBe(6);
    expect(pids.filter((pid) => bornAt(pid) !== null)).toEqual([]);
    expect(() => runningIn(dataDir)).toThrow();
  });

  test('keeps its data, and stops processes that a killed start left behind', async () => {
    const again = new Start(dataDir, port);
    await again.says(screenEnd);
    expect(saleIdIn(again.output)).toBe(saleIdIn(start.output));
    const password = /admin@example\.com +(\S+)/;
    expect(again.output.match(password)?.[1]).toBe(start.output.match(password)?.[1]);
    const left = pidsOf(dataDir);
    again.signal('SIGKILL');
    for (const pid of left) process.kill(pid, 'SIGKILL');
    await again.exited;
    // nginx's workers are not in the list, and still hold the port.
    await waitUntil(allGone(left), { deadlineMs: 5_000, what: 'one was not killed' });
    expect((await tryPort(port)).free).toBe(false);
    writeFileSync(join(dataDir, 'accounts.json'), '[{"email":"admin@exam');

    const third = new Start(dataDir, port);
    await third.says(screenEnd);
    expect(third.output).toMatch(/^Stopping processes that a killed start left behind: nginx$/m);
    expect(saleIdIn(third.output)).toBe(saleIdIn(start.output));
    // A password that does not belong to the account must not be shown.
    expect(third.output).toMatch(
      /^\S+accounts\.json is damaged|accounts\.json is damaged, so .* delete it\.$/m,
    );
    for (const role of ['admin', 'buyer']) {
      expect(third.output).toMatch(
        new RegExp(`^ +${role}@example\\.com +\\(not known here\\) +${role}$`, 'm'),
      );
    }
    expect(third.output).toMatch(/npm run admin -- create/);
    third.signal('SIGINT');
    expect(await third.exited).toBe(0);
  });
});

test('npm start without nginx serves the first server directly', async () => {
  const dataDir = join(dir, longName);
  const port = await freePort();
  const start = new Start(dataDir, port, { STAMPEDE_WITHOUT_NGINX: '1' });
  await start.says(screenEnd);
  expect(start.output).toMatch(/^nginx: +disabled by STAMPEDE_WITHOUT_NGINX/m);
  const { servers } = runningIn(dataDir);
  expect(servers.map(({ name, url }) => [name, url])).toEqual([['server-1', `http://127.0.0.1:${port}`]]);
  expect((await fetch(`http://127.0.0.1:${port}/api/sales`)).headers.get('X-Instance')).toBe('server-1');
  const pids = pidsOf(dataDir);
  start.signal('SIGTERM');
  expect(await start.exited).toBe(0);
  expect(allGone(pids)()).toBe(true);
});

test('a taken port is reported in one line', async () => {
  const port = await freePort();
  const holder = createServer().listen(port, '127.0.0.1');
  await once(holder, 'listening');
  const start = new Start(join(dir, 'taken'), port);
  expect(await start.exited).toBe(1);
  expect(start.output).toMatch(new RegExp(`^Port ${port} is taken: .*PORT=${port + 1} npm start\\n$`));
  holder.close();
});

test('one of two concurrent starts runs, and no password is shown when accounts.json is missing', async () => {
  const dataDir = join(dir, longName);
  rmSync(join(dataDir, 'accounts.json'));
  const port = await freePort();
  const two = [port, port].map((one) => new Start(dataDir, one, { STAMPEDE_WITHOUT_NGINX: '1' }));
  const loser = await Promise.race(two.map((start) => start.exited.then(() => start)));
  expect(await loser.exited).toBe(1);
  expect(loser.output).toMatch(/^Stampede is already running at http:\/\/127\.0\.0\.1:\d+ \(pid \d+\)\.\n$/);
  const winner = two.find((start) => start !== loser);
  await winner?.says(screenEnd);
  expect(winner?.output).toMatch(/^ +admin@example\.com +\(not known here\) +admin$/m);
  const pids = pidsOf(dataDir);
  winner?.signal('SIGINT');
  await winner?.exited;
  expect(allGone(pids)()).toBe(true);
});

test.each<[string, Record<string, string>, RegExp]>([
  ['PORT', { PORT: 'abc' }, /^PORT must be a number from 1 to 65535, and is "abc"\.$/],
  ['TLS_PORT', { TLS_PORT: '70000' }, /^TLS_PORT must be a number from 1 to 65535, and is "70000"\.$/],
  [
    'STAMPEDE_SHOW_LOG',
    { STAMPEDE_SHOW_LOG: 'loud' },
    /^STAMPEDE_SHOW_LOG must be one of .*, and is "loud"\.$/,
  ],
  ['MONGO_URL', { MONGO_URL: 'shop' }, /^MONGO_URL must begin with mongodb/],
  [
    'MONGO_URL',
    { MONGO_URL: 'mongodb://me:secret@127.0.0.1:1/' },
    /^MONGO_URL cannot be used \(127\.0\.0\.1:1\): /,
  ],
  [
    'REDIS_URL',
    { REDIS_URL: 'redis://:secret@127.0.0.1:1' },
    /^REDIS_URL cannot be used \(127\.0\.0\.1:1\): .*ECONNREFUSED/,
  ],
  [
    'RABBITMQ_URL',
    { RABBITMQ_URL: 'amqp://127.0.0.1:1' },
    /^RABBITMQ_URL cannot be used \(127\.0\.0\.1:1\): /,
  ],
])('a wrong %s is one line, and nothing is left', async (_name, env, line) => {
  const dataDir = join(dir, 'refused');
  const start = new Start(dataDir, await freePort(), env);
  expect(await start.exited).toBe(1);
  expect(start.output.trimEnd()).toMatch(line);
  expect(start.output.trimEnd()).not.toMatch(/\n|secret/);
  expect(existsSync(join(dataDir, 'start.lock'))).toBe(false);
});

test('an invalid setting of the servers is reported with the expected value', async () => {
  const dataDir = join(dir, 'wrong');
  const env = { MONGO_URL: inject('mongoUrl'), SETTLE_INTERVAL_MS: 'many', MONGO_WAIT_MS: '3' };
  const start = new Start(dataDir, await freePort(), env);
  await start.says(/Starting/);
  const pids = pidsOf(dataDir);
  expect(await start.exited).toBe(1);
  expect(start.output).toMatch(
    /The configuration is not usable: .*MONGO_WAIT_MS: .*100.*SETTLE_INTERVAL_MS: .*number/,
  );
  // Processes that were still starting are killed as the start exits, and are gone a moment later.
  await waitUntil(allGone(pids), { deadlineMs: 5_000, what: 'a process was left' });
});

// Concurrent, because each waits for the databases in vain for seconds.
test.concurrent.each<[string, string[]]>([
  ['audit', []],
  ['backup', ['shop.gz']],
  ['events', ['tail']],
  ['dlq', ['list']],
  ['replay', []],
  ['seed', []],
  ['admin', ['create', 'me@example.com']],
])(
  'npm run %s prints one line when no system is running or a database cannot be reached',
  async (name, args) => {
    const command = async (env: Record<string, string>) => {
      const { MONGO_URL, REDIS_URL, ...inherited } = process.env;
      const { ok, output } = await run(process.execPath, ['run.mjs', `commands/${name}.ts`, ...args], {
        cwd: ROOT,
        env: { ...inherited, STAMPEDE_DATA_DIR: join(dir, 'nothing'), ...env },
        deadlineMs: 60_000,
      });
      expect(ok).toBe(false);
      return output.trim();
    };
    const away = {
      MONGO_URL: 'mongodb://me:secret@127.0.0.1:1/a',
      REDIS_URL: 'redis://127.0.0.1:1',
      MONGO_WAIT_MS: '300',
    };
    const [withoutSystem, withoutRedis, unreachable] = await Promise.all([
      command({}),
      command({ MONGO_URL: inject('mongoUrl') }),
      command(away),
    ]);
    expect(withoutSystem).toMatch(
      /^No system runs here\. Start one with `npm start`, or name one with MONGO_URL/,
    );
    expect(withoutRedis).toMatch(/^MONGO_URL is set and REDIS_URL is not: /);
    expect(unreachable).toMatch(
      /^(MongoDB|Redis) at 127\.0\.0\.1:1 does not answer .*: start it, or correct (MONGO|REDIS)_URL\.$/,
    );
  },
);

test('Ctrl-C during the start leaves no process', async () => {
  const dataDir = join(dir, 'cut-short');
  const start = new Start(dataDir, await freePort());
  await start.says(/^Starting/m);
  const pids = pidsOf(dataDir);
  start.signal('SIGINT');
  expect(await start.exited).toBe(0);
  await waitUntil(allGone(pids), { deadlineMs: 5_000, what: 'a process was left' });
});
