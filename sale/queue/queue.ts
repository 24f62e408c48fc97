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

/**
 * The queue of admitted purchases, whichever engine it is: bull-queue.ts or rabbit-queue.ts. A job is handed out at
 * least once. One that fails is tried 5 times, after 0.5, 1, 2 and 4 s, and then is a dead letter, which stays until
 * somebody decides about it; so is one that its workers died of 5 times.
 */
export interface PurchaseQueue {
  /** How a flush leaves its job. */
  readonly flush: FlushPart;
  /**
   * Resolves when the engine has the jobs on its disk.
   * @returns the time that they carry, in ms.
   */
  add(jobs: PurchaseJob[]): Promise<number>;
  /**
   * Hands jobs to `handle`, up to `maxJobs` at once, until the signal aborts: what they carry, which anything could have
   * written. Afterwards it can be called again, with the same ones.
   */
  process(maxJobs: number, handle: (data: unknown) => Promise<void>, signal: AbortSignal): Promise<void>;
  countJobs(): Promise<JobCounts>;
  /**
   * When the oldest job that is waited for came, in ms; infinite when there is none. The purchases of a job that the
   * engine has lost are older than that.
   */
  oldestJobMs(): Promise<number>;
  /** The order ids of all jobs; null when the engine has no way to look into its queue. */
  listOrderIds(): Promise<Set<string> | null>;
  /** Newest first. */
  listDeadLetters(range?: { start?: number; limit?: number }): Promise<DeadLetter[]>;
  findDeadLetter(id: string): Promise<DeadLetter | null>;
  /**
   * Puts a dead letter back into the queue, to be decided again.
   * @returns false when there is no such dead letter (any more): republishing twice settles once.
   */
  republish(id: string): Promise<boolean>;
  /** Takes a dead letter away for good. @returns whether there was one. */
  removeDeadLetter(id: string): Promise<boolean>;
  /** What this process holds, for its heartbeat, where the engine itself keeps no account of it. */
  held(): HeldJobs;
  /** What it needs beside Redis, for `/readyz`. */
  readonly dependencies: Record<string, () => Promise<unknown>>;
  /** Bull's own queue, for its board; null with another engine. */
  readonly bull: Bull.Queue<PurchaseJob> | null;
  /** Lets the jobs in hand end. */
  close(): Promise<void>;
}

/** The engine's part in a flush: a job in Redis is left by the flush itself, any other is published after it. */
export interface FlushPart {
  /** For the script: its KEYS from the second on. */
  keys: string[];
  /** For the script: `leaveJob(KEYS, job, now)`, called with the job as JSON if anything was admitted. */
  lua: string;
  /** Absent when the script leaves the job. */
  afterwards?: {
    /** Throws when it is known beforehand that the job could not be published: then nothing is admitted. */
    requireReady(): void;
    /** @returns whether the engine says that it has the job. When it does not say so, it may have it all the same. */
    publish(job: PurchaseJob, atMs: number): Promise<boolean>;
  };
}

interface HeldJobs {
  heldJobs?: number;
  /** When the oldest of them came. */
  oldestJobMs?: number;
}

export const attemptsMax = 5;
/** Before the second attempt; it doubles for each further one. */
export const firstRetryMs = 500;

/** What a job carries, read with suspicion: what stands in the queue could have been written by anything. */
export interface JobContent {
  purchases: Purchase[];
  /** What is not a purchase. A negative quantity that reached the guarded `$inc` would raise the stock. */
  malformed: Poison[];
  /** Whether an operator asks for purchases that were given up to be settled after all. */
  again: boolean;
}

/** Something in a job that cannot be settled, as it stood there, and why. */
export interface Poison {
  raw: unknown;
  error: Error;
}

/** A job with one purchase that cannot be settled still has others that can. */
const envelope = purchaseJob.extend({ purchases: z.array(z.unknown()).min(1) });

/** @throws Error when there is not even a list of purchases in it. */
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

/** The purchases in it; none when it is not what a job must be: then nothing in it names a buyer. */
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
