import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { connect } from 'amqplib';
import type Bull from 'bull';
import { nanoid } from 'nanoid';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { openRabbit } from '../../ops/local/databases/rabbit.mjs';
import { openRedis } from '../../ops/local/databases/redis.mjs';
import { waitUntil } from '../../ops/local/processes/process.mjs';
import { type Config, readConfig } from '../../runtime/config.ts';
import { openPatientRedis } from '../../runtime/databases/connections.ts';
import { openHeartbeat } from '../../runtime/leader/heartbeat.ts';
import { openLog } from '../../runtime/observe/log.ts';
import { isRabbitAway } from '../../runtime/rabbit/rabbit.ts';
import { openAdmission } from '../../sale/admission/admission.ts';
import { openGate } from '../../sale/admission/gate.ts';
import type { Purchase } from '../../sale/contract.ts';
import { orderIdOf } from '../../sale/order.ts';
import { openPurchaseQueue } from '../../sale/queue/open-queue.ts';
import type { PurchaseQueue } from '../../sale/queue/queue.ts';
import { shardOf, unsharded } from '../../sale/shard.ts';
import type { SaleRecord } from '../../store/collections.ts';
import { bullOf } from '../support/bull.ts';
import { needs, pathOf } from '../support/needs.ts';
import { queuesAreRegistered } from '../support/registered.ts';

const soon = { deadlineMs: 30_000 };
const hourMs = 3_600_000;

function purchaseOf(saleId = 'a-sale', buyerId = nanoid()): Purchase {
  const idempotencyKey = nanoid();
  const orderId = orderIdOf(buyerId, saleId, idempotencyKey);
  return { orderId, saleId, buyerId, quantity: 1, idempotencyKey, createdAt: new Date().toISOString() };
}

function saleOf(stock: number): SaleRecord {
  const [opensAt, closesAt] = [new Date(Date.now() - hourMs), new Date(Date.now() + hourMs)];
  const units = { stock, unitsOnSale: stock, stockVersion: 0, limitPerBuyer: 5, eventSeq: 0, revision: 1 };
  const price = { amount: 100, currency: 'EUR' };
  return {
    _id: nanoid(),
    productId: 'a-lamp',
    price,
    opensAt,
    closesAt,
    paused: false,
    ...units,
  } as SaleRecord;
}

/** Redis, RabbitMQ if the engine needs it, and the queue as several processes open it. */
async function openTestbed(engine: Config['PURCHASE_QUEUE']) {
  const dir = await mkdtemp(join(tmpdir(), 'stampede-queue-'));
  const inRedis = join(dir, 'redis');
  const inRabbit = join(dir, 'rabbitmq');
  let redis = await openRedis({ dataDir: inRedis });
  let broker = engine === 'rabbitmq' ? await openRabbit({ dataDir: inRabbit }) : null;
  const config = readConfig({
    MONGO_URL: 'mongodb://127.0.0.1:1/unused',
    REDIS_URL: redis.url,
    JWT_SECRET: 'x'.repeat(32),
    LOG_LEVEL: 'silent',
    SHARDS: '2',
    PURCHASE_QUEUE: engine,
    FLUSH_DEADLINE_MS: '3000',
    TEST_OPTIONS: 'PURCHASE_RETRY_FIRST_MS=50',
    ...(broker && { RABBITMQ_URL: broker.url }),
  });
  const log = openLog(config, 'test');
  const client = openPatientRedis(config, log);
  let closers: (() => Promise<void>)[] = [];

  return {
    redis: client.redis,
    broker: () => broker,

    /** Opens the queue with its own connections and heartbeat, as a separate process would. */
    async openQueue(name = nanoid()): Promise<PurchaseQueue> {
      const queue = openPurchaseQueue(config, client.redis, log);
      const heartbeat = openHeartbeat(client.redis, { role: 'worker', instance: name }, queue.held);
      let closing: Promise<void> | null = null;
      const close = () => {
        closing ??= queue.close().then(heartbeat.close);
        return closing;
      };
      closers.push(close);
      await queue.countJobs();
      return { ...queue, close };
    },

    openAdmission(queue: PurchaseQueue, sale: SaleRecord) {
      const gate = openGate(client.redis, config.SHARDS);
      const limits = {
        flushMaxPurchases: 100,
        flushMaxWaiting: 1_000,
        queueMaxPurchases: 1_000,
        memorySeconds: 600,
      };
      const { admit } = openAdmission({
        redis: client.redis,
        gate,
        queue,
        findSale: async () => sale,
        requeueLost: async () => {},
        limits,
      });
      return { admit, gate };
    },

    async closeQueues() {
      await Promise.all(closers.map((close) => close()));
      closers = [];
      await client.redis.flushall();
    },
    /** Sends SIGKILL to the engine's server. */
    async kill() {
      const server = broker ?? redis;
      if (broker) await queuesAreRegistered(inRabbit, ['purchases', 'purchases-dlq']);
      process.kill(server.pid, 'SIGKILL');
      await server.ended;
    },
    /** Starts it again on the same data. */
    async start() {
      if (broker) broker = await openRabbit({ dataDir: inRabbit, port: broker.port });
      else redis = await openRedis({ dataDir: inRedis, port: redis.port });
    },
    /** As an operator with RabbitMQ's tools would. */
    async deleteQueue(name: string) {
      const connection = await connect(broker?.url ?? '');
      await (await connection.createChannel()).deleteQueue(name);
      await connection.close();
    },
    async close() {
      await client.close();
      await redis.close();
      await broker?.close();
      await rm(dir, { recursive: true });
    },
  };
}

