/** Restarts a process that ends by itself, with exponential backoff. */
import { dirname } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fullDisk, isDiskFull } from './files/file-fault.mjs';

const PAUSE_MAX_SECONDS = 30;
/** A process that ran this long restarts with the shortest delay. */
const STEADY_MS = 60_000;

/**
 * @typedef {object} Part
 * @property {string} url
 * @property {number} pid
 * @property {string} logFile
 * @property {string} [how]
 * @property {Promise<string>} ended
 * @property {() => Promise<void>} close
 */

/**
 * @param {string} name
 * @param {() => Promise<Part>} open
 * @param {{ report: (line: string) => void, onRestart: () => void }} options
 */
export async function keepRunning(name, open, { report, onRestart }) {
  const closing = new AbortController();
  let part = await open();
  const watched = watch();

  async function watch() {
    for (let failures = 0; ; failures++) {
      const began = Date.now();
      const ending = await part.ended;
      if (closing.signal.aborted) return;
      if (Date.now() - began > STEADY_MS) failures = 0;
      const why = isDiskFull(part.logFile) ? `${ending}: ${fullDisk(dirname(part.logFile))}` : ending;
      if (!(await startAgain(why, failures))) return;
    }
  }

  /**
   * @param {string} why
   * @param {number} failures
   * @returns {Promise<boolean>} false when everything is to stop.
   */
  async function startAgain(why, failures) {
    const seconds = Math.min(2 ** failures, PAUSE_MAX_SECONDS);
    report(`${name} ended (${why}); restarting in ${seconds} s. Its log: ${part.logFile}`);
    await delay(seconds * 1_000, undefined, { signal: closing.signal }).catch(() => {});
    if (closing.signal.aborted) return false;
    try {
      part = await open();
    } catch (error) {
      return startAgain(error instanceof Error ? error.message : String(error), failures + 1);
    }
    if (closing.signal.aborted) {
      await part.close();
      return false;
    }
    onRestart();
    report(`${name} restarted (pid ${part.pid})`);
    return true;
  }

  return {
    name,
    part: () => part,
    async close() {
      closing.abort();
      await part.close();
      await watched;
    },
  };
}
