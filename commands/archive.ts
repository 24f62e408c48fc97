import { createReadStream, createWriteStream } from 'node:fs';
import { rename } from 'node:fs/promises';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGunzip, createGzip } from 'node:zlib';
import mongoose, { type ClientSession } from 'mongoose';
import { readInSnapshot } from '../runtime/snapshot-read.ts';
import type { System } from './system.ts';

const { EJSON } = mongoose.mongo.BSON;

/**
 * A backup is one file: gzipped lines of extended JSON, which keep every BSON type. First what it is, then a line for
 * each document, and last how many there were of each collection: a file without that line was cut short.
 */
type Line =
  | { stampede: 1; at: string }
  | { in: string; document: Record<string, unknown> }
  | { counts: Record<string, number> };

type Store = Pick<System, 'collections'>;

const databaseOf = ({ collections }: Store) => {
  const { db } = collections.sales.db;
  if (!db) throw new Error('MongoDB does not answer.');
  return db;
};

/** Writes every collection as it was at one moment, while the shop sells. @returns how many documents of each. */
export async function writeArchive(store: Store, file: string): Promise<Record<string, number>> {
  // Under its name there is a whole backup or none.
  const unfinished = `${file}.part`;
  const counts = await readInSnapshot(store.collections.sales.db, async (session) => {
    const counts: Record<string, number> = {};
    const lines = Readable.from(linesOf(store, session, counts));
    await pipeline(lines, createGzip(), createWriteStream(unfinished, { mode: 0o600 }));
    return counts;
  });
  await rename(unfinished, file);
  return counts;
}

async function* linesOf(
  store: Store,
  session: ClientSession,
  counts: Record<string, number>,
): AsyncGenerator<string> {
  const write = (line: Line) => `${EJSON.stringify(line, { relaxed: false })}\n`;
  const db = databaseOf(store);
  const found = await db.listCollections({ type: 'collection' }, { nameOnly: true }).toArray();
  yield write({ stampede: 1, at: new Date().toISOString() });
  for (const { name } of found.filter(({ name }) => !name.startsWith('system.'))) {
    for await (const document of db.collection(name).find({}, { session, promoteValues: false })) {
      counts[name] = (counts[name] ?? 0) + 1;
      yield write({ in: name, document });
    }
  }
  yield write({ counts });
}

/** node:readline would end the process when the file turns out to be cut short before anybody reads its lines. */
async function* splitLines(texts: AsyncIterable<string>): AsyncGenerator<string> {
  let rest = '';
  for await (const text of texts) {
    const lines = (rest + text).split('\n');
    rest = lines.pop() ?? '';
    yield* lines;
  }
}

const insertedAtOnce = 1_000;

/** Reads a backup into a database that has no document. @throws Error when there is one, or when the file is not whole. */
export async function readArchive(store: Store, file: string): Promise<Record<string, number>> {
  const db = databaseOf(store);
  for (const { name } of await db.listCollections({}, { nameOnly: true }).toArray()) {
    if (await db.collection(name).findOne())
      throw new Error(`The database has ${name} already; expected an empty one.`);
  }
  const counts: Record<string, number> = {};
  let [name, batch] = ['', [] as Record<string, unknown>[]];
  let promised: Record<string, number> | null = null;

  async function insert(): Promise<void> {
    if (batch.length === 0) return;
    await db.collection(name).insertMany(batch, { ordered: false });
    counts[name] = (counts[name] ?? 0) + batch.length;
    batch = [];
  }
  const unzipped = createGunzip().setEncoding('utf8');
  await pipeline(createReadStream(file), unzipped, splitLines, async (lines: AsyncIterable<string>) => {
    for await (const text of lines) {
      const line = EJSON.parse(text, { relaxed: false }) as Line;
      if ('counts' in line) promised = line.counts;
      if (!('in' in line)) continue;
      if (line.in !== name || batch.length === insertedAtOnce) await insert();
      name = line.in;
      batch.push(line.document);
    }
  });
  await insert();
  if (EJSON.stringify(promised, { relaxed: true }) !== JSON.stringify(counts)) {
    throw new Error('The file is not a whole backup: empty the database again.');
  }
  return counts;
}
