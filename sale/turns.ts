import { setTimeout as delay } from 'node:timers/promises';
import type { Redis } from 'ioredis';
import { openLease } from '../runtime/lease.ts';
import { within } from '../runtime/within.ts';
import type { Batch } from './transaction.ts';

/** Stands while workers got into each other's way not long ago, or would have. */
const crowdedKey = 'settling:crowded';
const crowdedForMs = 60_000;
/** A turn is a transaction, which MongoDB ends after 5 s. */
const turnMs = 5_000;
const askEveryMs = 50;
/** Redis is worth no more waiting: turns save work, and MongoDB keeps the order without them. */
const redisDeadlineMs = 250;

/** How a worker's transactions keep clear of those of other workers. */
export interface Turns {
  /** Resolves when it is this worker's turn, or there are no turns. What is settled in it is better gathered after that. */
  wait(): Promise<void>;
  /** Runs a transaction, after waiting for a turn if nobody did. */
  run<Done extends Pick<Batch, 'conflicts'>>(settle: () => Promise<Done>, size: number): Promise<Done>;
}

/**
 * Runs settling transactions so that workers do not run into each other. Of two that write the same hot sale at once
 * one is for nothing, and the more workers there are the more are. So after a conflict the workers take turns for a
 * while: one transaction at a time, and what arrives meanwhile is settled together in the next one.
 * @param minIntervalMs from the start of one turn to the start of the next: a transaction has a price of its own, and many
 *   workers should not pay it more often than one does. The fuller one was, the sooner the next may follow.
 * @param maxPurchases in a transaction that is full.
 */
export function openTurns(redis: Redis, minIntervalMs: () => number, maxPurchases: number): Turns {
  const lease = openLease(redis, 'settling', turnMs);
  let hadTurn = false;
  /** Null until it is asked for. */
  let isTurn: boolean | null = null;

  /** @returns whether it is this worker's turn; false when there are no turns just now, or none was to be had. */
  async function ask(): Promise<boolean> {
    const deadline = Date.now() + turnMs;
    // Whoever had a turn lets the others ask first.
    if (hadTurn) await delay(askEveryMs);
    for (let asked = 1; Date.now() < deadline && (await redis.exists(crowdedKey)) === 1; asked++) {
      if (await lease.hold()) return true;
      // Without turns the two would have met again.
      if (asked === 1) await redis.pexpire(crowdedKey, crowdedForMs);
      await delay(askEveryMs);
    }
    return false;
  }

  async function wait(): Promise<void> {
    isTurn ??= (await ifRedisAnswers(ask(), turnMs)) ?? false;
  }

  return {
    wait,
    async run(settle, size) {
      await wait();
      const hasTurn = isTurn === true;
      [hadTurn, isTurn] = [hasTurn, null];
      const startedAt = performance.now();
      try {
        const batch = await settle();
        if (batch.conflicts > 0) await ifRedisAnswers(redis.set(crowdedKey, 1, 'PX', crowdedForMs));
        return batch;
      } finally {
        const intervalMs = minIntervalMs() * Math.max(0, 1 - size / maxPurchases);
        if (hasTurn) await ifRedisAnswers(lease.release(startedAt + intervalMs - performance.now()));
      }
    },
  };
}

async function ifRedisAnswers<Value>(asking: Promise<Value>, moreMs = 0): Promise<Value | null> {
  return await within(redisDeadlineMs + moreMs, asking).catch(() => null);
}