type Testbed = Awaited<ReturnType<typeof openTestbed>>;

const forever = () => new AbortController().signal;

const processAll = (queue: PurchaseQueue, handle: (data: unknown) => Promise<void>, signal: AbortSignal) =>
  Promise.all(queue.shards.map((shard) => queue.process(shard, 10, handle, signal)));

/** A worker that records its jobs; `fault` may return an error for one. */
type Fault = (data: unknown) => Error | undefined | Promise<Error | undefined>;

function worker(queue: PurchaseQueue, fault: Fault = () => undefined) {
  const handed: unknown[] = [];
  const done: unknown[] = [];
  const handle = async (data: unknown) => {
    handed.push(data);
    const error = await fault(data);
    if (error) throw error;
    done.push(data);
  };
  void processAll(queue, handle, forever());
  const does = (count: number) =>
    waitUntil(() => done.length >= count, { ...soon, what: `${count} jobs are done` });
  return { handed, done, does };
}

const empty = (queue: PurchaseQueue) =>
  waitUntil(
    async () => {
      const { waiting, active, delayed } = await queue.countJobs();
      return waiting + active + delayed === 0;
    },
    { ...soon, what: 'the queue is empty' },
  );

const engines = ['bull', ...(pathOf('RabbitMQ') ? (['rabbitmq'] as const) : [])] as const;

