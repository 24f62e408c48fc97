import type { Redis } from 'ioredis';
import { gapMs } from '../../runtime/databases/transact.ts';

const key = 'sale-writers';
/** An announcement expires after the time for which a writer retries. */
const announcedMs = 5_000;

/**
 * Cancellations and changes of a sale can write a hot sale only between two settling transactions. They announce
 * themselves in Redis, and only then does settling leave a gap between its transactions.
 */
export function openOtherWriters(redis: Redis) {
  let areThere = false;
  return {
    /** Asks for gaps for this long. It may fail: without gaps a writer still gets its turn, only later. */
    announce(forMs = announcedMs): void {
      redis.set(key, '1', 'PX', forMs).catch(() => {});
    },
    /** Reads whether another process writes sales now. */
    async refresh(): Promise<void> {
      areThere = await redis.exists(key).then(Boolean, () => true);
    },
    /** The gap between two transactions, as of the last `refresh`. */
    gapMs: () => (areThere ? gapMs : 0),
  };
}

export type OtherWriters = ReturnType<typeof openOtherWriters>;
