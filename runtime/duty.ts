import { setTimeout as delay } from 'node:timers/promises';
import type { Redis } from 'ioredis';
import { openLease } from './lease.ts';
import type { Log } from './log.ts';

/** At a start Redis is away for a moment; a fault that lasts is asked after every 5 s. */
const [firstFaultWaitMs, lastFaultWaitMs] = [100, 5_000];

/**
 * Work that goes on and on in one process at a time: while this one holds the lease `name`, `work` runs. It should
 * return soon after its signal aborts, which is when this process closes or another one has the lease.
 * When `work` throws it is logged and begun again a while later, by whoever has the lease then.
 * @param redis a connection whose commands fail while Redis is away.
 */
export function openDuty(
  { redis, name, ttlMs, log }: { redis: Redis; name: string; ttlMs: number; log: Log },
  work: (signal: AbortSignal) => Promise<void>,
): { close: () => Promise<void> } {
  const lease = openLease(redis, name, ttlMs);
  const closing = new AbortController();
  const renewMs = ttlMs / 3;

  async function workWhileHeld(): Promise<void> {
    const lost = new AbortController();
    // While Redis is away nobody else can have the lease: only an answer can say that it is lost.
    const keep = () => lease.hold().then((isHeld) => isHeld || lost.abort());
    const renewal = setInterval(() => void keep().catch(() => {}), renewMs);
    try {
      await work(AbortSignal.any([closing.signal, lost.signal]));
    } finally {
      clearInterval(renewal);
    }
  }

  async function run(): Promise<void> {
    let faultWaitMs = firstFaultWaitMs;
    while (!closing.signal.aborted) {
      let waitMs = renewMs;
      try {
        if (await lease.hold()) await workWhileHeld();
        faultWaitMs = firstFaultWaitMs;
      } catch (error) {
        log.warn({ duty: name, error: (error as Error).message }, 'it waits');
        waitMs = faultWaitMs;
        faultWaitMs = Math.min(2 * faultWaitMs, lastFaultWaitMs);
      }
      await delay(waitMs, undefined, { signal: closing.signal }).catch(() => {});
    }
    await lease.release().catch(() => {});
  }

  const running = run();
  return {
    async close() {
      closing.abort();
      await running;
    },
  };
}