describe.each(engines)('the queue of purchases on %s', (engine) => {
  let testbed: Testbed;
  beforeAll(async () => {
    testbed = await openTestbed(engine);
  });
  afterEach(async () => {
    const queue = await testbed.openQueue();
    worker(queue);
    await empty(queue);
    for (const { id } of await queue.listDeadLetters({ limit: 100 })) await queue.removeDeadLetter(id);
    await testbed.closeQueues();
  });
  afterAll(() => testbed.close());

  test('a job waits for a worker, is delivered unchanged, and is removed when it is done', async () => {
    const queue = await testbed.openQueue();
    const jobs = Array.from({ length: 25 }, () => ({ purchases: [purchaseOf(), purchaseOf()] }));
    const before = Date.now();
    expect(await queue.add(jobs)).toBeGreaterThanOrEqual(before - 1);
    expect(await queue.countJobs()).toMatchObject({ waiting: 25, failed: 0 });
    const { done, does } = worker(await testbed.openQueue());
    await does(25);
    expect(new Set(done.map((data) => JSON.stringify(data)))).toEqual(
      new Set(jobs.map((job) => JSON.stringify(job))),
    );
    await empty(queue);
    expect(done).toHaveLength(25);
  });

  test('a flush adds one job for the admitted purchases, and none when all were refused', async () => {
    const queue = await testbed.openQueue();
    const sale = saleOf(3);
    const { admit } = testbed.openAdmission(queue, sale);
    const first = purchaseOf(sale._id);
    expect(await admit(first)).toEqual({ outcome: 'admitted' });
    const crowd = Array.from({ length: 5 }, () => purchaseOf(sale._id));
    const outcomes = (await Promise.all(crowd.map((purchase) => admit(purchase)))).map(
      ({ outcome }) => outcome,
    );
    expect(outcomes).toEqual(['admitted', 'admitted', 'sold_out', 'sold_out', 'sold_out']);
    expect((await admit(purchaseOf(sale._id))).outcome).toBe('sold_out');
    expect(await admit(first)).toEqual({ outcome: 'known', purchase: first });
    expect((await queue.countJobs()).waiting).toBe(2);
    const { done, does } = worker(await testbed.openQueue());
    await does(2);
    expect(done).toContainEqual({ purchases: [first] });
    expect(done).toContainEqual({ purchases: crowd.slice(0, 2) });
  });

  test('a failed job is retried until it succeeds', async () => {
    const queue = await testbed.openQueue();
    let faults = 0;
    const { handed, does } = worker(queue, () => (++faults < 3 ? new Error('not yet') : undefined));
    await queue.add([{ purchases: [purchaseOf()] }]);
    await does(1);
    expect(handed).toHaveLength(3);
    await empty(queue);
    expect(await queue.listDeadLetters()).toEqual([]);
  });

  test('a job that fails five times becomes a dead letter, which can be republished once, and others are handled', async () => {
    const [queue, other] = [await testbed.openQueue(), await testbed.openQueue()];
    const [bad, good] = [{ purchases: [purchaseOf()] }, { purchases: [purchaseOf()] }];
    const isBad = (data: unknown) => JSON.stringify(data).includes(bad.purchases[0]?.orderId ?? '');
    let isMended = false;
    const { handed, done, does } = worker(queue, (data) =>
      isBad(data) && !isMended ? new Error('The guard refused it') : undefined,
    );
    await queue.add([bad, good]);
    await does(1);
    expect(done).toEqual([good]);
    const [letter] = await waitUntil(
      async () => {
        const letters = await other.listDeadLetters();
        return letters.length > 0 ? letters : null;
      },
      { ...soon, what: 'a dead letter' },
    );
    expect(letter).toMatchObject({ reason: 'The guard refused it', attempts: 5, data: bad });
    expect(handed.filter(isBad)).toHaveLength(5);
    expect(letter?.stacks).toHaveLength(5);
    expect(Date.parse(letter?.failedAt ?? '')).toBeGreaterThan(Date.now() - 60_000);
    const id = letter?.id ?? '';
    expect(await queue.findDeadLetter(id)).toEqual(letter);
    await waitUntil(async () => (await queue.countJobs()).failed === 1, { ...soon, what: 'it is counted' });
    await waitUntil(async () => (await queue.oldestJobMs(unsharded)) === Number.POSITIVE_INFINITY, {
      ...soon,
      what: 'it is not taken for an unfinished job',
    });

    isMended = true;
    const republished = await Promise.all([queue.republish(id), other.republish(id)]);
    expect(republished).toContain(true);
    await does(2);
    expect(done.at(-1)).toEqual({ ...bad, again: true });
    expect(await queue.republish(id)).toBe(false);
    expect(await queue.findDeadLetter(id)).toBeNull();
    expect(await queue.removeDeadLetter(id)).toBe(false);
  });

  test('a malformed job becomes a dead letter with its original content, and can be discarded', async () => {
    const queue = await testbed.openQueue();
    worker(queue, () => new Error('Not a purchase'));
    await queue.add([{ nonsense: 'at all' } as never]);
    const [letter] = await waitUntil(
      async () => {
        const letters = await queue.listDeadLetters();
        return letters.length > 0 ? letters : null;
      },
      { ...soon, what: 'a dead letter' },
    );
    expect(letter?.data).toEqual({ nonsense: 'at all' });
    expect(await queue.removeDeadLetter(letter?.id ?? '')).toBe(true);
    expect(await queue.removeDeadLetter(letter?.id ?? '')).toBe(false);
    expect(await queue.listDeadLetters()).toEqual([]);
  });

  test('another worker retries a job that failed while its worker closed', async () => {
    const [first, second] = [await testbed.openQueue(), await testbed.openQueue()];
    const { handed } = worker(first, () => new Error('not here'));
    await first.add([{ purchases: [purchaseOf()] }]);
    await waitUntil(() => handed.length > 0, { ...soon, what: 'the first has it' });
    await first.close();
    await worker(second).does(1);
  });

  test('the age of the oldest job is known while one is queued or active', async () => {
    const [queue, busy] = [await testbed.openQueue(), await testbed.openQueue()];
    expect(await queue.oldestJobMs(unsharded)).toBe(Number.POSITIVE_INFINITY);
    let finish = () => {};
    void processAll(busy, () => new Promise<void>((resolve) => (finish = resolve)), forever());
    const addedAtMs = await queue.add([{ purchases: [purchaseOf()] }]);
    await waitUntil(async () => (await queue.countJobs()).active === 1, {
      ...soon,
      what: 'the job is in hand',
    });
    expect(await queue.oldestJobMs(unsharded)).toBe(addedAtMs);
    finish();
    await waitUntil(async () => (await queue.oldestJobMs(unsharded)) === Number.POSITIVE_INFINITY, {
      ...soon,
      what: 'no job is left',
    });
  });

  test('a paused worker takes no more jobs, and continues when resumed', async () => {
    const [queue, other] = [await testbed.openQueue(), await testbed.openQueue()];
    const done: unknown[] = [];
    const process = (signal: AbortSignal) => processAll(queue, async (data) => void done.push(data), signal);
    const leaving = new AbortController();
    const first = process(leaving.signal);
    await other.add([{ purchases: [purchaseOf()] }]);
    await waitUntil(() => done.length === 1, { ...soon, what: 'the job is done' });
    leaving.abort();
    await first;
    const left = { purchases: [purchaseOf()] };
    await other.add([left]);
    await delay(500);
    expect([done.length, (await other.countJobs()).waiting]).toEqual([1, 1]);
    void process(forever());
    await waitUntil(() => done.length === 2, { ...soon, what: 'the job that was left is done' });
    expect(done[1]).toEqual(left);
  });

  test('a killed and restarted server keeps every job, and workers continue', async () => {
    const [queue, live] = [await testbed.openQueue(), await testbed.openQueue()];
    const { done } = worker(live);
    await queue.add([{ purchases: [purchaseOf()] }]);
    await waitUntil(() => done.length === 1, { ...soon, what: 'the worker has handled a job' });
    await live.close();
    const jobs = Array.from({ length: 10 }, () => ({ purchases: [purchaseOf()] }));
    await queue.add(jobs);
    await testbed.kill();
    await testbed.start();
    await worker(await testbed.openQueue()).does(10);
  });
});

