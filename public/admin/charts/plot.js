/** Loads the library that draws charts, which is large and comes with the first of them. */

/** @typedef {typeof import('uplot')} Plot */

/** @type {Promise<Plot> | null} */
let loading = null;
let isLoaded = false;
let failures = 0;

export const isPlotLoaded = () => isLoaded;

/** @returns {Promise<Plot | null>} null when it did not load; the next call tries again */
export async function loadPlot() {
  loading ??= load();
  try {
    const plot = await loading;
    isLoaded = true;
    return plot;
  } catch {
    loading = null;
    return null;
  }
}

async function load() {
  try {
    // A browser caches a failed import, so the next attempt needs another address.
    if (failures > 0) return (await import(`/vendor/uplot/uPlot.esm.js?again=${failures}`)).default;
    return (await import('/vendor/uplot/uPlot.esm.js')).default;
  } catch (error) {
    failures += 1;
    throw error;
  }
}
