import { createRequire } from 'node:module';
import type { Redis } from 'ioredis';
import type { Log } from '../../runtime/observe/log.ts';

/** @param name of a script in Bull's own folder, e.g. `addJob-6`. */
const bullScript = (name: string): string =>
  createRequire(import.meta.url)(`bull/lib/scripts/${name}`).content;

/** What Bull runs inside a MULTI. */
const inTransactions = ['addJob-6', 'saveStacktrace-1', 'moveToDelayed-4', 'retryJob-7', 'moveToFinished-9'];

/**
 * Loads the scripts that Bull runs inside a MULTI, at each connection. ioredis takes a script for loaded once it has sent it.
 * When Redis refuses the MULTI that it came with, as one that is full does, each later MULTI on that connection fails by
 * NOSCRIPT, and Bull overlooks that: a job would never be retried, nor its error kept.
 */
export function loadBullScripts(client: Redis, log: Log): void {
  client.on('ready', () => {
    const loads = inTransactions.map((name) => client.script('LOAD', bullScript(name)));
    Promise.all(loads).catch((error) => log.warn({ error: error.message }, "Bull's scripts were not loaded"));
  });
}
