import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Redis as Client } from 'ioredis';
import { pino } from 'pino';
import { io } from 'socket.io-client';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { openRedis, type Redis } from '../../../ops/local/databases/redis.mjs';
import { freePort } from '../../../ops/local/processes/port.mjs';
import { waitUntil } from '../../../ops/local/processes/process.mjs';
import { findProgram } from '../../../ops/local/programs/program.mjs';
import { openPatientRedis } from '../../../runtime/databases/connections.ts';
import type { Purchase, SaleSnapshot, StockMessage } from '../../../sale/contract.ts';
import { openBullQueue } from '../../../sale/queue/bull-queue.ts';
import { keysOf } from '../../../sale/shard.ts';
import { startSystem, type TestSystem } from '../../support/harness.ts';
import { readSamples, valueIn } from '../../support/samples.ts';
import { expectNothingLost, startBuyers, waitForAccepted } from '../support/buyers.ts';

/** Redis Cluster: three masters, one of which has a replica, hold the shards of the sales. */

const env = { RECONCILE_INTERVAL_MS: '500', RECONCILE_AFTER_MS: '3000', SHARDS: '16' };
const slots = 16_384;
const nodeArgs = [
  '--cluster-enabled',
  'yes',
  '--cluster-node-timeout',
  '1500',
  '--cluster-require-full-coverage',
  'no',
  '--repl-diskless-sync-delay',
  '0',
];
const argsOf: string[][] = [];

let dir: string;
let system: TestSystem;
const nodes: Redis[] = [];

const commanding = async <Value>(
  { port }: Redis,
  work: (client: Client) => Promise<Value>,
): Promise<Value> => {
  const client = new Client(port);
  try {
    return await work(client);
  } finally {
    client.disconnect();
  }
};
const idOf = (node: Redis) => commanding(node, async (client) => String(await client.cluster('MYID')));
const soon = { deadlineMs: 30_000 };

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'stampede-cluster-'));
  for (const name of ['a', 'b', 'c', 'replica']) {
    const args = [...nodeArgs, '--cluster-port', String(await freePort())];
    argsOf.push(args);
    nodes.push(await openRedis({ dataDir: join(dir, name), args }));
  }
  const [first] = nodes as [Redis];
  for (const [n, node] of nodes.slice(0, 3).entries()) {
    const [from, to] = [Math.floor((n * slots) / 3), Math.floor(((n + 1) * slots) / 3) - 1];
    await commanding(node, (client) => client.call('CLUSTER', 'ADDSLOTSRANGE', from, to));
    await commanding(node, (client) => client.call('CLUSTER', 'SET-CONFIG-EPOCH', n + 1));
  }
  for (const node of nodes.slice(1)) {
    const busPort = await commanding(node, async (client) => {
      const [, port] = (await client.config('GET', 'cluster-port')) as string[];
      return Number(port);
    });
    await commanding(first, (client) => client.call('CLUSTER', 'MEET', '127.0.0.1', node.port, busPort));
  }
  await Promise.all(nodes.map(isWhole));
  const hosts = nodes.map(({ port }) => `127.0.0.1:${port}`).join(',');
  system = await startSystem({
    nginx: false,
    plain: true,
    servers: 2,
    env: { ...env, REDIS_URL: `redis+cluster://${hosts}` },
  });
}, 120_000);

afterAll(async () => {
  await system?.close();
  for (const node of nodes) await node.close();
  await rm(dir, { recursive: true });
});

const isWhole = (node: Redis) =>
  waitUntil(
    async () => {
      const info = await commanding(node, (client) => client.call('CLUSTER', 'INFO'));
      return /cluster_state:ok/.test(String(info)) && /cluster_known_nodes:4/.test(String(info));
    },
    { ...soon, what: 'a node sees the whole cluster' },
  );

const queuedKeyOf = ({ id }: SaleSnapshot) => keysOf(system.store.gate.shardOf(id)).queued;

/** The node that holds a sale's keys. */
async function holderOf(sale: SaleSnapshot): Promise<Redis> {
  for (const node of nodes) {
    const isHolder = await commanding(node, (client) => client.zcard(queuedKeyOf(sale))).then(
      () => true,
      () => false,
    );
    if (isHolder) return node;
  }
  throw new Error('No node has it');
}

const slotOf = (sale: SaleSnapshot) =>
  commanding(nodes[0] as Redis, async (client) => Number(await client.cluster('KEYSLOT', queuedKeyOf(sale))));

