import { parseArgs } from 'node:util';
import { openOwnDatabases } from '../ops/local/databases/own-databases.mjs';
import { dataFolder } from '../ops/local/folders.mjs';
import { mastersOf } from '../runtime/databases/connections.ts';
import { readBeats } from '../runtime/leader/heartbeat.ts';
import { readArchive } from './archive.ts';
import { findEnvironment, openSystem, runCommand, type System } from './system.ts';

const usage = `expected npm run restore -- FILE [--empty-redis]
  into the empty database that MONGO_URL names, beside the Redis that REDIS_URL names, while no server or worker runs;
  without them into those of \`npm start\` in this folder, or in STAMPEDE_DATA_DIR, while it does not run`;

/**
 * `npm run restore -- FILE`: restores a backup into an empty database. Redis must be empty, or is emptied on request, because
 * its gates and purchases belong to the state before the restore.
 */
await runCommand(async () => {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { 'empty-redis': { type: 'boolean', default: false } },
  });
  const [file, ...rest] = positionals;
  if (!file || rest.length > 0) throw new Error(usage);
  const environment = findEnvironment();
  const own = environment ? null : await openOwnDatabases(dataFolder(), (line) => console.error(line));
  try {
    const system = await openSystem(environment ?? { ...process.env, ...own?.env }, {
      mayBeHalfRestored: true,
    });
    try {
      await requireQuiet(system, values['empty-redis']);
      const counts = await readArchive(system, file, async () => {
        if (values['empty-redis']) for (const node of mastersOf(system.redis)) await node.flushdb();
      });
      console.log(JSON.stringify(counts));
    } finally {
      await system.close();
    }
  } finally {
    await own?.close();
  }
});

async function requireQuiet({ redis }: System, mayEmptyRedis: boolean): Promise<void> {
  const { living } = await readBeats(redis);
  if (living.length > 0)
    throw new Error(`Stop these processes first: ${living.map(({ id }) => id).join(', ')}`);
  const sizes = await Promise.all(mastersOf(redis).map((node) => node.dbsize()));
  if (!mayEmptyRedis && sizes.some((size) => size > 0))
    throw new Error('Redis is not empty; expected an empty one, or --empty-redis.');
}
