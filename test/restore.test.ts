import { mkdtemp, rm, truncate } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import mongoose, { trusted } from 'mongoose';
import { afterAll, beforeAll, expect, inject, test } from 'vitest';
import { writeArchive } from '../commands/archive.ts';
import { openAppProcess } from '../embedded/app-process.mjs';
import { ROOT } from '../embedded/folders.mjs';
import { freePort } from '../embedded/port.mjs';
import { run, waitUntil } from '../embedded/process.mjs';
import { openRedis, type Redis } from '../embedded/redis.mjs';
import { accepts, openCrowd } from './faults/crowd.ts';
import { startSystem, type TestSystem } from './harness.ts';

let system: TestSystem;
let dir: string;
let redis: Redis;
let restored: Record<string, string>;

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'stampede-restore-'));
  system = await startSystem({ nginx: false });
  redis = await openRedis({ dataDir: join(dir, 'redis') });
  const database = new URL(inject('mongoUrl'));
  database.pathname = '/restored';
  restored = { ...system.env, MONGO_URL: database.href, REDIS_URL: redis.url };
});
afterAll(async () => {
  const mongo = await mongoose.createConnection(restored.MONGO_URL ?? '').asPromise();
  await mongo.dropDatabase();
  await mongo.close();
  await redis.close();
  await system.close();
  await rm(dir, { recursive: true });
});

const command = (name: string, args: string[], env: Record<string, string>) =>
  run(process.execPath, ['--import', 'tsx', `commands/${name}.ts`, ...args], {
    cwd: ROOT,
    env: { ...process.env, ...env },
    deadlineMs: 60_000,
  });
const told = ({ stdout }: { stdout: string }) => JSON.parse(stdout.trim().split('\n').at(-1) ?? '');

test('a backup taken in the middle of a crowd restores to a shop without a breach, which sells on', async () => {
  const file = join(dir, 'shop.gz');
  const sale = await system.createSale({ stock: 50_000, limitPerBuyer: 500 });
  const { email, password } = await system.signUp();
  const leaver = await system.signUp();
  await system.settled(
    (await system.buy(sale.id, leaver.token, { quantity: 500 })).body.orderId,
    leaver.token,
  );
  await system.api('DELETE', '/api/account', { token: leaver.token });
  const crowd = openCrowd(system, sale);
  await accepts(crowd, 300);
  const backup = await command('backup', [file], system.env);
  await accepts(crowd, 100);
  await crowd.stop();
  await system.quiet();
  expect(backup.ok, backup.output).toBe(true);
  const counts = told(backup);
  // It is of the middle, and not of the end.
  expect(counts.orders).toBeGreaterThan(0);
  expect(counts.orders).toBeLessThan(await system.store.collections.orders.countDocuments());

  const running = await command('restore', [file], system.env);
  expect(running.output).toMatch(/^Stop them first: .*server-1/);
  const restore = await command('restore', [file], restored);
  expect(restore.ok, restore.output).toBe(true);
  expect(told(restore)).toEqual(counts);
  expect(told(await command('audit', [], restored))).toMatchObject({ ok: true, orders: counts.orders });

  const again = await command('restore', [file, '--empty-redis'], restored);
  expect([again.ok, again.output]).toEqual([false, expect.stringMatching(/expected an empty one/)]);
  await sellOn(sale.id, { email, password }, leaver.email);
});

async function sellOn(
  saleId: string,
  account: { email: string; password: string },
  emailOfLeaver: string,
): Promise<void> {
  const start = async (kind: string) =>
    openAppProcess({
      name: kind,
      entry: `${kind}/main.ts`,
      port: await freePort(),
      env: restored,
      logsDir: dir,
    });
  const [server, worker] = await Promise.all([start('server'), start('worker')]);
  try {
    const at = server.url;
    const { body: before } = await system.api('GET', `/api/sales/${saleId}`, { at });
    // The account is there with its password, and its token buys from the gate that MongoDB made anew.
    const { body: session } = await system.api('POST', '/api/sessions', { body: account, at });
    const { status } = await system.buy(saleId, session.token, { at });
    expect(status).toBe(202);
    // Who had the whole limit before the backup, and left, is known again.
    const back = { ...account, email: emailOfLeaver, name: 'Back' };
    const { token } = (await system.api('POST', '/api/users', { body: back, at })).body;
    const { body } = await system.buy(saleId, token, { at });
    await waitUntil(
      async () => {
        const { body: order } = await system.api('GET', `/api/orders/${body.orderId}`, { token, at });
        return order.reason === 'over_limit';
      },
      { deadlineMs: 15_000, what: 'the limit is not kept' },
    );
    await waitUntil(
      async () => (await system.api('GET', `/api/sales/${saleId}`, { at })).body.stock === before.stock - 1,
      { deadlineMs: 15_000, what: 'the restored shop does not settle' },
    );
  } finally {
    await Promise.all([server.close(), worker.close()]);
  }
  expect(told(await command('audit', [], restored))).toMatchObject({ ok: true, queued: 0 });
}

test('a backup is one snapshot, however much is overwritten while it reads', async () => {
  const { pictures } = system.store.collections;
  const ids = Array.from({ length: 100 }, (_, n) => `a-large-picture-${n}`);
  await pictures.insertMany(
    ids.map((_id) => ({ _id, bytes: Buffer.alloc(1_000_000), createdAt: new Date(0) })),
  );
  let isReading = true;
  const later = new Date(1);
  const overwriting = (async () => {
    while (isReading) await pictures.updateMany({ _id: trusted({ $in: ids }) }, { createdAt: later });
  })();
  const file = join(dir, 'large.gz');
  const counts = await writeArchive(system.store, file).finally(() => {
    isReading = false;
  });
  await overwriting;
  expect(counts.pictures).toBeGreaterThanOrEqual(ids.length);
  await pictures.deleteMany({ _id: trusted({ $in: ids }) });
});

test('a file that was cut short is not taken for a backup', async () => {
  const file = join(dir, 'short.gz');
  await system.createSale();
  expect((await command('backup', [file], system.env)).ok).toBe(true);
  await truncate(file, 500);
  const database = new URL(restored.MONGO_URL ?? '');
  database.pathname = '/cut-short';
  const short = { ...restored, MONGO_URL: database.href };
  const { ok, output } = await command('restore', [file, '--empty-redis'], short);
  expect([ok, output.trim()]).toEqual([false, 'unexpected end of file']);
  const mongo = await mongoose.createConnection(database.href).asPromise();
  await mongo.dropDatabase();
  await mongo.close();
});
