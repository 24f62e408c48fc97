import type { Redis } from 'ioredis';
import { onReconnect } from '../../runtime/databases/connections.ts';
import type { LeaderTask } from '../../runtime/leader/leader.ts';
import type { Exclusive } from '../../runtime/mutex.ts';
import type { Log } from '../../runtime/observe/log.ts';
import { pause } from '../../runtime/pause.ts';
import type { Gate } from '../../sale/admission/gate.ts';
import { type GateCheck, openGateCheck } from '../../sale/admission/gate-check.ts';
import type { SaleSnapshot } from '../../sale/contract.ts';
import type { PurchaseQueue } from '../../sale/queue/queue.ts';
import { readSaleSnapshot } from '../../sale/sale.ts';
import { requeueLost } from '../../sale/settlement/lost-purchases.ts';
import type { Collections } from '../../store/collections.ts';

interface GateRepairDependencies {
  collections: Collections;
  /** On a connection whose commands fail while Redis is unavailable. */
  gate: Gate;
  redis: Redis;
  queue: PurchaseQueue;
  /** Runs work while no settling transaction runs. */
  exclusive: Exclusive;
  /** Sends a sale to all pages that show it. */
  announceSale: (snapshot: SaleSnapshot) => void;
}

/** How many gates were repaired, and how many purchases got a new job. */
type GateRepairCounts = Partial<Record<'settings' | 'gates' | 'requeued', number>>;

const compareEveryMs = 1_000;
const compareSoonMs = 200;
/** Comparing counts takes at most this share of the time, but is never postponed for longer than this. */
const [maxCompareShare, maxPauseMs] = [0.1, 3_000];
/** The scan of all keys in Redis takes at most this share of the time. */
const maxScanShare = 0.2;

/**
 * Keeps gates consistent with MongoDB. At the start and after each reconnect it also scans all of Redis' gates and purchases,
 * because Redis may have come back with old data or without the last writes.
 * @param repaired is called with the number of repairs.
 */
export function repairGates(
  dependencies: GateRepairDependencies,
  log: Log,
  repaired: (done: GateRepairCounts) => void,
): LeaderTask {
  const { redis } = dependencies;
  return async (stopping) => {
    const check = openGateCheck(dependencies);
    let isScanDue = true;
    const suspectAll = () => {
      check.suspectAll();
      isScanDue = true;
    };
    const stopListening = onReconnect(redis, suspectAll);

    /** Repeats `work`; the first failure of a row is logged, the others are not. */
    async function repeat(what: string, work: () => Promise<number>): Promise<void> {
      let isFailing = false;
      while (!stopping.aborted) {
        let waitMs = compareEveryMs;
        try {
          waitMs = await work();
          isFailing = false;
        } catch (error) {
          if (!isFailing)
            log.warn({ error: (error as Error).message }, `${what} failed, retrying every second`);
          isFailing = true;
        }
        await pause(waitMs, stopping);
      }
    }

    async function compareSettings(): Promise<number> {
      const { updated, hasMore } = await check.compareSettings();
      await announce(dependencies, updated);
      repaired({ settings: updated.length });
      return hasMore ? compareSoonMs : compareEveryMs;
    }

    async function compareCounts(): Promise<number> {
      const startedAt = performance.now();
      const { corrected, hasMore } = await check.compareCounts();
      repaired({ gates: corrected.length });
      const tookMs = performance.now() - startedAt;
      const restMs = Math.min(tookMs / maxCompareShare - tookMs, maxPauseMs);
      return Math.max(restMs, hasMore ? compareSoonMs : compareEveryMs);
    }

    async function scan(): Promise<number> {
      if (!isScanDue) return compareEveryMs;
      isScanDue = false;
      try {
        await scanOnce(dependencies, check, stopping, repaired);
      } catch (error) {
        isScanDue = true;
        throw error;
      }
      return compareEveryMs;
    }

    try {
      await Promise.all([
        repeat('comparing the settings of gates', compareSettings),
        repeat('comparing the counts of gates', compareCounts),
        repeat('searching for lost purchases', scan),
      ]);
    } finally {
      stopListening();
    }
  };
}

/** Announces sales whose gate had missed a change, because the pages probably missed it too. */
async function announce(
  { collections, announceSale }: GateRepairDependencies,
  saleIds: string[],
): Promise<void> {
  for (const saleId of saleIds) {
    const snapshot = await readSaleSnapshot(collections, saleId);
    if (snapshot) announceSale(snapshot);
  }
}

async function scanOnce(
  dependencies: GateRepairDependencies,
  check: GateCheck,
  stopping: AbortSignal,
  repaired: (done: GateRepairCounts) => void,
): Promise<void> {
  for await (const { saleIds, purchases } of dependencies.gate.scan()) {
    const startedAt = performance.now();
    const updated = await check.updateSettings(saleIds);
    await announce(dependencies, updated);
    let requeued = 0;
    for (const [shard, orderIds] of purchases)
      requeued += (await requeueLost(dependencies, shard, orderIds)).length;
    repaired({ settings: updated.length, requeued });
    const tookMs = performance.now() - startedAt;
    await pause(tookMs / maxScanShare - tookMs, stopping);
    if (stopping.aborted) return;
  }
}
