import type Bull from 'bull';
import { z } from 'zod';
import {
  type DeadLetter,
  type JobCounts,
  type Purchase,
  type PurchaseJob,
  purchase,
  purchaseJob,
} from '../contract.ts';
import type { Shard } from '../shard.ts';

/**
 * The queue of admitted purchases, implemented by bull-queue.ts and rabbit-queue.ts. Jobs are delivered at least once. A
 * failed job is tried 5 times, with 0.5, 1, 2 and 4 s in between, and then becomes a dead letter, which stays until an
 * admin republishes or discards it. A job whose workers died 5 times becomes a dead letter too.
 */
export interface PurchaseQueue {
  /** How a flush adds its job. */
  readonly flush: FlushPart;
  /**
   * Resolves when the engine has the jobs on its disk.
   * @returns the jobs' timestamp, in Unix ms.
   */
  add(jobs: PurchaseJob[]): Promise<number>;
  /**
   * Passes the data of one shard's jobs to `handle`, up to `maxJobs` at once, until the signal aborts, and then
   * waits for those. The data is not validated. It can be called again afterwards, with the same number of jobs. A job that
   * ends with Fenced is left to the worker that settles the shard.
   */
  process(
    shard: Shard,
    maxJobs: number,
    handle: (data: unknown) => Promise<void>,
    signal: AbortSignal,
  ): Promise<void>;
  /** The shards whose jobs are handed out apart from each other; one for an engine that keeps all in one queue. */
  readonly shards: readonly Shard[];
  /** Of the shards that answer. */
  countJobs(): Promise<JobCounts>;
  /**
   * Timestamp of the oldest unfinished job of a shard, in Unix ms; Infinity when there is none. A purchase that is queued there
   * and older has lost its job. A dead letter is finished, and does not count: its purchases are rejected, and it may lie for days.
   */
  oldestJobMs(shard: Shard): Promise<number>;
  /** The order ids of all jobs; null when the engine cannot list its queue. */
  listOrderIds(): Promise<Set<string> | null>;
  /** Newest first, of the shards that answer. */
  listDeadLetters(range?: { start?: number; limit?: number }): Promise<DeadLetter[]>;
  findDeadLetter(id: string): Promise<DeadLetter | null>;
  /**
   * Puts a dead letter back into the queue, to be decided again.
   * @returns false when it does not exist, or was republished already.
   */
  republish(id: string): Promise<boolean>;
  /** Deletes a dead letter for good. @returns whether it existed. */
  removeDeadLetter(id: string): Promise<boolean>;
  /** The jobs that this process is handling, for its heartbeat; empty when the engine counts them itself. */
  held(): HeldJobs;
  /** Checks of the servers it needs beside Redis, for `/readyz`. */
  readonly dependencies: Record<string, () => Promise<unknown>>;
  /** Bull's own queues, for its board; none with another engine. */
  readonly bulls: readonly Bull.Queue<PurchaseJob>[];
  /** Waits for the jobs being handled. */
  close(): Promise<void>;
}

/** The engine's part in a flush: Bull's job is added by the flush's script, RabbitMQ's is published after it. */
export interface FlushPart {
  /** The script's KEYS from the second on. */
  keysIn(shard: Shard): string[];
  /** Lua that defines `addJob(KEYS, job, now)`, called with the job as JSON if any purchase was admitted. */
  lua: string;
  /** Absent when the script adds the job. */
  afterwards?: {
    /** @throws when the engine is known to be unavailable, so that nothing is admitted. */
    requireReady(): void;
    /** @returns whether the engine confirmed the job. An unconfirmed job may have been stored all the same. */
    publish(job: PurchaseJob, atMs: number): Promise<boolean>;
  };
}

interface HeldJobs {
  heldJobs?: number;
  /** Timestamp of the oldest of them, in Unix ms. */
  oldestJobMs?: number;
}

export const attemptsMax = 5;

/** A job's validated content. Anything that can write to the queue could have written it. */
export interface JobContent {
  purchases: Purchase[];
  /** Entries that are not a valid purchase. A negative quantity, for example, would raise the stock. */
  malformed: Poison[];
  /** Set by an operator who republished a dead letter: its rejected purchases are decided again. */
  again: boolean;
}

/** An entry of a job that cannot be settled, and why. */
export interface Poison {
  raw: unknown;
  error: Error;
}

/** A job with one purchase that cannot be settled still has others that can. */
const envelope = purchaseJob.extend({ purchases: z.array(z.unknown()).min(1) });

/** @throws Error when the data has no list of purchases. */
export function readJob(data: unknown): JobContent {
  const job = envelope.safeParse(data);
  if (!job.success) throw malformedError(job.error);
  const content: JobContent = { purchases: [], malformed: [], again: job.data.again === true };
  for (const raw of job.data.purchases) {
    const parsed = purchase.safeParse(raw);
    if (parsed.success) content.purchases.push(parsed.data);
    else content.malformed.push({ raw, error: malformedError(parsed.error) });
  }
  return content;
}

/** The valid purchases in a job; none when the job is malformed. */
export function purchasesIn(data: unknown): Purchase[] {
  try {
    return readJob(data).purchases;
  } catch {
    return [];
  }
}

function malformedError({ issues: [issue] }: z.ZodError): Error {
  return new Error(`Not a purchase: ${issue?.path.join('.') || 'the job'}: ${issue?.message}`);
}
