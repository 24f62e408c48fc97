import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import mongoose, { type Connection } from 'mongoose';
import { nanoid } from 'nanoid';
import { afterAll, beforeAll, expect, inject, test } from 'vitest';
import { withDatabase } from '../../ops/local/databases/database-url.mjs';
import { openRedis, type Redis } from '../../ops/local/databases/redis.mjs';
import { ROOT } from '../../ops/local/folders.mjs';
import { run } from '../../ops/local/processes/process.mjs';

let dir: string;
let redis: Redis;
let mongo: Connection;
let env: Record<string, string>;
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'stampede-migrate-'));
  redis = await openRedis({ dataDir: join(dir, 'redis') });
  const MONGO_URL = withDatabase(inject('mongoUrl'), `migrate-${nanoid(8)}`);
  env = { MONGO_URL, REDIS_URL: redis.url };
  mongo = await mongoose.createConnection(MONGO_URL).asPromise();
});
afterAll(async () => {
  await mongo.dropDatabase();
  await mongo.close();
  await redis.close();
  await rm(dir, { recursive: true });
});

const migrate = () =>
  run(process.execPath, ['run.mjs', 'commands/migrate.ts'], {
    cwd: ROOT,
    env: { ...process.env, ...env },
    deadlineMs: 60_000,
  });

test('an empty database is prepared before any server starts, and a second run changes nothing', async () => {
  const first = await migrate();
  expect(first.ok, first.output).toBe(true);
  expect(first.output).toContain('migrated the database');
  const done = await mongo.collection('migrations').find().toArray();
  expect(done.map(({ migrationName }) => migrationName)).toContain('0001-people');
  expect((await mongo.collection('orders').indexes()).length).toBeGreaterThan(1);

  const second = await migrate();
  expect(second.ok, second.output).toBe(true);
  expect(second.output).not.toContain('migrated the database');
  expect(await mongo.collection('migrations').find().toArray()).toEqual(done);
});

test('without its databases it fails, so that a Job tries again', async () => {
  await redis.close();
  const { ok, output } = await migrate();
  expect(ok).toBe(false);
  expect(output).toContain('Redis at');
});
