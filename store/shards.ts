import type { ClientSession } from 'mongoose';
import type { Collections } from './collections.ts';

/** SHARDS was changed: the purchases that are queued would not be found. */
export class ShardsChanged extends Error {}

/** How many shards the database was made with; null when it is new. */
export async function readShards({ shards }: Pick<Collections, 'shards'>): Promise<number | null> {
  return (await shards.findOne({ _id: '0' }))?.of ?? null;
}

/** Stores the number of shards in a new database. @throws ShardsChanged when the database was made with another number. */
export async function keepShards(collections: Pick<Collections, 'shards'>, count: number): Promise<void> {
  await collections.shards.updateOne({ _id: '0' }, { $setOnInsert: { of: count } }, { upsert: true });
  const kept = await readShards(collections);
  if (kept !== count)
    throw new ShardsChanged(
      `SHARDS is ${count}, but this database was made with ${kept}: set SHARDS=${kept}`,
    );
}

/** The right to settle a shard: it ends when another worker gets a newer token. */
export interface Fence {
  shard: number;
  token: number;
}

/** Another worker has begun to settle these shards, so this one must not. */
export class Fenced extends Error {
  readonly shards: ReadonlySet<number>;
  constructor(shards: number[]) {
    super(`Another worker settles shard ${shards.join(', ')}`);
    this.shards = new Set(shards);
  }
}

/** Ends the right of whoever settled the shard before. */
export async function takeFence({ shards }: Pick<Collections, 'shards'>, shard: number): Promise<Fence> {
  const record = await shards.findOneAndUpdate(
    { _id: String(shard) },
    { $inc: { token: 1 } },
    { upsert: true, returnDocument: 'after' },
  );
  return { shard, token: record?.token ?? 0 };
}

/**
 * Checks within a transaction that these fences are the newest. It writes their documents, so that the transaction conflicts with
 * a worker that takes one meanwhile.
 * @throws Fenced
 */
export async function requireFences(
  { shards }: Pick<Collections, 'shards'>,
  fences: readonly Fence[],
  session: ClientSession,
): Promise<void> {
  if (fences.length === 0) return;
  const writes = fences.map(({ shard, token }) => ({
    updateOne: { filter: { _id: String(shard), token }, update: { $inc: { transactions: 1 } } },
  }));
  const { matchedCount } = await shards.bulkWrite(writes, { session });
  if (matchedCount === fences.length) return;
  const found = await shards
    .find({ _id: { $in: fences.map(({ shard }) => String(shard)) } }, { session })
    .toArray();
  const newest = new Map(found.map(({ _id, token }) => [Number(_id), token]));
  throw new Fenced(
    fences.filter(({ shard, token }) => newest.get(shard) !== token).map(({ shard }) => shard),
  );
}