describe('the queue of purchases on Bull, whose worker Redis refuses', () => {
  let testbed: Testbed;
  beforeAll(async () => {
    testbed = await openTestbed('bull');
  });
  afterEach(() => testbed.closeQueues());
  afterAll(() => testbed.close());

  test('a failure that a full Redis cannot record is not counted as an attempt', async () => {
    const queue = await testbed.openQueue();
    let isFirst = true;
    const { handed } = worker(queue, () => {
      if (isFirst) void testbed.redis.config('SET', 'maxmemory', '1');
      isFirst = false;
      return new Error('The guard refused it');
    });
    await testbed.redis.config('RESETSTAT');
    await queue.add([{ purchases: [purchaseOf()] }]);
    await waitUntil(async () => (await testbed.redis.info('errorstats')).includes('EXECABORT'), {
      ...soon,
      what: 'Redis refuses to record the failure',
      everyMs: 1,
    });
    await testbed.redis.config('SET', 'maxmemory', '0');
    const [letter] = await waitUntil(
      async () => {
        const letters = await queue.listDeadLetters();
        return letters.length > 0 ? letters : null;
      },
      { deadlineMs: 45_000, what: 'a dead letter' },
    );
    expect(letter).toMatchObject({ reason: 'The guard refused it', attempts: 5 });
    expect(letter?.stacks).toHaveLength(5);
    expect(handed).toHaveLength(6);
  });

  test('a job whose workers stalled becomes a dead letter with that reason and its earlier error', async () => {
    const queue = await testbed.openQueue();
    const bull = bullOf(queue);
    const job = await bull.add({ purchases: [purchaseOf()] }, { attempts: 5 });
    const key = bull.toKey(String(job.id));
    await testbed.redis.hset(key, 'stalledCounter', 5, 'attemptsMade', 1);
    await testbed.redis.hset(key, 'stacktrace', JSON.stringify(['Error: The guard refused it\n  at …']));
    // As a killed worker leaves it.
    await testbed.redis.rpoplpush(bull.toKey('wait'), bull.toKey('active'));
    const { handed } = worker(queue);
    const letter = await waitUntil(() => queue.findDeadLetter(`0-${job.id}`), {
      ...soon,
      what: 'it is dead',
    });
    expect(letter).toMatchObject({
      reason: '6 workers died or lost their lock while handling it; last error: Error: The guard refused it',
      attempts: 7,
    });
    expect(handed).toEqual([]);
  });

  test('a handled job whose lock was lost is not retried', async () => {
    const queue = await testbed.openQueue();
    const job = { purchases: [purchaseOf()] };
    const bull = queue.bulls[shardOf(job.purchases[0]?.saleId ?? '', 2)] as Bull.Queue;
    const id = Number((await testbed.redis.get(bull.toKey('id'))) ?? 0) + 1;
    let isFirst = true;
    const { done, does } = worker(queue, async () => {
      if (isFirst) await testbed.redis.del(bull.toKey(`${id}:lock`));
      isFirst = false;
      return undefined;
    });
    const failures: unknown[] = [];
    bull.on('failed', (_job, error) => failures.push(error));
    await queue.add([job]);
    // Delivered again, because its completion could not be recorded.
    await does(2);
    await empty(queue);
    expect(failures).toEqual([]);
    expect(done).toHaveLength(2);
    expect(await queue.listDeadLetters()).toEqual([]);
  });
});

