import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync, gzipSync } from 'node:zlib';
import mongoose from 'mongoose';
import { afterAll, beforeAll, expect, inject, test } from 'vitest';
import { writeArchive } from '../../commands/archive.ts';
import { checkArchiveFile } from '../../commands/archive-file.ts';
import { openAppProcess } from '../../ops/local/app-process.mjs';
import { openRedis, type Redis } from '../../ops/local/databases/redis.mjs';
import { ROOT } from '../../ops/local/folders.mjs';
import { freePort } from '../../ops/local/processes/port.mjs';
import { run, waitUntil } from '../../ops/local/processes/process.mjs';
import { collectionNames } from '../../store/collections.ts';
import { startBuyers, waitForAccepted } from '../faults/support/buyers.ts';
import { startSystem, type TestSystem } from '../support/harness.ts';

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
  run(process.execPath, ['run.mjs', `commands/${name}.ts`, ...args], {
    cwd: ROOT,
    env: { ...process.env, ...env },
    deadlineMs: 60_000,
  });
const resultOf = ({ stdout }: { stdout: string }) => JSON.parse(stdout.trim().split('\n').at(-1) ?? '');

test('a backup taken under load restores to a shop that keeps every invariant and goes on selling', async () => {
  const file = join(dir, 'shop.gz');
  const sale = await system.createSale({ stock: 50_000, limitPerBuyer: 500 });
  const { email, password } = await system.signUp();
  const leaver = await system.signUp();
  await system.settled(
    (await system.buy(sale.id, leaver.token, { quantity: 500 })).body.orderId,
    leaver.token,
  );
  await system.api('DELETE', '/api/account', { token: leaver.token });
  const load = startBuyers(system, sale);
  await waitForAccepted(load, 300);
  const backup = await command('backup', [file], system.env);
  await waitForAccepted(load, 100);
  await load.stop();
  await system.quiet();
  expect(backup.ok, backup.output).toBe(true);
  const counts = resultOf(backup);
  // The backup was taken in the middle and not at the end.
  expect(counts.orders).toBeGreaterThan(0);
  expect(counts.orders).toBeLessThan(await system.store.collections.orders.countDocuments());

  const running = await command('restore', [file], system.env);
  expect(running.output).toMatch(/^Stop these processes first: .*server-1/);
  const restore = await command('restore', [file], restored);
  expect(restore.ok, restore.output).toBe(true);
  expect(resultOf(restore)).toEqual(counts);
  expect(resultOf(await command('audit', [], restored))).toMatchObject({ ok: true, orders: counts.orders });

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
    // The account exists with its password, and can buy from the gate that was rebuilt from MongoDB.
    const { body: session } = await system.api('POST', '/api/sessions', { body: account, at });
    const { status } = await system.buy(saleId, session.token, { at });
    expect(status).toBe(202);
    // A buyer who had reached the limit before the backup is still limited.
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
  expect(resultOf(await command('audit', [], restored))).toMatchObject({ ok: true, queued: 0 });
}

test('a backup is one snapshot, however much is written while it is taken', async () => {
  const { pictures } = system.store.collections;
  const ids = Array.from({ length: 100 }, (_, n) => `a-large-picture-${n}`);
  await pictures.insertMany(
    ids.map((_id) => ({ _id, bytes: Buffer.alloc(1_000_000), createdAt: new Date(0) })),
  );
  let isReading = true;
  const later = new Date(1);
  const overwriting = (async () => {
    while (isReading) await pictures.updateMany({ _id: { $in: ids } }, { $set: { createdAt: later } });
  })();
  const file = join(dir, 'large.gz');
  const counts = await writeArchive(system.store, file).finally(() => {
    isReading = false;
  });
  await overwriting;
  expect(counts.pictures).toBeGreaterThanOrEqual(ids.length);
  await pictures.deleteMany({ _id: { $in: ids } });
});

/** Opens another database of the same MongoDB. @returns also the environment for commands on it. */
async function openDatabase(name: string) {
  const url = new URL(restored.MONGO_URL ?? '');
  url.pathname = `/${name}`;
  const mongo = await mongoose.createConnection(url.href).asPromise();
  const count = async () => {
    const names = (await mongo.listCollections()).map((collection) => collection.name);
    const counts = await Promise.all(names.map((one) => mongo.collection(one).countDocuments()));
    return counts.reduce((sum, one) => sum + one, 0);
  };
  return {
    env: { ...restored, MONGO_URL: url.href },
    mongo,
    count,
    async close() {
      await mongo.dropDatabase();
      await mongo.close();
    },
  };
}

const archiveOf = (lines: unknown[]) =>
  gzipSync(`${lines.map((line) => (typeof line === 'string' ? line : JSON.stringify(line))).join('\n')}\n`);
const header = { stampede: 1, at: '2026-01-01T00:00:00.000Z' };
const user = (n: number, email = `${n}@example.com`) => ({
  in: 'users',
  document: { _id: `user-${n}`, email, name: 'A', passwordHash: '-', role: 'buyer' },
});

test('a damaged or incomplete backup is refused before anything is written', async () => {
  const good = join(dir, 'good.gz');
  await system.createSale();
  expect((await command('backup', [good], system.env)).ok).toBe(true);
  const bytes = await readFile(good);
  const lines = gunzipSync(bytes).toString().trim().split('\n');
  const flipped = Buffer.from(bytes);
  flipped.writeUInt8(bytes.readUInt8(bytes.length >> 1) ^ 1, bytes.length >> 1);
  const known = new Set([...collectionNames(system.store.collections), 'migrations']);
  const bad: [RegExp, Buffer | string][] = [
    [/cut short/, bytes.subarray(0, 500)],
    // The damaged data can still be unpacked, but is not a document or has another checksum.
    [/damaged|not extended JSON|checksum/, flipped],
    [/empty/, ''],
    [/no gzip file/, '{"stampede":1}'],
    [/not the header/, archiveOf([{ counts: {} }])],
    [/of an empty database/, archiveOf([header, { counts: {} }])],
    [/format 3.*newer/, archiveOf([{ stampede: 3 }, { counts: {} }])],
    [/counts is missing/, archiveOf([header, user(1)])],
    [/another number/, archiveOf([header, user(1), { counts: { users: 2 } }])],
    [/after what should be the last/, archiveOf([header, user(1), { counts: { users: 1 } }, user(2)])],
    [/line 2 is not extended JSON/, archiveOf([header, '{"in":"users"', { counts: {} }])],
    [/line 2 is not extended JSON/, archiveOf([header, 'null', { counts: {} }])],
    [/line 2 is not a document/, archiveOf([header, { in: 'users', document: { email: 1 } }])],
    [/unknown collection "system.users"/, archiveOf([header, { in: 'system.users', document: { _id: 1 } }])],
    [/contains a document twice/, archiveOf([header, user(1), user(1), { counts: { users: 2 } }])],
    [/does not match its checksum/, archiveOf([...lines.map((l) => l.replace('A lamp', 'A lump'))])],
    // A kilobyte each, which unpacks to 65 MB: one line, and many.
    [/longer than 64 MiB/, archiveOf([header, 'x'.repeat(65 * 1024 ** 2)])],
    [/line 2 is not extended JSON/, archiveOf([header, '\n'.repeat(65 * 1024 ** 2)])],
  ];
  const file = join(dir, 'bad.gz');
  for (const [why, content] of bad) {
    await writeFile(file, content);
    const refusal = await checkArchiveFile(file, known).catch((error) => error.message);
    expect(refusal).toMatch(why);
    expect(refusal).toMatch(/^\S+bad\.gz cannot be restored: [^\n]+\.$/);
  }
  await expect(checkArchiveFile(join(dir, 'none.gz'), known)).rejects.toThrow(/there is no such file/);
  await expect(checkArchiveFile(dir, known)).rejects.toThrow(/it is a folder/);
});

test('after a failed restore a good file can be restored; the previous format can be read', async () => {
  const database = await openDatabase('half-restored');
  const file = join(dir, 'bad.gz');
  const restore = (path: string) => command('restore', [path, '--empty-redis'], database.env);
  try {
    // An error that only MongoDB detects, after some documents are written.
    await writeFile(file, archiveOf([header, user(1), user(2, '1@example.com'), { counts: { users: 2 } }]));
    const refused = await restore(file);
    expect([refused.ok, refused.output.trim()]).toEqual([
      false,
      expect.stringMatching(/^The restore failed: .*E11000.* The database is empty as before\.$/),
    ]);
    expect(await database.count()).toBe(0);

    const many = Array.from({ length: 60_000 }, (_, n) => user(n));
    await writeFile(file, archiveOf([header, ...many, { counts: { users: many.length } }]));
    const killed = spawn(process.execPath, ['run.mjs', 'commands/restore.ts', file, '--empty-redis'], {
      cwd: ROOT,
      env: { ...process.env, ...database.env },
    });
    const ended = once(killed, 'close');
    await waitUntil(async () => (await database.mongo.collection('users').countDocuments()) > 0, {
      deadlineMs: 60_000,
      what: 'nothing is written',
    });
    killed.kill('SIGKILL');
    await ended;
    expect(await database.count()).toBeGreaterThan(1);
    const seed = await command('seed', ['--if-empty'], database.env);
    expect([seed.ok, seed.output.trim()]).toEqual([
      false,
      expect.stringMatching(/^This database holds a part of .*: run `npm run restore -- FILE` again\.$/),
    ]);

    await writeFile(file, archiveOf([header, user(1), user(2), { counts: { users: 2 } }]));
    const taken = await restore(file);
    expect(taken.ok, taken.output).toBe(true);
    expect(resultOf(taken)).toEqual({ users: 2 });
    expect(await database.count()).toBe(2);
  } finally {
    await database.close();
  }
});

test('a backup that is killed, stopped or empty leaves no file of its name', async () => {
  const { pictures } = system.store.collections;
  const ids = Array.from({ length: 40 }, (_, n) => `another-picture-${n}`);
  const bytes = randomBytes(1_000_000);
  await pictures.insertMany(ids.map((_id) => ({ _id, bytes, createdAt: new Date(0) })));
  const folder = await mkdtemp(join(dir, 'backups-'));
  for (const signal of ['SIGKILL', 'SIGTERM'] as const) {
    const file = join(folder, `${signal}.gz`);
    const child = spawn(process.execPath, ['run.mjs', 'commands/backup.ts', file], {
      cwd: ROOT,
      env: { ...process.env, ...system.env },
    });
    const ended = once(child, 'close');
    const hasBegun = async () => (await readdir(folder)).some((name) => name.startsWith(`${signal}.gz.part`));
    await waitUntil(hasBegun, { deadlineMs: 30_000, what: 'no backup began', everyMs: 5 });
    child.kill(signal);
    expect((await ended)[0]).not.toBe(0);
  }
  await pictures.deleteMany({ _id: { $in: ids } });
  // SIGKILL leaves the incomplete file under its temporary name.
  expect(await readdir(folder)).toEqual([expect.stringMatching(/^SIGKILL\.gz\.part-\d+$/)]);

  const empty = await openDatabase('empty');
  const { ok, output } = await command('backup', [join(folder, 'empty.gz')], empty.env);
  await empty.close();
  expect([ok, output.trim()]).toEqual([false, 'The database has no documents: nothing to back up.']);
  const nowhere = await command('backup', [join(folder, 'none/shop.gz')], system.env);
  expect([nowhere.ok, nowhere.output.trim()]).toEqual([
    false,
    expect.stringMatching(/^No backup was written: .*there is no such file or folder\.$/),
  ]);
  expect(await readdir(folder)).toHaveLength(1);
});