/** Moves a sale's slot to another master, key by key, as `redis-cli --cluster reshard` does. */
async function moveSlot(sale: SaleSnapshot, source: Redis, target: Redis): Promise<void> {
  const slot = await slotOf(sale);
  const [sourceId, targetId] = [await idOf(source), await idOf(target)];
  const setSlot = (node: Redis, ...how: string[]) =>
    commanding(node, (client) => client.call('CLUSTER', 'SETSLOT', slot, ...how));
  await setSlot(target, 'IMPORTING', sourceId);
  await setSlot(source, 'MIGRATING', targetId);
  await commanding(source, async (client) => {
    for (;;) {
      const keys = (await client.call('CLUSTER', 'GETKEYSINSLOT', slot, 100)) as string[];
      if (keys.length === 0) return;
      await client.call('MIGRATE', '127.0.0.1', target.port, '', 0, 5_000, 'KEYS', ...keys);
    }
  });
  for (const node of [target, source]) await setSlot(node, 'NODE', targetId);
}

test.skipIf(!findProgram('redis-server'))(
  'sales are bought, settled, cancelled and seen live on three masters, and the audit passes',
  async () => {
    const masters = nodes.slice(0, 3);
    const sales = await Promise.all(
      [...masters, ...masters].map((master) => saleOn(master, () => system.createSale({ stock: 5 }))),
    );
    const [sale] = sales as [SaleSnapshot];
    const socket = io(system.servers[1]?.url ?? '', {
      transports: ['websocket'],
      auth: { token: system.buyerToken() },
    });
    const seen: number[] = [];
    socket.on('stock', ({ saleId, stock }: StockMessage) => saleId === sale.id && seen.push(stock));
    await socket.emitWithAck('watch', { saleId: sale.id });
    const token = system.buyerToken();
    for (const { id } of sales) {
      const { status, body } = await system.buy(id, token, { at: system.servers[0]?.url ?? '' });
      expect(status).toBe(202);
      expect((await system.settled(body.orderId, token)).status).toBe('paid');
      const cancelled = await system.api('DELETE', `/api/orders/${body.orderId}`, { token });
      expect([200, 204]).toContain(cancelled.status);
    }
    await waitUntil(() => seen.includes(4) && seen.at(-1) === 5, { ...soon, what: `stock is live: ${seen}` });
    socket.close();
    for (const { id } of sales)
      await waitUntil(
        async () => (await system.store.redis.hget(system.store.gate.keyOf(id), 'left')) === '5',
        {
          ...soon,
          what: 'the gate has its unit again',
        },
      );
    await system.quiet();
    expect(await system.audit()).toMatchObject({ ok: true, queued: 0 });
  },
  60_000,
);

/** A sale whose keys are on this node. */
async function saleOn(node: Redis, create: () => Promise<SaleSnapshot>): Promise<SaleSnapshot> {
  for (;;) {
    const sale = await create();
    if ((await holderOf(sale)) === node) return sale;
  }
}

async function createRoom(): Promise<SaleSnapshot> {
  const { product } = await system.createSale();
  const [opensAt, closesAt] = [1, 2].map((hours) => new Date(Date.now() + hours * 3_600_000));
  const price = { amount: 1_000, currency: 'EUR' };
  const body = { productId: product.id, price, stock: 5, opensAt, closesAt, mode: 'room' };
  return (await system.api('POST', '/api/sales', { token: system.adminToken, body })).body;
}

test.skipIf(!findProgram('redis-server'))(
  'a worker that loses its shard while it connects takes it up again later',
  async () => {
    const { config } = system.store;
    const log = pino({ level: 'silent' });
    const shard = config.SHARDS;
    const losing = new AbortController();
    let opened = 0;
    const queue = openBullQueue(
      (options) => {
        opened += 1;
        // The connection on which it waits for jobs is being made by then.
        if (opened === 3) queueMicrotask(() => losing.abort());
        return openPatientRedis(config, log, options);
      },
      { shards: [shard], shardOfSale: () => shard },
      { lockMs: 3_000, firstRetryMs: 50 },
      log,
    );
    const done: unknown[] = [];
    const process = (signal: AbortSignal) =>
      queue.process(shard, 10, async (data) => void done.push(data), signal);
    await process(losing.signal).catch(() => {});
    await queue.add([{ purchases: [{ saleId: 'a-sale' } as Purchase] }]);
    const leaving = new AbortController();
    const again = process(leaving.signal).catch(() => process(leaving.signal));
    await waitUntil(() => done.length === 1, { ...soon, what: 'the job is done' });
    leaving.abort();
    await again;
    await queue.close();
  },
  60_000,
);

