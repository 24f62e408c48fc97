import { listExpulsions } from '../../accounts/session.ts';
import { redisClock } from '../../runtime/clock.ts';
import type { Config } from '../../runtime/config.ts';
import type { Log } from '../../runtime/observe/log.ts';
import { pause } from '../../runtime/pause.ts';
import type { Collections } from '../../store/collections.ts';
import type { Live } from './live.ts';

const lookEveryMs = 1_000;
/** What was written a moment before may be seen only now. */
const overlapMs = 10_000;

/**
 * Hears from MongoDB who was signed out everywhere: the message from server to server is gone when Redis is away, when
 * its sender dies, and for a server that starts later.
 */
export function followExpulsions(
  collections: Collections,
  { hearExpelled }: Pick<Live, 'hearExpelled'>,
  { TOKEN_SECONDS }: Pick<Config, 'TOKEN_SECONDS'>,
  log: Log,
): { close: () => Promise<void> } {
  const stopping = new AbortController();
  // At first everybody whose tokens could still be good.
  let after = new Date(redisClock.now().getTime() - TOKEN_SECONDS * 1_000 - overlapMs);
  let isFaulty = false;

  async function follow(): Promise<void> {
    while (!stopping.signal.aborted) {
      try {
        const lookedAtMs = redisClock.now().getTime();
        for (const who of await listExpulsions(collections, after)) hearExpelled(who);
        after = new Date(lookedAtMs - overlapMs);
        isFaulty = false;
      } catch (error) {
        if (!isFaulty)
          log.warn({ error: (error as Error).message }, 'cannot read who was signed out everywhere');
        isFaulty = true;
      }
      await pause(lookEveryMs, stopping.signal);
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
