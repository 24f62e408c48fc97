import { listRevocations } from '../../accounts/session.ts';
import { redisClock } from '../../runtime/clock.ts';
import type { Log } from '../../runtime/observe/log.ts';
import { pause } from '../../runtime/pause.ts';
import type { Collections } from '../../store/collections.ts';
import type { Live } from './live.ts';

const pollEveryMs = 1_000;
/** Each read overlaps the previous one, because a record may become visible later than its time. */
const overlapMs = 10_000;

/**
 * Polls MongoDB for users who were signed out everywhere. The message between servers is not enough: it is lost while Redis
 * is unavailable, when its sender dies, and for a server that starts later.
 */
export function followRevocations(
  collections: Collections,
  { applyRevocation }: Pick<Live, 'applyRevocation'>,
  /** The longest lifetime of a token. */
  revocableSeconds: number,
  log: Log,
): { close: () => Promise<void> } {
  const stopping = new AbortController();
  // The first read covers all revocations of tokens that have not expired yet.
  let after = new Date(redisClock.now().getTime() - revocableSeconds * 1_000 - overlapMs);
  let isFaulty = false;

  async function follow(): Promise<void> {
    while (!stopping.signal.aborted) {
      try {
        const polledAtMs = redisClock.now().getTime();
        for await (const who of listRevocations(collections, after)) applyRevocation(who);
        after = new Date(polledAtMs - overlapMs);
        isFaulty = false;
      } catch (error) {
        if (!isFaulty)
          log.warn(
            { error: (error as Error).message },
            'reading token revocations failed, retrying every second',
          );
        isFaulty = true;
      }
      await pause(pollEveryMs, stopping.signal);
    }
  }
  const following = follow();
  return {
    async close() {
      stopping.abort();
      await following;
    },
  };
}
