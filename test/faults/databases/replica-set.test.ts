import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import mongoose from 'mongoose';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { findMongod } from '../../../ops/local/databases/mongod.mjs';
import { cacheFolder } from '../../../ops/local/folders.mjs';
import { freePort } from '../../../ops/local/processes/port.mjs';
import { type Launched, launch, stop, waitUntil } from '../../../ops/local/processes/process.mjs';
import { openRandom } from '../../nemesis/random.ts';
import { startSystem, type TestSystem } from '../../support/harness.ts';
import { expectNothingLost, seed, startBuyers, waitForAccepted } from '../support/buyers.ts';

/** MongoDB with three members, named by a URL with three hosts. */

type Client = mongoose.mongo.MongoClient;
const { MongoClient } = mongoose.mongo;
const random = openRandom(seed);
/** The time of an election, with a margin for a loaded machine. */
const electionMs = 20_000;

let dir: string;
let members: { port: number; mongod: Launched }[];
let client: Client;
let system: TestSystem;

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'stampede-members-'));
  const { binary } = await findMongod({ cacheDir: cacheFolder(), report: console.log });
  members = await Promise.all([0, 1, 2].map((n) => startMember(binary, n)));
  const direct = new MongoClient(`mongodb://127.0.0.1:${members[0]?.port}/?directConnection=true`);
  await waitUntil(() => direct.connect(), { deadlineMs: 30_000, what: 'the first member answers' });
  const hosts = members.map(({ port }, _id) => ({ _id, host: `127.0.0.1:${port}` }));
  // By default a replica set waits 10 s for a silent primary.
  const config = { _id: 'three', members: hosts, settings: { electionTimeoutMillis: 2_000 } };
  await direct.db('admin').command({ replSetInitiate: config });
  await direct.close();
  client = new MongoClient(urlOfAll());
  await waitUntil(() => portOfPrimary(), { deadlineMs: 30_000, what: 'there is a primary' });
});
afterEach(() => system?.close());
afterAll(async () => {
  await client?.close();
  await Promise.all(members.map(({ mongod }) => stop(mongod)));
  await rm(dir, { recursive: true });
});

async function startMember(binary: string, n: number): Promise<(typeof members)[0]> {
  const port = await freePort();
  const dbpath = await mkdtemp(join(dir, `member-${n}-`));
  const where = ['--bind_ip', '127.0.0.1', '--port', String(port), '--dbpath', dbpath, '--nounixsocket'];
  const as = ['--replSet', 'three', '--wiredTigerCacheSizeGB', '0.25', '--quiet'];
  const more = ['--setParameter', 'transactionLifetimeLimitSeconds=3'];
  const logFile = join(dir, `member-${n}.log`);
  return { port, mongod: await launch(`member-${n}`, binary, [...where, ...as, ...more], { logFile }) };
}

const urlOfAll = () =>
  `mongodb://${members.map(({ port }) => `127.0.0.1:${port}`).join(',')}/?replicaSet=three`;

async function portOfPrimary(): Promise<number> {
  const { primary = '' } = await client.db('admin').command({ hello: 1 });
  return Number(primary.split(':')[1]);
}

/** Reads the sale until that succeeds. @returns how long it took. */
async function readsAgain(saleId: string): Promise<number> {
  const startedAt = performance.now();
  await waitUntil(
    async () => {
      const answer = await system.api('GET', `/api/sales/${saleId}`);
      expect([200, 503]).toContain(answer.status);
      if (answer.status === 503) expect(answer.headers.get('retry-after')).toBe('1');
      return answer.status === 200;
    },
    { deadlineMs: electionMs, what: 'the sale can be read again' },
  );
  return performance.now() - startedAt;
}

test('a sale goes on when the primary steps down twice and is killed', async () => {
  system = await startSystem({ mongoUrl: urlOfAll(), nginx: false, plain: true });
  const sale = await system.createSale({ stock: 100_000, limitPerBuyer: 500 });
  const load = startBuyers(system, sale);
  const settlesMore = async () => {
    const { orders } = system.store.collections;
    const goal = load.accepted.length;
    await waitUntil(async () => (await orders.countDocuments({ saleId: sale.id }).catch(() => 0)) >= goal, {
      deadlineMs: 30_000,
      what: `${goal} purchases are settled`,
    });
  };

  for (let round = 0; round < 2; round++) {
    await waitForAccepted(load, 20 + Math.floor(random() * 80));
    const stepped = await portOfPrimary();
    await client.db('admin').command({ replSetStepDown: 5, secondaryCatchUpPeriodSecs: 3 });
    await readsAgain(sale.id);
    await waitForAccepted(load, 50);
    await settlesMore();
    expect(await portOfPrimary()).not.toBe(stepped);
  }

  const primary = await portOfPrimary();
  process.kill(members.find(({ port }) => port === primary)?.mongod.pid ?? Number.NaN, 'SIGKILL');
  await waitForAccepted(load, 50);
  await readsAgain(sale.id);
  await settlesMore();
  await expectNothingLost(system, sale, load);
  // Buying itself needs no MongoDB.
  expect([...load.statuses.keys()].filter((status) => status !== 202)).toEqual([]);
}, 180_000);
