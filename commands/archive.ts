import { hostname } from 'node:os';
import { bornAt } from '../ops/local/processes/process-list.mjs';
import { readInSnapshot, type Snapshot } from '../runtime/databases/snapshot-read.ts';
import { retry } from '../runtime/retry.ts';
import { collectionNames, prepareCollections } from '../store/collections.ts';
import {
  type Counts,
  checkArchiveFile,
  type Entry,
  readArchiveFile,
  writeArchiveFile,
} from './archive-file.ts';
import type { System } from './system.ts';

type Store = Pick<System, 'collections'>;

const databaseOf = ({ collections }: Store) => {
  const { db } = collections.connection;
  if (!db) throw new Error('MongoDB does not answer.');
  return db;
};

/** The content of a backup: all of Stampede's collections, and the list of applied migrations. */
const namesOf = ({ collections }: Store): ReadonlySet<string> =>
  new Set([...collectionNames(collections), 'migrations']);

/** Writes a snapshot of every collection, while the shop sells. @returns the number of documents of each. */
export async function writeArchive(
  store: Store,
  file: string,
  { signal, onLeftOut }: { signal?: AbortSignal; onLeftOut?: (names: string[]) => void } = {},
): Promise<Counts> {
  const found = await databaseOf(store).listCollections({ type: 'collection' }, { nameOnly: true }).toArray();
  const foreign = found.map(({ name }) => name).filter((name) => !namesOf(store).has(name));
  const leftOut = foreign.filter((name) => !name.startsWith('system.'));
  if (leftOut.length > 0) onLeftOut?.(leftOut);
  const read = () =>
    readInSnapshot(store.collections.connection, (snapshot) =>
      writeArchiveFile(file, entriesOf(store, snapshot), signal),
    );
  return await retry(read, {
    firstMs: retryMs,
    longestMs: retryMs,
    maxAttempts: attemptsMax,
    // A collection or an index is newer than the snapshot, so the read is retried.
    shouldRetry: (error) => (error as { code?: unknown }).code === snapshotUnavailable,
  });
}

const snapshotUnavailable = 246;
const attemptsMax = 10;
const retryMs = 500;

async function* entriesOf(store: Store, snapshot: Snapshot): AsyncGenerator<Entry> {
  const db = databaseOf(store);
  for (const name of namesOf(store)) {
    for await (const document of db.collection(name).find({}, { ...snapshot, promoteValues: false })) {
      yield { in: name, document };
    }
  }
}

const insertedAtOnce = 1_000;
const insertedBytesAtOnce = 16 * 1024 ** 2;

/** The marker of a restore that has not finished. */
const unfinishedRestores = 'unfinished_restores';
interface UnfinishedRestore {
  _id: 'restore';
  file: string;
  host: string;
  pid: number;
  born: string | null;
}

/** @throws Error when a restore into this database was interrupted, so that its data is incomplete. */
export async function requireNoHalfRestore(store: Store): Promise<void> {
  const half = await databaseOf(store).collection<UnfinishedRestore>(unfinishedRestores).findOne();
  if (half) {
    throw new Error(
      `This database holds a part of ${half.file}, whose restore did not end: run \`npm run restore -- FILE\` again.`,
    );
  }
}

/**
 * Restores a backup into an empty database, or into one that an interrupted restore left incomplete. The whole file is
 * checked before anything is written.
 * @param beforeWriting runs after the file was checked.
 * @throws Error of one line; then the database is empty again, or the next restore clears it.
 */
export async function readArchive(
  store: Store,
  file: string,
  beforeWriting: () => Promise<void> = async () => {},
): Promise<Counts> {
  const db = databaseOf(store);
  const marks = db.collection<UnfinishedRestore>(unfinishedRestores);
  const half = await marks.findOne();
  if (half?.host === hostname() && half.born !== null && bornAt(half.pid) === half.born) {
    throw new Error(`A restore into this database is already running (pid ${half.pid}).`);
  }
  await requireEmpty(store, half !== null);
  const checked = await checkArchiveFile(file, namesOf(store));
  await beforeWriting();
  const mark = { file, host: hostname(), pid: process.pid, born: bornAt(process.pid) };
  await marks.updateOne(
    { _id: 'restore' },
    { $set: mark },
    { upsert: true, writeConcern: { w: 'majority', j: true } },
  );
  try {
    if (half) await empty(store);
    await prepareCollections(store.collections);
    const { checksum } = await insertAll(store, file);
    if (checksum !== checked.checksum) throw new Error(`${file} was changed while it was read.`);
  } catch (error) {
    const why = (error as Error).message;
    const undone = await empty(store).then(
      () => marks.drop(),
      () => false,
    );
    const then = undone ? 'The database is empty as before.' : 'Run the same again; it begins anew.';
    throw new Error(`The restore failed: ${why.replace(/\.$/, '')}. ${then}`);
  }
  await marks.drop();
  return checked.counts;
}

async function requireEmpty(store: Store, isHalfRestored: boolean): Promise<void> {
  const db = databaseOf(store);
  for (const { name } of await db.listCollections({ type: 'collection' }, { nameOnly: true }).toArray()) {
    if (name === unfinishedRestores || name.startsWith('system.')) continue;
    if (isHalfRestored && namesOf(store).has(name)) continue;
    if (await db.collection(name).findOne()) {
      throw new Error(
        `The database ${db.databaseName} has ${name} already; expected an empty one: name another in MONGO_URL, ` +
          'or a new folder in STAMPEDE_DATA_DIR.',
      );
    }
  }
}

/** Deletes everything that a restore wrote. The database was empty before it. */
async function empty(store: Store): Promise<void> {
  const db = databaseOf(store);
  const there = await db.listCollections({}, { nameOnly: true }).toArray();
  for (const { name } of there) if (namesOf(store).has(name)) await db.dropCollection(name);
}

async function insertAll(store: Store, file: string) {
  const db = databaseOf(store);
  let [name, batch, batchBytes] = ['', [] as Record<string, unknown>[], 0];
  async function insert(): Promise<void> {
    if (batch.length > 0) await db.collection(name).insertMany(batch, { ordered: false });
    [batch, batchBytes] = [[], 0];
  }
  const read = await readArchiveFile(file, namesOf(store), async (entry, bytes) => {
    const isFull = batch.length === insertedAtOnce || batchBytes + bytes > insertedBytesAtOnce;
    if (entry.in !== name || isFull) await insert();
    name = entry.in;
    batch.push(entry.document);
    batchBytes += bytes;
  });
  await insert();
  return read;
}
