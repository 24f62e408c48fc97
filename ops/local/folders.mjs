import { resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

export const ROOT = fileURLToPath(new URL('../..', import.meta.url));

/** Where `npm start` keeps its data. */
export function dataFolder() {
  return resolve(process.env.STAMPEDE_DATA_DIR || resolve(ROOT, '.data'));
}

/** Downloads are shared by all starts and tests, whatever their data folder is. */
export function cacheFolder() {
  return resolve(ROOT, '.data', 'cache');
}