describe('a flush whose job goes to RabbitMQ', needs('RabbitMQ'), () => {
  let testbed: Testbed;
  beforeAll(async () => {
    testbed = await openTestbed('rabbitmq');
  });
  afterEach(() => testbed.closeQueues());
  afterAll(() => testbed.close());

  test('nothing is admitted while RabbitMQ is unavailable, and the gate keeps its units', async () => {
    const queue = await testbed.openQueue();
    const sale = saleOf(3);
    const { admit, gate } = testbed.openAdmission(queue, sale);
    expect((await admit(purchaseOf(sale._id))).outcome).toBe('admitted');
    await testbed.kill();
    const late = purchaseOf(sale._id);
    await waitUntil(() => admit(late).then(() => false, isRabbitAway), {
      ...soon,
      what: 'the outage is noticed',
    });
    const left = Number(await testbed.redis.hget(gate.keyOf(sale._id), 'left'));
    await expect(admit(purchaseOf(sale._id))).rejects.toSatisfy(isRabbitAway);
    expect(Number(await testbed.redis.hget(gate.keyOf(sale._id), 'left'))).toBe(left);
    await testbed.start();
    const again = await waitUntil(() => admit(late).catch(() => null), { ...soon, what: 'it admits again' });
    expect(['admitted', 'known']).toContain(again.outcome);
    expect(await gate.findPurchase(late.orderId)).toMatchObject({ purchase: late, isQueued: true });
  });

  test('a purchase that RabbitMQ does not confirm is refused in time, and its resend is queued once', async () => {
    const queue = await testbed.openQueue();
    const sale = saleOf(3);
    const { admit, gate } = testbed.openAdmission(queue, sale);
    const { pid = 0 } = testbed.broker() ?? {};
    const purchase = purchaseOf(sale._id);
    process.kill(pid, 'SIGSTOP');
    try {
      const startedAt = performance.now();
      expect(await admit(purchase)).toEqual({ outcome: 'unconfirmed' });
      expect(performance.now() - startedAt).toBeLessThan(5_000);
    } finally {
      process.kill(pid, 'SIGCONT');
    }
    expect(await admit(purchase)).toEqual({ outcome: 'known', purchase });
    expect(await gate.listQueued()).toEqual(new Set([purchase.orderId]));
  });

  test('a deleted queue is created again', async () => {
    const queue = await testbed.openQueue();
    const { does } = worker(queue);
    await queue.add([{ purchases: [purchaseOf()] }]);
    await does(1);
    const sale = saleOf(3);
    const { admit } = testbed.openAdmission(queue, sale);
    await testbed.deleteQueue('purchases');
    await waitUntil(
      async () => (await admit(purchaseOf(sale._id)).catch(() => null))?.outcome === 'admitted',
      {
        ...soon,
        what: 'it admits again',
      },
    );
    await does(2);
  });
});
