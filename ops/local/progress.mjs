const EVERY_MS = 5_000;

/**
 * Says what goes on, and every few seconds that it still does.
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
