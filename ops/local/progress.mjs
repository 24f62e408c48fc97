const EVERY_MS = 5_000;

/**
 * Reports the start of some work, and every few seconds that it is still running.
 * @template Value
 * @param {string} what e.g. `Installing the dependencies`
 * @param {(line: string) => void} report
 * @param {Promise<Value>} work
 * @returns {Promise<Value>}
 */
export async function showProgress(what, report, work) {
  report(`${what} …`);
  const started = Date.now();
  const still = setInterval(() => report(`  … ${Math.round((Date.now() - started) / 1_000)} s`), EVERY_MS);
  try {
    return await work;
  } finally {
    clearInterval(still);
  }
}
