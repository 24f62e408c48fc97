import { openLog } from '../runtime/observe/log.ts';
import { prepareDatabase } from '../store/migrations/migrate.ts';
import { findEnvironment, openSystem, runCommand } from './system.ts';

/**
 * `npm run migrate`: makes collections and indexes, and runs the migrations that have not been run yet, as every server
 * and worker does when it starts. It ends when all have been run, here or in another process.
 */
await runCommand(async () => {
  if (process.argv.length > 2) throw new Error('expected npm run migrate, and nothing more');
  const { config, collections, redis, close } = await openSystem(findEnvironment(), { logLevel: 'info' });
  try {
    const log = openLog(config, 'command');
    await prepareDatabase({ collections, redis, shards: config.SHARDS, log }, new AbortController().signal);
    log.info('the database is prepared');
  } finally {
    await close();
  }
});
