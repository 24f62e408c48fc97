import { createRequire } from 'node:module';
import type { Redis } from 'ioredis';
import type { Log } from '../../runtime/observe/log.ts';

/** @param name of a script in Bull's own folder, e.g. `addJob-6`. */
const bullScript = (name: string): string =>
  createRequire(import.meta.url)(`bull/lib/scripts/${name}`).content;

/** The scripts that Bull runs inside a MULTI. */
const inTransactions = ['addJob-6', 'saveStacktrace-1', 'moveToDelayed-4', 'retryJob-7', 'moveToFinished-9'];

/**
 * Loads the scripts that Bull runs inside a MULTI on each connect. ioredis assumes a script is loaded once it has sent it. When
 * Redis rejected that MULTI, for example because its memory is full, every later MULTI of the connection fails with
 * NOSCRIPT. Bull ignores this error, so jobs would never be retried and their errors would be lost.
 */
export function loadBullScripts(client: Redis, log: Log): void {
  client.on('ready', () => {
    const loads = inTransactions.map((name) => client.script('LOAD', bullScript(name)));
    Promise.all(loads).catch((error) => log.warn({ error: error.message }, "loading Bull's scripts failed"));
  });
}
