import type { Redis } from 'ioredis';
import type { Log } from '../observe/log.ts';
import { pause } from '../pause.ts';
import { openLease } from './lease.ts';

/** At a start Redis is away for a moment; a fault that lasts is asked after every 5 s. */
const [firstFaultWaitMs, lastFaultWaitMs] = [100, 5_000];

/** Goes on and on, and returns soon after the signal aborts. */
export type Task = (signal: AbortSignal) => Promise<void>;

export interface DutyOptions {
  /** A connection whose commands fail while Redis is away. */
  redis: Redis;
  name: string;
  /** When the process that has it falls silent for so long, another one gets it. */
  ttlMs: number;
  log: Log;
  /** Whether this process can do it: while it cannot, it leaves it to others. */
  isFit?: () => boolean;
}

/**
 * Tasks that one process at a time does: they run in the one that holds the lease `name`, and their signal aborts when
 * this process closes, becomes unfit or another one has the lease. One that throws is logged and begun again a while
 * later; the others go on.
 */
export function openDuty(
  { redis, name, ttlMs, log, isFit = () => true }: DutyOptions,
  tasks: Record<string, Task>,
): { isMine: () => boolean; close: () => Promise<void> } {
  const lease = openLease(redis, name, ttlMs);
  const closing = new AbortController();
  const renewMs = ttlMs / 3;
  /** Who stands by asks more often: so soon is a dead one followed. */
  const askMs = ttlMs / 6;
  let isMine = false;

  async function doWhileHeld(): Promise<void> {
    const lost = new AbortController();
    const signal = AbortSignal.any([closing.signal, lost.signal]);
    // While Redis is away nobody else can have the lease: only an answer can say that it is lost.
    async function keep(): Promise<void> {
      if (signal.aborted || (isFit() && (await lease.hold()))) return;
      lost.abort();
      // What is in hand may take long to end: whoever is fit need not wait for that.
      await lease.release();
    }
    const renewal = setInterval(() => void keep().catch(() => {}), renewMs);
    isMine = true;
    log.info({ duty: name }, 'it begins');
    await Promise.all(Object.entries(tasks).map(([task, work]) => repeat(task, work, signal)));
    clearInterval(renewal);
    isMine = false;
    log.info({ duty: name }, 'it leaves off');
  }

  async function repeat(task: string, work: Task, signal: AbortSignal): Promise<void> {
    for (let waitMs = firstFaultWaitMs; !signal.aborted; waitMs = Math.min(2 * waitMs, lastFaultWaitMs)) {
      const begunAt = performance.now();
      try {
        await work(signal);
      } catch (error) {
        log.warn({ duty: name, task, error: (error as Error).message }, 'it waits');
      }
      if (performance.now() > begunAt + lastFaultWaitMs) waitMs = firstFaultWaitMs;
      await pause(waitMs, signal);
    }
  }

  async function run(): Promise<void> {
    for (let waitMs = firstFaultWaitMs; !closing.signal.aborted; await pause(waitMs, closing.signal)) {
      try {
        if (isFit() && (await lease.hold())) await doWhileHeld();
        waitMs = isFit() ? askMs : firstFaultWaitMs;
      } catch (error) {
        log.warn({ duty: name, error: (error as Error).message }, 'it waits');
        waitMs = Math.min(2 * waitMs, lastFaultWaitMs);
      }
    }
    await lease.release().catch(() => {});
  }

  const running = run();
  return {
    isMine: () => isMine,
    async close() {
      closing.abort();
      await running;
    },
  };
}
