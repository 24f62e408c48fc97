import type { Redis } from 'ioredis';
import { gapMs } from '../../runtime/databases/transact.ts';

const key = 'sale-writers';
/** As long as a writer tries. */
const announcedMs = 5_000;

/**
 * Who writes sales beside the settlement (cancellations, changes of a sale) says so, because on a hot sale they get at
 * its document only between two settling transactions. While nobody does, settling leaves no gap for them.
 */
export function openOtherWriters(redis: Redis) {
  let areThere = false;
  return {
    /** Asks for gaps. Without them a writer still gets its turn, only later: so this need not succeed. */
    announce(): void {
      redis.set(key, '1', 'PX', announcedMs).catch(() => {});
    },
    /** Learns whether somebody writes now. */
    async look(): Promise<void> {
      areThere = await redis.exists(key).then(Boolean, () => true);
    },
    /** What to leave between two transactions, as of the last look. */
    gapMs: () => (areThere ? gapMs : 0),
  };
}

export type OtherWriters = ReturnType<typeof openOtherWriters>;
