import { once } from 'node:events';
import { failpoint } from '../runtime/failpoints.ts';
import { type Collections, driverOf } from '../sale/collections.ts';
import { eventsOf, readChanges } from '../sale/events.ts';
import type { EventBus } from './bus.ts';

/** In one publish; the events of one document of the log stay together, however many they are. */
const maxEvents = 6_000;
const documentsAtOnce = 200;

/**
 * Publishes what the logs of these sales have after their positions, each in its order and those of many sales together,
 * and moves the positions behind it. A crash between the two publishes once more: subscribers tell repeats by the
 * event's id.
 * @param listIdle the subscriptions that have nobody to tell just now. It is asked after the events were read, so whoever
 *   came before an event happened gets it.
 * @returns the sales whose logs may have more.
 * @throws when MongoDB or the bus is away; the positions say where to go on.
 */
export async function relaySales(
  collections: Collections,
  bus: EventBus,
  saleIds: string[],
  listIdle: () => Promise<string[]> = async () => [],
): Promise<string[]> {
  const positions = await driverOf(collections.relays)
    .find({ _id: { $in: saleIds } })
    .toArray();
  const afterOf = new Map(positions.map(({ _id, seq }) => [_id, seq]));
  const unfinished: string[] = [];
  let events: ReturnType<typeof eventsOf> = [];
  let reached = new Map<string, number>();

  async function flush(): Promise<void> {
    if (events.length === 0) return;
    await bus.publish(events, await listIdle());
    failpoint('relayed');
    // Never backwards: whoever lost the lease in the middle of this may come too late.
    const moves = [...reached].map(([_id, seq]) => ({
      updateOne: { filter: { _id }, update: { $max: { seq } }, upsert: true },
    }));
    await driverOf(collections.relays).bulkWrite(moves, { ordered: false });
    events = [];
    reached = new Map();
  }

  for (const saleId of saleIds) {
    const after = afterOf.get(saleId) ?? 0;
    let documents = 0;
    const records = readChanges(collections, saleId, { after, limit: documentsAtOnce }).batchSize(10);
    for await (const record of records) {
      events.push(...eventsOf(record));
      reached.set(saleId, record.seq);
      documents += 1;
      if (events.length >= maxEvents) await flush();
    }
    if (documents === documentsAtOnce) unfinished.push(saleId);
  }
  await flush();
  return unfinished;
}

const salesAtOnce = 1_000;

/** Sales, of all or of those asked about, whose log goes on after their position: at most 1,000. */
export async function findBehind({ sales, relays }: Collections, saleIds?: string[]): Promise<string[]> {
  const behind = await driverOf(sales)
    .aggregate<{ _id: string }>([
      ...(saleIds ? [{ $match: { _id: { $in: saleIds } } }] : []),
      { $project: { eventSeq: 1 } },
      { $lookup: { from: relays.collection.name, localField: '_id', foreignField: '_id', as: 'relay' } },
      { $match: { $expr: { $gt: ['$eventSeq', { $ifNull: [{ $first: '$relay.seq' }, 0] }] } } },
      { $limit: salesAtOnce },
      { $project: { _id: 1 } },
    ])
    .toArray();
  return behind.map(({ _id }) => _id);
}

/**
 * Calls `onNews` with the id of each sale whose log grew, until it is closed. A hint: the positions are the truth.
 * Resolves when it is watching.
 * @param onBroken is called when it hears nothing any more.
 */
export async function watchLog(
  { events }: Collections,
  onNews: (saleId: string) => void,
  onBroken: (error: Error) => void,
): Promise<{ close: () => Promise<void> }> {
  // Before that there is no stream to be had, only the promise of one.
  await events.db.asPromise();
  const stream = driverOf(events).watch<never, { documentKey: { _id: string } }>([
    { $match: { operationType: 'insert' } },
    { $project: { documentKey: 1 } },
  ]);
  stream.on('change', ({ documentKey: { _id } }) => onNews(_id.slice(0, _id.lastIndexOf(':'))));
  stream.on('error', onBroken);
  const close = () => stream.close();
  try {
    await once(stream, 'resumeTokenChanged');
  } catch (error) {
    await close();
    throw error;
  }
  return { close };
}
