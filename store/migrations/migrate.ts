import type { Redis } from 'ioredis';
import { openLease } from '../../runtime/leader/lease.ts';
import type { Log } from '../../runtime/observe/log.ts';
import { retry } from '../../runtime/retry.ts';
import { type Collections, prepareCollections } from '../collections.ts';
import { keepShards, ShardsChanged } from '../shards.ts';
import { people } from './0001-people.ts';
import { items } from './0002-items.ts';
import { voidedPayments } from './0003-voided-payments.ts';

/**
 * A migration brings the data in MongoDB to the shape of this version. Each is a file `NNNN-what.ts` here and an entry at the
 * end of `migrations`. It works in bounded batches, can be interrupted and repeated, and keeps the data readable and
 * writable for servers of the previous version, which run meanwhile. Servers do not wait for migrations, so the code has to
 * read the old shape too.
 */
export interface Migration {
  name: string;
  up(context: MigrationContext): Promise<void>;
}

interface MigrationContext {
  collections: Collections;
  /** Renews the lease; call it before each batch. @throws Error when another process has taken it. */
  keepLease(): Promise<void>;
}

const migrations: Migration[] = [people, items, voidedPayments];

/** When a process dies while it migrates, another takes over after this time. */
const leaseMs = 10_000;
const backoff = { firstMs: 100, longestMs: 5_000 };

interface Stores {
  collections: Collections;
  /** A connection whose commands fail while Redis is away. */
  redis: Redis;
  /** The setting SHARDS. */
  shards: number;
  log: Log;
}

/**
 * Creates collections and indexes, and runs pending migrations, in one process at a time. Resolves when none is pending, or
 * the signal aborts; it retries while a database is unavailable.
 * @throws ShardsChanged when the database was made with another number of shards.
 */
export async function prepareDatabase(
  { collections, redis, shards, log }: Stores,
  signal: AbortSignal,
): Promise<void> {
  const lease = openLease(redis, 'migrations', leaseMs);
  async function keepLease(): Promise<void> {
    signal.throwIfAborted();
    if (!(await lease.hold())) throw new Error('another process took the lease');
  }
  const done = collections.connection.collection<{ migrationName: string }>('migrations');
  const names = migrations.map(({ name }) => name);
  // Names are compared, because one can be logged twice: by a process whose lease ran out while it finished.
  const isPending = async () =>
    (await done.distinct('migrationName', { migrationName: { $in: names } })).length < names.length;
  async function migrateAll(): Promise<void> {
    // Loaded only now, because it takes 0.15 s to load, and there is seldom a migration.
    const { MongoDBStorage, Umzug } = await import('umzug');
    const umzug = new Umzug({
      migrations: migrations.map(({ name, up }) => ({ name, up: () => up({ collections, keepLease }) })),
      storage: new MongoDBStorage({ collection: done }),
      logger: undefined,
    });
    for (const { name } of await umzug.up()) log.info({ migration: name }, 'migrated the database');
  }

  let prepared = false;
  const migrate = async () => {
    await keepShards(collections, shards);
    if (!prepared) await prepareCollections(collections);
    prepared = true;
    if (!(await isPending())) return;
    await keepLease();
    try {
      await migrateAll();
    } finally {
      await lease.release().catch(() => {});
    }
  };
  await retry(migrate, {
    ...backoff,
    signal,
    shouldRetry: (error) => !(error instanceof ShardsChanged),
    onFailure({ message }, retryMs) {
      if (retryMs !== null) log.warn({ error: message, retryMs }, 'preparing the database failed, retrying');
    },
  }).catch((error) => {
    if (!signal.aborted) throw error;
  });
}
