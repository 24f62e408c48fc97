import { findUnrelayed } from '../../log/relay.ts';
import { openBus } from '../../messages/open-bus.ts';
import { waitUntil } from '../../ops/local/processes/process.mjs';
import { openLog } from '../../runtime/observe/log.ts';
import { admissionLimitsOf, openAdmission } from '../../sale/admission/admission.ts';
import type { Purchase } from '../../sale/contract.ts';
import { findSale } from '../../sale/sale.ts';
import { requeueLost } from '../../sale/settlement/lost-purchases.ts';
import { countUnfinished, enqueueAll, openPlainQueue } from './plain/queue.ts';
import { type OwnTestbed, openOwnTestbed } from './testbed.ts';

/** A system under test. Each has its own nginx, two servers, MongoDB and Redis. */
export interface Side {
  name: SideName;
  testbed: OwnTestbed;
  /** Accepted purchases without an order. */
  countPending(): Promise<number>;
  /** Whether the events of the orders, of all sales or of these, have reached their subscribers. */
  isDone(saleIds?: string[]): Promise<boolean>;
  /** Its queue, for filling it without HTTP; null when it has none. */
  queue: {
    enqueue(purchases: Purchase[]): Promise<void>;
    pause(): Promise<void>;
    resume(): Promise<void>;
  } | null;
  close(): Promise<void>;
}

/** Waits until everything that a side accepted is settled, and its events have reached their subscribers. */
export async function waitUntilDone(
  { name, countPending, isDone }: Side,
  deadlineSeconds: number,
  saleIds?: string[],
): Promise<void> {
  await waitUntil(async () => (await countPending()) === 0 && (await isDone(saleIds)), {
    deadlineMs: deadlineSeconds * 1_000,
    what: `${name}: accepted purchases are still queued, or their events have not reached the subscribers`,
    // Checking 10,000 sales keeps MongoDB busy for a tenth of a second, which would be counted as cost of the purchases.
    everyMs: 500,
  });
}

export const sideNames = ['stampede', 'queue', 'sync'] as const;
export type SideName = (typeof sideNames)[number];

/** Purchases that a server flushes at once when two servers share 200 connections. */
const flushSize = 100;

/** Stampede as a system under test, on an open testbed. */
export function stampedeOn(testbed: OwnTestbed): Side {
  const { system } = testbed;
  const { queue, gate, config } = system;
  const { admit } = openAdmission({
    redis: system.redis,
    gate,
    queue,
    findSale: (saleId) => findSale(system.collections, saleId),
    requeueLost: ({ orderId, saleId }) => requeueLost(system, gate.shardOf(saleId), [orderId]),
    limits: { ...admissionLimitsOf(config), flushMaxPurchases: flushSize, flushMaxWaiting: flushSize },
  });
  async function enqueue(purchases: Purchase[]): Promise<void> {
    for (let start = 0; start < purchases.length; start += flushSize) {
      const flush = purchases.slice(start, start + flushSize);
      const answers = await Promise.all(flush.map((purchase) => admit(purchase)));
      const refused = answers.find(({ outcome }) => outcome !== 'admitted');
      if (refused) throw new Error(`A purchase of the backlog was refused: ${refused.outcome}`);
    }
  }
  const bus = openBus(config, openLog(config, 'bench'), () => false);
  return {
    name: 'stampede',
    testbed,
    countPending: gate.countQueued,
    // Events are relayed after a rush, and analytics is the slowest subscriber.
    isDone: async (saleIds) =>
      (await findUnrelayed(system.collections, saleIds)).length === 0 &&
      (await bus.countWaiting('analytics')) === 0,
    queue: {
      enqueue,
      async pause() {
        for (const bull of queue.bulls) await bull.pause();
      },
      async resume() {
        for (const bull of queue.bulls) await bull.resume();
      },
    },
    async close() {
      await bus.close();
      await testbed.close();
    },
  };
}

/**
 * A large connection pool and a long time to wait for it, because a plain app sets no such deadline. 'sync' accepted 169,
 * 179, 167, 166 and 212 a second with 5, 10, 20, 50 and 100 connections (median of 3 in one run).
 */
const plainMongoSettings = { MONGO_POOL_CONNECTIONS: '100', MONGO_WAIT_MS: '30000' };

/** Drained/s with 5, 10, 20, 50 and 100 jobs at once: 188, 260, 301, 306, 272 (median of 3 in one run). */
const jobsAtOnce = 50;

async function openQueueSide(): Promise<Side> {
  const testbed = await openOwnTestbed({
    entries: { server: 'bench/systems/plain/queue-server.ts', worker: 'bench/systems/plain/queue-worker.ts' },
    plain: true,
    env: { ...plainMongoSettings, SETTLE_MAX_JOBS: String(jobsAtOnce) },
  });
  const queue = openPlainQueue(testbed.scratch.redis().tcpUrl);
  return {
    name: 'queue',
    testbed,
    countPending: () => countUnfinished(queue),
    isDone: async () => true,
    queue: {
      enqueue: (purchases) => enqueueAll(queue, purchases),
      pause: () => queue.pause(),
      resume: () => queue.resume(),
    },
    async close() {
      await queue.close();
      await testbed.close();
    },
  };
}

async function openSyncSide(): Promise<Side> {
  const testbed = await openOwnTestbed({
    workers: 0,
    plain: true,
    entries: { server: 'bench/systems/plain/sync-server.ts', worker: '' },
    env: plainMongoSettings,
  });
  return {
    name: 'sync',
    testbed,
    countPending: async () => 0,
    isDone: async () => true,
    queue: null,
    close: testbed.close,
  };
}

/** The sides of `compare`. */
export const comparedSides = [async () => stampedeOn(await openOwnTestbed()), openQueueSide, openSyncSide];

/** Opens sides that run at the same time. An idle side uses almost no CPU, which `compare` checks. */
export async function openSides(
  openers: (() => Promise<Side>)[],
): Promise<{ sides: Side[]; close: () => Promise<void> }> {
  const sides: Side[] = [];
  const close = async () => {
    for (const side of sides) await side.close();
  };
  try {
    for (const open of openers) sides.push(await open());
    return { sides, close };
  } catch (error) {
    await close();
    throw error;
  }
}
