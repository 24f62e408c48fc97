/** Runs work again that failed: soon at first, then less and less often, until it has succeeded. */

import { Problem } from './api.js';
import { jittered } from './clock.js';

const FIRST_MS = 2_000;
const LONGEST_MS = 30_000;

/** The pause after so many failures in a row, before jitter. @param {number} failures at least 1 */
const retryMs = (failures) => Math.min(LONGEST_MS, FIRST_MS * 2 ** (failures - 1));

/** @param {() => unknown} work */
export function openRetry(work) {
  let failures = 0;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let timer;
  return {
    /** After a failure, whose answer may ask for a longer pause. @param {unknown} [error] */
    soon(error) {
      clearTimeout(timer);
      failures += 1;
      const atLeastMs = error instanceof Problem ? error.retryAfterMs : 0;
      timer = setTimeout(work, atLeastMs + jittered(retryMs(failures)));
    },

    /** Before the work is begun from elsewhere. */
    hold: () => clearTimeout(timer),

    /** After a success. */
    done() {
      clearTimeout(timer);
      failures = 0;
    },
  };
}
