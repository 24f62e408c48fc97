import { setTimeout as delay } from 'node:timers/promises';

/** A crowd is here when so many purchases came within the last moment and wait to be settled: 2,000 a second. */
const crowdPurchases = 400;
const momentMs = 200;
const lookEveryMs = 50;
/** For so long after a transaction one looks for it. */
const lookForMs = 500;

/**
 * Holds settling back while a crowd buys, where both share the cores: who presses waits for an answer, who was answered
 * can wait half a second more. Each transaction then settles more.
 * @param countNew purchases that came within the last so many ms and are not settled. Without Redis there is no crowd.
 * @param intervalMs from one transaction to the next while a crowd is here, however full they are.
 */
export function openCrowd(
  countNew: (withinMs: number) => Promise<number>,
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
      isHere = (await countNew(momentMs).catch(() => 0)) >= crowdPurchases;
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
