import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { mkdtemp, rm } from 'node:fs/promises';
import type { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { afterAll, beforeAll, expect, inject, test } from 'vitest';
import { openRedis as startRedis } from '../../ops/local/databases/redis.mjs';
import { freePort } from '../../ops/local/processes/port.mjs';
import { waitUntil } from '../../ops/local/processes/process.mjs';
import { readConfig } from '../../runtime/config.ts';
import { openMongo, openPatientRedis } from '../../runtime/databases/connections.ts';

const log = pino({ level: 'silent' });
let dir: string;
let redisServer: Awaited<ReturnType<typeof startRedis>>;

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'stampede-connections-'));
  redisServer = await startRedis({ dataDir: dir });
});
afterAll(async () => {
  await redisServer.close();
  await rm(dir, { recursive: true });
});

const configOf = (REDIS_URL: string) =>
  readConfig({ JWT_SECRET: 's'.repeat(32), MONGO_URL: inject('mongoUrl'), REDIS_URL });

test('a connection to Redis that was given up while it was being established is opened again', async () => {
  const port = await freePort();
  const { redis, close } = openPatientRedis(configOf(`redis://127.0.0.1:${port}`), log);
  await waitUntil(() => redis.status === 'connecting', { deadlineMs: 10_000, what: 'it is connecting' });
  // As Bull interrupts its blocking connection.
  redis.disconnect();
  await expect(redis.connect()).rejects.toThrow('already connecting');
  await waitUntil(() => redis.status === 'end', { deadlineMs: 10_000, what: 'it has ended' });

  const server = await startRedis({ dataDir: join(dir, 'late'), port });
  await waitUntil(() => redis.status === 'ready', { deadlineMs: 20_000, what: 'it is open again' });
  expect(await redis.ping()).toBe('PONG');
  await close();
  await waitUntil(() => redis.status === 'end', { deadlineMs: 10_000, what: 'it is closed' });
  await server.close();
});

test('MongoDB is read and written at majority, whatever its URL says', async () => {
  const config = configOf(redisServer.url);
  const { mongo, close } = openMongo({ ...config, MONGO_URL: `${config.MONGO_URL}&w=1` }, log);
  await mongo.asPromise();
  const client = mongo.getClient();
  expect(client.options.writeConcern?.w).toBe('majority');
  expect(client.options.readConcern?.level).toBe('majority');
  await close();
});

test.each(['', '&compressors=zlib'])(
  'a command that is written to MongoDB just as its connection closes fails, and the next one succeeds%s',
  async (options) => {
    const sockets = new Set<Socket>();
    const keep = (message: unknown) => sockets.add((message as { socket: Socket }).socket);
    subscribe('net.client.socket', keep);
    const config = configOf(redisServer.url);
    const { mongo, close } = openMongo({ ...config, MONGO_URL: config.MONGO_URL + options }, log);
    await mongo.asPromise();
    const ping = () => mongo.getClient().db().command({ ping: 1 });
    await ping();
    unsubscribe('net.client.socket', keep);
    // A closed process ends its connections without an error; until the socket's `close` the driver takes it for open.
    for (const socket of sockets) socket.destroy();
    await expect(ping()).rejects.toThrow(/closed/);
    await waitUntil(() => ping().then(Boolean, () => false), {
      deadlineMs: 10_000,
      what: 'it is answered again',
    });
    await close();
  },
);
