import { setTimeout as delay } from 'node:timers/promises';

/** A crowd is here when so many purchases came within the last moment and wait to be settled: 2,000 a second. */
const crowdPurchases = 400;
const momentMs = 200;
/** Nobody waits for more than this for others' sake: a crowd that stays would fill the queue. */
const patienceMs = 2_000;
const lookEveryMs = 50;
/** For so long after a transaction one looks for it. */
const lookForMs = 500;

/**
 * Holds settling back while a crowd buys, where both share the cores: who presses waits for an answer, who was answered
 * can wait half a second more. Each transaction then settles more. When somebody has waited for long, it goes on as ever.
 * @param countByAge purchases that are not settled and came within the last so many ms, or longer ago than so many.
 *   Without Redis there is no crowd.
 * @param intervalMs from one transaction to the next while a crowd is here, however full they are.
 */
export function openCrowd(
  countByAge: (newMs: number, lateMs: number) => Promise<{ fresh: number; late: number }>,
  intervalMs: number,
): {
  isHere: () => boolean;
  /** Resolves when the next transaction may begin: at once when the crowd has gone. */
  rest: () => Promise<void>;
} {
  let isHere = false;
  let isWatching = false;
  let begunAt = Number.NEGATIVE_INFINITY;

  async function watch(): Promise<void> {
    isWatching = true;
    do {
      const { fresh, late } = await countByAge(momentMs, patienceMs).catch(() => ({ fresh: 0, late: 0 }));
      isHere = fresh >= crowdPurchases && late === 0;
      await delay(lookEveryMs);
    } while (isHere || performance.now() < begunAt + lookForMs);
    isWatching = false;
  }

  return {
    isHere: () => isHere,
    async rest() {
      while (isHere && performance.now() < begunAt + intervalMs) await delay(lookEveryMs);
      begunAt = performance.now();
      if (!isWatching) void watch();
    },
  };
}
