import { parseArgs } from 'node:util';
import { readBeats } from '../runtime/heartbeat.ts';
import { prepareCollections } from '../sale/collections.ts';
import { readArchive } from './archive.ts';
import { openSystem, runCommand, type System } from './system.ts';

const usage = `expected npm run restore -- FILE [--empty-redis]
  into the empty database that MONGO_URL names, beside the Redis that REDIS_URL names, while no server or worker runs`;

/**
 * `npm run restore -- FILE`: a backup into an empty database. What Redis knows is of another past: gates that counted
 * units which are on sale again, purchases whose orders are not there. So it has to be empty, or is emptied on request.
 */
await runCommand(async () => {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { 'empty-redis': { type: 'boolean', default: false } },
  });
  const [file] = positionals;
  if (!file) throw new Error(usage);
  const system = await openSystem();
  try {
    await requireQuiet(system, values['empty-redis']);
    await prepareCollections(system.collections);
    const counts = await readArchive(system, file);
    if (values['empty-redis']) await system.redis.flushdb();
    console.log(JSON.stringify(counts));
  } finally {
    await system.close();
  }
});

async function requireQuiet({ redis }: System, mayEmptyRedis: boolean): Promise<void> {
  const { living } = await readBeats(redis);
  if (living.length > 0) throw new Error(`Stop them first: ${living.map(({ id }) => id).join(', ')}`);
  if (!mayEmptyRedis && (await redis.dbsize()) > 0)
    throw new Error('Redis is not empty; expected an empty one, or --empty-redis.');
}