test.skipIf(!findProgram('redis-server'))(
  'while a master without a replica is away, what the others have is sold, settled, found, counted and repaired',
  async () => {
    const [other, dead] = nodes as [Redis, Redis];
    const create = () => system.createSale({ stock: 20, limitPerBuyer: 10 });
    const [sale, lost] = [await saleOn(other, create), await saleOn(dead, create)];
    const room = await saleOn(other, createRoom);
    const { gate, queue, redis } = system.store;
    const bull = queue.bulls[queue.shards.indexOf(gate.shardOf(sale.id))];
    const [one, another] = system.servers.map(({ url }) => url) as [string, string];
    const token = system.buyerToken();
    const place = `/api/sales/${room.id}/places`;
    expect((await system.api('POST', place, { token })).status).toBe(200);
    process.kill(dead.pid, 'SIGKILL');
    await dead.ended;
    try {
      for (const at of [one, another]) {
        const { status, body } = await system.buy(sale.id, token, { at });
        expect(status).toBe(202);
        expect((await system.settled(body.orderId, token)).status).toBe('paid');
        expect((await system.buy(lost.id, token, { at })).status).toBe(503);
        expect((await system.api('GET', '/readyz', { at })).status).toBe(200);
      }

      await bull?.pause();
      const { body } = await system.buy(sale.id, token, { at: one });
      const found = await system.api('GET', `/api/orders/${body.orderId}`, { token, at: another });
      expect(found).toMatchObject({ status: 200, body: { status: 'queued' } });
      const list = await system.api('GET', '/api/orders', { token, at: another });
      expect(list).toMatchObject({ status: 200, body: { queuedOmitted: true } });
      expect(list.body.orders.map(({ id }: { id: string }) => id)).toContain(body.orderId);
      const unknown = await system.api('GET', `/api/orders/${'x'.repeat(22)}`, { token, at: another });
      expect(unknown.status).toBe(503);
      for (const url of [one, system.workers[0]?.url ?? '']) {
        const samples = readSamples((await system.api<string>('GET', '/metrics', { at: url })).body);
        expect(valueIn(samples, 'stampede_queue_purchases')).toBe(1);
        expect(valueIn(samples, 'stampede_oldest_unsettled_seconds')).toBeGreaterThan(0);
        expect(valueIn(samples, 'stampede_dependency_up', { dependency: 'redis' })).toBe(1);
        expect(valueIn(samples, 'stampede_dependency_up', { dependency: 'redis-master' })).toBe(0);
      }
      await system.changeSale(room.id, { opensAt: new Date(Date.now() + 1_000) });
      await waitUntil(
        async () => (await system.api('GET', `${place}/mine`, { token })).body.state === 'called',
        { ...soon, what: 'people are called into a room' },
      );
      // As after a crash: a purchase without its job, and a gate that counts a unit too few.
      for (const job of (await bull?.getJobs(['paused', 'waiting'])) ?? []) await job.remove();
      await redis.hincrby(gate.keyOf(sale.id), 'left', -1);
      await bull?.resume();
      expect((await system.settled(body.orderId, token)).status).toBe('paid');
      await waitUntil(async () => (await gate.unitsLeft(sale.id)) === 17, {
        ...soon,
        what: 'the gate is corrected',
      });
    } finally {
      const args = argsOf[1] as string[];
      nodes[1] = await openRedis({ dataDir: join(dir, 'b'), port: dead.port, args });
    }
    await Promise.all(nodes.map(isWhole));
    await waitUntil(async () => (await system.buy(lost.id, token, { at: one })).status === 202, {
      ...soon,
      what: 'the sale of the master that is back goes on',
    });
    await system.quiet();
    expect(await system.audit()).toMatchObject({ ok: true, queued: 0 });
  },
  120_000,
);

test.skipIf(!findProgram('redis-server'))(
  'a sale goes on while its slot moves to another master, and after that master is killed',
  async () => {
    const sale = await system.createSale({ stock: 100_000, limitPerBuyer: 500 });
    const load = startBuyers(system, sale, { triesMax: 600 });
    await waitForAccepted(load, 100);
    const source = await holderOf(sale);
    const target = nodes.find((node) => node !== source && node !== nodes[3]) as Redis;
    await moveSlot(sale, source, target);
    await waitForAccepted(load, 100);
    expect(await holderOf(sale)).toBe(target);

    const replica = nodes[3] as Redis;
    const targetId = await idOf(target);
    await commanding(replica, (client) => client.call('CLUSTER', 'REPLICATE', targetId));
    await waitUntil(
      async () => (await commanding(target, (client) => client.info('replication'))).includes('state=online'),
      { ...soon, what: 'the replica follows its master' },
    );
    process.kill(target.pid, 'SIGKILL');
    await waitForAccepted(load, 100);
    await load.stop();
    expect([...load.statuses.keys()].filter((status) => ![202, 503].includes(status))).toEqual([]);
    await waitUntil(async () => (await load.resendUnknown()) === 0, { ...soon, what: 'all is known' });
    await expectNothingLost(system, sale, load);
  },
  120_000,
);
