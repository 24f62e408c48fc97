import { setMaxListeners } from 'node:events';
import type { Redis } from 'ioredis';
import type { Log } from '../observe/log.ts';
import { pause } from '../pause.ts';
import { backoffMs } from '../retry.ts';
import { openLease } from './lease.ts';

/** The first retry is quick, because Redis is often unavailable for a moment at a start. */
const backoff = { firstMs: 100, longestMs: 5_000 };

/** Work of the leader: it runs until the signal aborts, and returns soon after. */
export type LeaderTask = (signal: AbortSignal) => Promise<void>;

export interface LeaderElectionOptions {
  /** A connection whose commands fail while Redis is unavailable. */
  redis: Redis;
  name: string;
  /** A leader that does not renew its lease for this long is replaced. */
  ttlMs: number;
  log: Log;
  /** Whether this process can lead; while it cannot, it leaves the lease to others. */
  isFit?: () => boolean;
}

/**
 * Leader election by a lease in Redis. The tasks run in the process that holds the lease `name`; their signal aborts when
 * this process closes, becomes unfit or loses the lease. A task that throws is logged and started again after a wait, while
 * the other tasks go on.
 */
export function openLeaderElection(
  { redis, name, ttlMs, log, isFit = () => true }: LeaderElectionOptions,
  tasks: Record<string, LeaderTask>,
): { isLeader: () => boolean; close: () => Promise<void> } {
  const lease = openLease(redis, name, ttlMs);
  const closing = new AbortController();
  const renewMs = ttlMs / 3;
  /** A standby asks more often than a leader renews, so that a dead leader is soon replaced. */
  const askMs = ttlMs / 6;
  let isLeader = false;

  async function lead(): Promise<void> {
    const lost = new AbortController();
    const signal = AbortSignal.any([closing.signal, lost.signal]);
    // Every task waits on it, and Node would take more than ten for a leak.
    setMaxListeners(0, signal);
    // While Redis is unavailable nobody else can take the lease, so only an answer from Redis ends it.
    async function renew(): Promise<void> {
      if (signal.aborted || (isFit() && (await lease.hold()))) return;
      lost.abort();
      // The task in progress may take long to end, and the next leader need not wait for it.
      await lease.release();
    }
    const renewal = setInterval(() => void renew().catch(() => {}), renewMs);
    isLeader = true;
    log.info({ lease: name }, 'this process is the leader now');
    await Promise.all(Object.entries(tasks).map(([task, work]) => repeatTask(name, task, work, signal, log)));
    clearInterval(renewal);
    isLeader = false;
    log.info({ lease: name }, 'this process is not the leader any more');
  }

  async function run(): Promise<void> {
    for (let failures = 0; !closing.signal.aborted; ) {
      let waitMs = backoff.firstMs;
      try {
        if (isFit() && (await lease.hold())) await lead();
        if (isFit()) waitMs = askMs;
        failures = 0;
      } catch (error) {
        waitMs = backoffMs(backoff, ++failures);
        log.warn(
          { lease: name, retryMs: waitMs, error: (error as Error).message },
          'acquiring the lease failed, retrying',
        );
      }
      await pause(waitMs, closing.signal);
    }
    await lease.release().catch(() => {});
  }

  const running = run();
  return {
    isLeader: () => isLeader,
    async close() {
      closing.abort();
      await running;
    },
  };
}

/** Runs a task until the signal aborts, and again after a wait when it ends or throws. */
export async function repeatTask(
  lease: string,
  task: string,
  work: LeaderTask,
  signal: AbortSignal,
  log: Log,
): Promise<void> {
  for (let failures = 1; !signal.aborted; failures++) {
    const begunAt = performance.now();
    const fault = await Promise.resolve(signal)
      .then(work)
      .then(
        () => null,
        (error: Error) => error,
      );
    if (performance.now() > begunAt + backoff.longestMs) failures = 1;
    const retryMs = backoffMs(backoff, failures);
    const about = { lease, task, retryMs, error: fault?.message };
    if (fault) log.warn(about, 'a leader task failed, retrying');
    await pause(retryMs, signal);
  }
}
