import { createRequire } from 'node:module';
import type { Redis } from 'ioredis';
import { mastersOf, onReconnect } from '../../runtime/databases/connections.ts';
import type { Log } from '../../runtime/observe/log.ts';

/** @param name of a script in Bull's own folder, e.g. `addJob-6`. */
const bullScript = (name: string): string =>
  createRequire(import.meta.url)(`bull/lib/scripts/${name}`).content;

/** The scripts that Bull runs inside a MULTI. */
const inTransactions = ['addJob-6', 'saveStacktrace-1', 'moveToDelayed-4', 'retryJob-7', 'moveToFinished-9'];

/**
 * Loads the scripts that Bull runs inside a MULTI. ioredis assumes a script is loaded once it has sent it. When Redis rejected
 * that MULTI, because its memory is full for example, or forgot its scripts, every later MULTI of the connection fails with
 * NOSCRIPT. Bull ignores this error, so jobs would never be retried and their errors would be lost.
 */
export async function loadBullScripts(client: Redis): Promise<void> {
  const nodes = mastersOf(client);
  await Promise.all(
    inTransactions.flatMap((name) => nodes.map((node) => node.script('LOAD', bullScript(name)))),
  );
}

/** Loads the scripts at each connect, because a Redis that was restarted, or a replica that became a master, has none. */
export function keepBullScripts(client: Redis, log: Log): void {
  onReconnect(client, () => {
    loadBullScripts(client).catch((error) =>
      log.warn({ error: error.message }, "loading Bull's scripts failed"),
    );
  });
}
