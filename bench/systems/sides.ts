import { findUnrelayed } from '../../log/relay.ts';
import { openBus } from '../../messages/open-bus.ts';
import { waitUntil } from '../../ops/local/processes/process.mjs';
import { openLog } from '../../runtime/observe/log.ts';
import { admissionLimitsOf, openAdmission } from '../../sale/admission/admission.ts';
import type { Purchase } from '../../sale/contract.ts';
import { bullOf } from '../../sale/queue/bull-queue.ts';
import { findSale } from '../../sale/sale.ts';
import { requeueLost } from '../../sale/settlement/lost-purchases.ts';
import { countUnfinished, enqueueAll, openPlainQueue } from './plain/queue.ts';
import { type OwnStage, openOwnStage } from './stage.ts';

/** One of the systems that are compared, all of the same shape: nginx, two servers, MongoDB and Redis of their own. */
export interface Side {
  name: SideName;
  stage: OwnStage;
  /** Accepted purchases without an order. */
  countPending(): Promise<number>;
  /** Whether what follows the orders, of all sales or of these, is done as well. */
  isDone(saleIds?: string[]): Promise<boolean>;
  /** Its queue, reached without HTTP; null when it has none. */
  queue: {
    enqueue(purchases: Purchase[]): Promise<void>;
    pause(): Promise<void>;
    resume(): Promise<void>;
  } | null;
  close(): Promise<void>;
}

/** Waits until nothing that a side accepted is on its way, and what follows the orders is done as well. */
export async function waitUntilDone(
  { name, countPending, isDone }: Side,
  deadlineSeconds: number,
  saleIds?: string[],
): Promise<void> {
  await waitUntil(async () => (await countPending()) === 0 && (await isDone(saleIds)), {
    deadlineMs: deadlineSeconds * 1_000,
    what: `${name}: accepted purchases are still queued, or what follows their orders is not done`,
    // A look at 10,000 sales keeps MongoDB busy for a tenth of a second, which would be counted as the purchases'.
    everyMs: 500,
  });
}

export const sideNames = ['stampede', 'queue', 'sync'] as const;
export type SideName = (typeof sideNames)[number];

/** As many purchases as a server flushes at once when 200 connections share two of them. */
const flushSize = 100;

/** Stampede on a stage that is open. */
export function stampedeOn(stage: OwnStage): Side {
  const { system } = stage;
  const { queue, gate, config } = system;
  const { admit } = openAdmission({
    redis: system.redis,
    gate,
    queue,
    findSale: (saleId) => findSale(system.collections, saleId),
    requeueLost: ({ orderId }) => requeueLost(system, [orderId]),
    limits: { ...admissionLimitsOf(config), flushMaxPurchases: flushSize, flushMaxWaiting: flushSize },
  });
  async function enqueue(purchases: Purchase[]): Promise<void> {
    for (let start = 0; start < purchases.length; start += flushSize) {
      const answers = await Promise.all(purchases.slice(start, start + flushSize).map(admit));
      const refused = answers.find(({ outcome }) => outcome !== 'admitted');
      if (refused) throw new Error(`The backlog was refused: ${refused.outcome}`);
    }
  }
  const bus = openBus(config, openLog(config, 'bench'), () => false);
  return {
    name: 'stampede',
    stage,
    countPending: gate.countQueued,
    // Its events, which travel after a rush, and whoever subscribed to them.
    isDone: async (saleIds) =>
      (await findUnrelayed(system.collections, saleIds)).length === 0 &&
      (await bus.countWaiting('analytics')) === 0,
    queue: { enqueue, pause: () => bullOf(queue).pause(), resume: () => bullOf(queue).resume() },
    async close() {
      await bus.close();
      await stage.close();
    },
  };
}

/**
 * Enough connections, and time to wait for one: a plain app sets no such deadline. 'sync' accepted 169, 179, 167, 166
 * and 212 a second with 5, 10, 20, 50 and 100 (median of 3 in one run).
 */
const patientMongo = { MONGO_POOL_CONNECTIONS: '100', MONGO_WAIT_MS: '30000' };

/** Drained/s with 5, 10, 20, 50 and 100 jobs at once: 188, 260, 301, 306, 272 (median of 3 in one run). */
const jobsAtOnce = 50;

async function openQueueSide(): Promise<Side> {
  const stage = await openOwnStage({
    entries: { server: 'bench/systems/plain/queue-server.ts', worker: 'bench/systems/plain/queue-worker.ts' },
    plain: true,
    env: { ...patientMongo, SETTLE_MAX_JOBS: String(jobsAtOnce) },
  });
  const queue = openPlainQueue(stage.scratch.redis().tcpUrl);
  return {
    name: 'queue',
    stage,
    countPending: () => countUnfinished(queue),
    isDone: async () => true,
    queue: {
      enqueue: (purchases) => enqueueAll(queue, purchases),
      pause: () => queue.pause(),
      resume: () => queue.resume(),
    },
    async close() {
      await queue.close();
      await stage.close();
    },
  };
}

async function openSyncSide(): Promise<Side> {
  const stage = await openOwnStage({
    workers: 0,
    plain: true,
    entries: { server: 'bench/systems/plain/sync-server.ts', worker: '' },
    env: patientMongo,
  });
  return {
    name: 'sync',
    stage,
    countPending: async () => 0,
    isDone: async () => true,
    queue: null,
    close: stage.close,
  };
}

/** All that `compare` compares. */
export const comparedSides = [async () => stampedeOn(await openOwnStage()), openQueueSide, openSyncSide];

/** Opens sides that stay up together: one that is idle costs next to nothing, which `compare` checks. */
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
