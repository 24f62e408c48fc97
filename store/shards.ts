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
