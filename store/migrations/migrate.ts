import type { Redis } from 'ioredis';
import { MongoDBStorage, Umzug } from 'umzug';
import { openLease } from '../../runtime/leader/lease.ts';
import type { Log } from '../../runtime/observe/log.ts';
import { pause } from '../../runtime/pause.ts';
import { type Collections, prepareCollections } from '../collections.ts';
import { people } from './0001-people.ts';

/**
 * Brings what MongoDB holds to the shape of this version. A migration is one file here, `NNNN-what.ts`, and an entry at
 * the end of `migrations`. It works in bounded batches, can be run again after it was cut short, and leaves what servers
 * of the version before can read and write, since those run beside it. Nobody waits for a migration, so the code reads
 * the shape before it as well.
 */
export interface Migration {
  name: string;
  up(context: MigrationContext): Promise<void>;
}

interface MigrationContext {
  collections: Collections;
  /** To be called before each batch. @throws Error when this process is not the one to go on. */
  keepLease(): Promise<void>;
}

const migrations: Migration[] = [people];

/** A process that dies while it migrates is followed by another one after so long. */
const leaseMs = 10_000;
const [firstWaitMs, lastWaitMs] = [100, 5_000];

interface Stores {
  collections: Collections;
  /** A connection whose commands fail while Redis is away. */
  redis: Redis;
  log: Log;
}

/**
 * Makes collections and indexes, and runs each migration that has not been run yet, in one process at a time. Resolves
 * when all have been, here or elsewhere, or the signal aborts; a database that is away is waited for.
 */
export async function prepareDatabase(
  { collections, redis, log }: Stores,
  signal: AbortSignal,
): Promise<void> {
  const lease = openLease(redis, 'migrations', leaseMs);
  async function keepLease(): Promise<void> {
    signal.throwIfAborted();
    if (!(await lease.hold())) throw new Error('another process has the lease now');
  }
  const umzug = new Umzug({
    migrations: migrations.map(({ name, up }) => ({ name, up: () => up({ collections, keepLease }) })),
    storage: new MongoDBStorage({ connection: collections.users.db, collectionName: 'migrations' }),
    logger: undefined,
  });

  let prepared = false;
  for (let waitMs = firstWaitMs; !signal.aborted; waitMs = Math.min(2 * waitMs, lastWaitMs)) {
    try {
      if (!prepared) await prepareCollections(collections);
      prepared = true;
      if ((await umzug.pending()).length === 0) return;
      if (await lease.hold()) {
        for (const { name } of await umzug.up()) log.info({ migration: name }, 'migrated the database');
        await lease.release();
        return;
      }
    } catch (error) {
      if (signal.aborted) return;
      const { message } = error as Error;
      log.warn({ error: message }, `the database is not prepared, retrying in ${waitMs} ms`);
      await lease.release().catch(() => {});
    }
    await pause(waitMs, signal);
  }
}
