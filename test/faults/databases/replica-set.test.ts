import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import mongoose from 'mongoose';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { findMongod } from '../../../ops/local/databases/mongod.mjs';
import { cacheFolder, ROOT } from '../../../ops/local/folders.mjs';
import { freePort } from '../../../ops/local/processes/port.mjs';
import { type Launched, launch, run, stop, waitUntil } from '../../../ops/local/processes/process.mjs';
import { openRandom } from '../../nemesis/random.ts';
import { startSystem, type TestSystem } from '../../support/harness.ts';
import { expectNothingLost, seed, startBuyers, waitForAccepted } from '../support/buyers.ts';

/** MongoDB with three members, named by a URL with three hosts, and a hidden one that is some seconds behind. */

type Client = mongoose.mongo.MongoClient;
const { MongoClient } = mongoose.mongo;
const random = openRandom(seed);
/** The time of an election, with a margin for a loaded machine. */
const electionMs = 20_000;

/** How far the hidden member is behind; in a shop an hour. */
const delaySeconds = 6;

let dir: string;
let binary: string;
let members: Member[];
let delayed: Member;
let client: Client;
let system: TestSystem;

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'stampede-members-'));
  ({ binary } = await findMongod({ cacheDir: cacheFolder(), report: console.log }));
  members = await Promise.all([0, 1, 2].map((n) => startMember(n)));
  delayed = await startMember(3);
  const direct = await connectTo(members[0] as Member);
  const hosts = [
    ...members.map(({ port }, _id) => ({ _id, host: `127.0.0.1:${port}` })),
    { _id: 3, host: `127.0.0.1:${delayed.port}`, ...behind(delaySeconds) },
  ];
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
  await Promise.all([...members, delayed].map(({ mongod }) => stop(mongod)));
  await rm(dir, { recursive: true });
});

interface Member {
  port: number;
  dbpath: string;
  mongod: Launched;
}

/** A member that is `seconds` behind has no vote and is not asked. */
const behind = (seconds: number) => {
  const counts = seconds > 0 ? 0 : 1;
  return { priority: counts, votes: counts, hidden: seconds > 0, secondaryDelaySecs: seconds };
};

async function startMember(n: number): Promise<Member> {
  const dbpath = await mkdtemp(join(dir, `member-${n}-`));
  const port = await freePort();
  return { port, dbpath, mongod: await launchMember(port, dbpath) };
}

function launchMember(port: number, dbpath: string): Promise<Launched> {
  const where = ['--bind_ip', '127.0.0.1', '--port', String(port), '--dbpath', dbpath, '--nounixsocket'];
  const as = ['--replSet', 'three', '--wiredTigerCacheSizeGB', '0.25', '--quiet'];
  const more = ['--setParameter', 'transactionLifetimeLimitSeconds=3'];
  return launch(`member-${port}`, binary, [...where, ...as, ...more], { logFile: `${dbpath}.log` });
}

const urlOf = ({ port }: Member) => `mongodb://127.0.0.1:${port}/?directConnection=true`;

async function connectTo(member: Member): Promise<Client> {
  const direct = new MongoClient(urlOf(member), { readPreference: 'secondaryPreferred' });
  return await waitUntil(() => direct.connect(), { deadlineMs: 30_000, what: 'the member answers' });
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

test('a sale goes on when the primary steps down twice and is killed, and goes back to before a mistake', async () => {
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

  // A mistake that every other member repeats is not on the delayed one yet: the shop goes back to before it.
  const orders = await system.store.collections.orders.find({ saleId: sale.id }).toArray();
  const ofDelayed = await connectTo(delayed);
  const database = system.store.collections.connection.name;
  const countAt = (at: Client) => at.db(database).collection('orders').countDocuments({ saleId: sale.id });
  await waitUntil(async () => (await countAt(ofDelayed)) === orders.length, {
    deadlineMs: 60_000,
    what: 'the delayed member has all orders',
  });
  await ofDelayed.close();
  await system.store.collections.orders.deleteMany({ saleId: sale.id });
  process.kill(delayed.mongod.pid, 'SIGKILL');
  await delayed.mongod.ended;
  // At another address it is no member any more, so that it repeats nothing.
  delayed.port = await freePort();
  delayed.mongod = await launchMember(delayed.port, delayed.dbpath);
  const recovered = await connectTo(delayed);
  const admin = recovered.db('admin');
  const { config } = await admin.command({ replSetGetConfig: 1 });
  const alone = config.members.filter(({ _id }: { _id: number }) => _id === 3);
  const only = alone.map((member: object) => ({
    ...member,
    ...behind(0),
    host: `127.0.0.1:${delayed.port}`,
  }));
  await admin.command({
    replSetReconfig: { ...config, members: only, version: config.version + 1 },
    force: true,
  });
  await waitUntil(async () => (await admin.command({ hello: 1 })).isWritablePrimary, {
    deadlineMs: electionMs,
    what: 'the delayed member is a primary of its own',
  });
  expect(await countAt(recovered)).toBe(orders.length);
  await recovered.close();
  const { stdout } = await run(process.execPath, ['run.mjs', 'commands/audit.ts'], {
    cwd: ROOT,
    env: { ...process.env, ...system.env, MONGO_URL: urlOf(delayed).replace('/?', `/${database}?`) },
    deadlineMs: 60_000,
  });
  expect(JSON.parse(stdout.trim().split('\n').at(-1) ?? '')).toMatchObject({ ok: true, queued: 0 });
}, 240_000);
