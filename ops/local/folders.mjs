import { resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

export const ROOT = fileURLToPath(new URL('../..', import.meta.url));

/** Where `npm start` keeps its data. */
export function dataFolder() {
  return resolve(process.env.STAMPEDE_DATA_DIR || resolve(ROOT, '.data'));
}

/** What was downloaded once serves every later start and test, wherever that keeps its data. */
export function cacheFolder() {
  return resolve(ROOT, '.data', 'cache');
}
