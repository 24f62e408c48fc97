/** Starts only the MongoDB and Redis of `npm start`, for a command that must not run beside anything else. */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { onLaunch } from '../processes/process.mjs';
import { claimFolder } from '../processes/process-list.mjs';
import { withDatabase } from './database-url.mjs';
import { openMongo } from './mongo.mjs';
import { openRedis } from './redis.mjs';

/**
 * @param {string} dataDir
 * @param {(line: string) => void} report
 * @returns {Promise<{ env: { MONGO_URL: string, REDIS_URL: string }, close: () => Promise<void> }>}
 * @throws Error, whose message is one line, when another Stampede already runs on this data folder.
 */
export async function openOwnDatabases(dataDir, report) {
  mkdirSync(dataDir, { recursive: true });
  const processes = await claimFolder(dataDir, '', report);
  onLaunch(processes.add);
  /** @param {string} name */
  const place = (name) => ({
    dataDir: join(dataDir, name),
    logFile: join(dataDir, 'logs', `${name}.log`),
    report,
  });
  /** @type {(() => Promise<void>)[]} */
  const closing = [() => Promise.resolve(processes.remove())];
  const close = async () => {
    for (const one of closing.toReversed()) await one();
  };
  try {
    const mongo = await openMongo(place('mongo'));
    closing.push(mongo.close);
    const redis = await openRedis(place('redis'));
    closing.push(redis.close);
    return { env: { MONGO_URL: withDatabase(mongo.url), REDIS_URL: redis.url }, close };
  } catch (error) {
    await close();
    throw error;
  }
}
