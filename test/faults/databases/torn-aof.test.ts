import { readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { chmod, mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { Redis } from 'ioredis';
import { afterEach, expect, test } from 'vitest';
import { parse } from 'yaml';
import { ROOT } from '../../../ops/local/folders.mjs';
import { freePort } from '../../../ops/local/processes/port.mjs';
import { type Launched, launch, run, stop, waitUntil } from '../../../ops/local/processes/process.mjs';
import { openRandom } from '../../nemesis/random.ts';
import { startSystem, type TestSystem } from '../../support/harness.ts';
import { seed } from '../support/buyers.ts';

/** Redis is killed while it writes a transaction to its append-only file. */

const random = openRandom(seed);
const closers: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

/** Finds the append-only file of Redis 7 or Redis 6. */
async function appendOnlyFileIn(dataDir: string): Promise<string> {
  const folder = join(dataDir, 'appendonlydir');
  const parts = await readdir(folder).catch(() => []);
  const [increment] = parts.filter((name) => name.endsWith('.incr.aof')).sort();
  return increment ? join(folder, increment) : join(dataDir, 'appendonly.aof');
}

/** Truncates the file inside the transaction that wrote `text`, at a random place between its first command and its EXEC. */
function tear(file: string, text: string): void {
  const content = readFileSync(file);
  const written = content.indexOf(text);
  const end = content.indexOf('EXEC', written);
  const start = content.indexOf('\r\n*', written) + 2;
  truncateSync(file, start + 1 + Math.floor(random() * (end - start - 1)));
}

/** The data folder of the system's Redis. */
async function dataDirOf(system: TestSystem): Promise<string> {
  const [, dir] = (await system.store.redis.config('GET', 'dir')) as string[];
  return dir ?? '';
}

test('a purchase whose flush was torn is stored as a whole or not at all, after two restarts, and settles', async () => {
  // The reconciler is slow, so that it does not requeue a purchase without a job.
  const env = { RECONCILE_AFTER_MS: '600000' };
  const system: TestSystem = await startSystem({ servers: 1, workers: 0, nginx: false, env });
  closers.push(() => system.close());
  const sale = await system.createSale({ stock: 10 });
  const buyers = ['before', 'torn', 'between'].map((key) => ({ key, token: system.buyerToken() }));
  const [before, torn, between] = buyers as [(typeof buyers)[0], (typeof buyers)[0], (typeof buyers)[0]];
  const press = async ({ token, key }: typeof before) => {
    // A server that has just lost Redis answers 503, and the page sends again.
    const answer = await waitUntil(
      async () => {
        const { status, body } = await system.buy(sale.id, token, { key });
        return status === 202 ? body : null;
      },
      { deadlineMs: 20_000, what: `purchase "${key}" is accepted` },
    );
    return answer.orderId;
  };
  async function die(damage: (file: string) => void): Promise<void> {
    const file = await appendOnlyFileIn(await dataDirOf(system));
    process.kill(system.redis().pid, 'SIGKILL');
    await system.redis().ended;
    damage(file);
    await system.restartRedis();
  }

  await press(before);
  const orderId = await press(torn);
  await die((file) => tear(file, orderId));
  await press(between);
  await die(() => {});

  // The page got no answer, and sends it again.
  expect(await press(torn)).toBe(orderId);
  await system.startWorker();
  await system.quiet();
  for (const { token } of buyers) {
    const { body } = await system.api('GET', '/api/orders', { token });
    expect(body.orders).toMatchObject([{ status: 'paid' }]);
  }
  expect(await system.audit()).toMatchObject({ ok: true, queued: 0 });
  expect(await readdir(join(await dataDirOf(system), 'torn-aof'))).toHaveLength(1);
});

test("docker compose's Redis truncates a torn AOF, and refuses one that is damaged elsewhere", async () => {
  const dir = await mkdtemp(join(tmpdir(), 'stampede-torn-'));
  closers.push(() => rm(dir, { recursive: true }));
  const port = await freePort();
  const { entrypoint, command } = parse(readFileSync(join(ROOT, 'docker-compose.yml'), 'utf8')).services
    .redis;
  // The image's entrypoint runs the command as another user; here it runs as this one.
  writeFileSync(join(dir, 'docker-entrypoint.sh'), '#!/bin/sh\nexec "$@"\n');
  await chmod(join(dir, 'docker-entrypoint.sh'), 0o755);
  const here = (word: string) =>
    word.replace('/opt/', `${ROOT}ops/redis/`).replace('/data', dir).replaceAll('$$', '$');
  const [program = '', ...args] = [...entrypoint, ...command].map(here);
  const options = [...args, '--port', String(port), '--dir', dir];
  const env = { ...process.env, PATH: `${dir}${delimiter}${process.env.PATH}` };
  const logFile = join(dir, 'redis.log');

  async function start(): Promise<{ redis: Redis; launched: Launched }> {
    const launched = await launch('redis', program, options, { logFile, env });
    const redis = new Redis(port, { lazyConnect: true });
    redis.on('error', () => {}); // Connection errors are expected, because Redis is killed and restarted.
    closers.push(
      async () => redis.disconnect(),
      () => stop(launched),
    );
    await waitUntil(() => redis.ping(), { deadlineMs: 20_000, what: 'Redis answers', launched });
    return { redis, launched };
  }
  async function kill({ redis, launched }: Awaited<ReturnType<typeof start>>): Promise<void> {
    redis.disconnect();
    process.kill(launched.pid, 'SIGKILL');
    await launched.ended;
  }

  const first = await start();
  await first.redis.set('kept', '1');
  await first.redis.multi().set('half', '1').set('other', 'half').exec();
  await kill(first);
  const file = await appendOnlyFileIn(dir);
  tear(file, 'half');
  const second = await start();
  expect(readFileSync(logFile, 'utf8')).toMatch(/was torn by a kill: \d+ bytes/);
  await second.redis.set('after', '1');
  await kill(second);
  const third = await start();
  expect(await third.redis.mget('kept', 'half', 'other', 'after')).toEqual(['1', null, null, '1']);
  await kill(third);

  // Damage far before the end of the file is not a torn write.
  const whole = readFileSync(file);
  writeFileSync(file, Buffer.concat([whole, Buffer.alloc(65 * 1024 * 1024)]));
  const { ok, output } = await run(program, options, { deadlineMs: 20_000, env });
  expect(ok).toBe(false);
  expect(output).toMatch(/damaged \d+ bytes before its end/);
  expect(readFileSync(file)).toHaveLength(whole.length + 65 * 1024 * 1024);
});
