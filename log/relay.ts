import { once } from 'node:events';
import { type BusEvent, type EventBus, matcherOf } from '../messages/bus.ts';
import { listTargets } from '../messages/subscriptions.ts';
import { failpoint } from '../runtime/failpoints.ts';
import type { Log } from '../runtime/observe/log.ts';
import type { Collections } from '../store/collections.ts';
import type { PositionRecord, RelayRecord, SubscriptionRecord } from '../store/event-collections.ts';
import { eventsOf, readChanges } from './events.ts';

/** Events in one publish; the events of one log document are never split, even if they are more. */
const maxEvents = 6_000;
const documentsAtOnce = 200;
const salesAtOnce = 1_000;

export interface Relay {
  /**
   * Publishes the logs of these sales from each subscription's position on, in order, and advances the positions. A crash
   * between the two publishes events again; subscribers detect duplicates by the event's id. A subscription whose queue is
   * full or fails keeps its position, while the others advance.
   * @returns the sales whose logs may have more.
   * @throws when MongoDB or the bus is unavailable; the next call continues at the stored positions.
   */
  relay(saleIds: string[]): Promise<string[]>;
  /**
   * Inspects the queues: events of a lost queue are published again, and events of an empty queue count as handled.
   * @returns sales with events for a lagging subscription whose queue has room again, at most 1,000.
   */
  inspectQueues(): Promise<string[]>;
}

interface Options {
  collections: Collections;
  bus: EventBus;
  log: Log;
  /**
   * Names the subscriptions that need no events at present. It is called after the events were read, so that a recipient who
   * was added before an event happened gets it.
   */
  listIdle?: () => Promise<string[]>;
  /** Hears which events a subscription was sent, and when that began. */
  published?: (subscription: string, events: BusEvent[], startedAtMs: number) => void;
}

/** Only the leader relays; a former leader that has not noticed its loss can only publish duplicates. */
export function openRelay({
  collections,
  bus,
  log,
  listIdle = async () => [],
  published = () => {},
}: Options): Relay {
  /** By subscription and sale: the newest document that was published and may be unhandled. */
  const unhandled = new Map<string, Map<string, number>>();
  /** Subscriptions whose position may be behind the relay's. */
  const lagging = new Set<string>();

  /** Publishes to each subscription the events it wants. @returns the subscriptions that did not get theirs. */
  async function publish(
    subscriptions: SubscriptionRecord[],
    wantedBy: (subscription: SubscriptionRecord) => BusEvent[],
  ): Promise<Set<string>> {
    const stuck = new Set<string>();
    const faults: unknown[] = [];
    let succeeded = 0;
    await Promise.all(
      subscriptions.map(async (subscription) => {
        const wanted = wantedBy(subscription);
        if (wanted.length === 0) return;
        try {
          // Checked first, because sending events to a full queue would be in vain.
          const mayBeFull = lagging.has(subscription._id);
          const hasRoom = !mayBeFull || (await bus.inspect(subscription._id)).hasRoom;
          if (hasRoom && (await publishTo(subscription, wanted))) succeeded += 1;
          else stuck.add(subscription._id);
        } catch (error) {
          faults.push(error);
          stuck.add(subscription._id);
          log.warn(
            { subscription: subscription._id, error: (error as Error).message },
            'publishing events failed, retrying',
          );
        }
      }),
    );
    // When every publish failed, the bus is unavailable, and the caller retries later.
    if (faults.length > 0 && succeeded === 0) throw faults[0];
    return stuck;
  }

  /** @returns whether the queue has the events and its publish count is stored in MongoDB. */
  async function publishTo(
    { _id, publishes, losses }: SubscriptionRecord,
    wanted: BusEvent[],
  ): Promise<boolean> {
    const startedAtMs = Date.now();
    const reply = await bus.publishTo(_id, wanted, publishes);
    published(_id, wanted, startedAtMs);
    if (typeof reply !== 'number') return false;
    // Stored before the positions, so that a lost queue is always noticed by its publish count.
    const { matchedCount } = await collections.subscriptions.updateOne(
      { _id, losses },
      { $max: { publishes: reply } },
    );
    return matchedCount === 1;
  }

  function noteUnhandled(name: string, saleId: string, seq: number): void {
    const sales = unhandled.get(name) ?? new Map<string, number>();
    unhandled.set(name, sales.set(saleId, seq));
  }

  /** Publishes to lagging subscriptions what they missed in these sales, up to the relay's position. */
  async function catchUp(saleIds: string[]): Promise<string[]> {
    const [subscriptions, records] = await Promise.all([listTargets(collections, bus), readRecords(saleIds)]);
    const unfinished: string[] = [];
    for (const { _id: name } of subscriptions) {
      const late = records.filter((record) => isBehind(record, name));
      if (late.length === 0) continue;
      lagging.add(name);
      if ((await bus.inspect(name)).hasRoom) unfinished.push(...(await catchUpOne(name, late)));
    }
    return unfinished;
  }

  async function catchUpOne(name: string, late: RelayRecord[]): Promise<string[]> {
    const unfinished: string[] = [];
    let events: { saleId: string; event: BusEvent }[] = [];
    let reached = new Map<string, { from: number; to: number }>();

    /** @returns whether the subscription can take more. */
    async function flush(): Promise<boolean> {
      if (reached.size === 0) return true;
      const [subscriptions, idle] = await Promise.all([listTargets(collections, bus), listIdle()]);
      const subscription = subscriptions.find(({ _id }) => _id === name);
      if (!subscription) return false;
      const wants = matcherOf(subscription.types);
      const wanted = idle.includes(name) ? [] : events.filter(({ event }) => wants(event));
      const stuck = await publish([subscription], () => wanted.map(({ event }) => event));
      if (stuck.has(name)) return false;
      const counts = countBySale(wanted);
      const moves = [...reached].map(([saleId, span]) => {
        const count = counts.get(saleId) ?? 0;
        if (count > 0) noteUnhandled(name, saleId, span.to);
        return moveOf(saleId, span, [{ name, losses: subscription.losses, wanted: count, isStuck: false }]);
      });
      await collections.relays.bulkWrite(moves, { ordered: false });
      events = [];
      reached = new Map();
      return true;
    }

    for (const { _id: saleId, seq: front, positions } of late) {
      const after = positions?.[name]?.seq ?? front;
      let last = after;
      const changes = readChanges(collections, saleId, { after, limit: documentsAtOnce }).batchSize(10);
      for await (const record of changes) {
        if (record.seq > front) break;
        for (const event of eventsOf(record)) events.push({ saleId, event });
        reached.set(saleId, { from: reached.get(saleId)?.from ?? last, to: record.seq });
        last = record.seq;
        if (events.length >= maxEvents && !(await flush())) return unfinished;
      }
      if (last > after && last < front) unfinished.push(saleId);
    }
    await flush();
    return unfinished;
  }

  async function readRecords(saleIds: string[]): Promise<RelayRecord[]> {
    return await collections.relays.find({ _id: { $in: saleIds } }).toArray();
  }

  /** Publishes log documents after the relay's position to all subscriptions that do not lag. */
  async function publishNew(saleIds: string[]): Promise<string[]> {
    const records = new Map((await readRecords(saleIds)).map((record) => [record._id, record]));
    const unfinished: string[] = [];
    let events: { saleId: string; event: BusEvent }[] = [];
    let reached = new Map<string, { from: number; to: number }>();

    async function flush(): Promise<void> {
      if (reached.size === 0) return;
      const [subscriptions, idle] = await Promise.all([listTargets(collections, bus), listIdle()]);
      const isLate = (saleId: string, name: string) => isBehind(records.get(saleId), name);
      const wanted = new Map(
        subscriptions.map(({ _id, types }) => {
          const wants = matcherOf(types);
          return [_id, idle.includes(_id) ? [] : events.filter(({ event }) => wants(event))];
        }),
      );
      const stuck = await publish(subscriptions, ({ _id }) =>
        (wanted.get(_id) ?? []).filter(({ saleId }) => !isLate(saleId, _id)).map(({ event }) => event),
      );
      failpoint('relayed');
      const counts = new Map([...wanted].map(([name, events]) => [name, countBySale(events)]));
      const moves = [...reached].map(([saleId, span]) =>
        moveOf(
          saleId,
          span,
          subscriptions.map(({ _id: name, losses }) => {
            const count = counts.get(name)?.get(saleId) ?? 0;
            const isStuck = isLate(saleId, name) || (count > 0 && stuck.has(name));
            if (!isStuck && count > 0) noteUnhandled(name, saleId, span.to);
            return { name, losses, wanted: count, isStuck };
          }),
        ),
      );
      await collections.relays.bulkWrite(moves, { ordered: false });
      for (const name of stuck) lagging.add(name);
      // The positions that were read above are outdated now.
      for (const record of await readRecords([...reached.keys()])) records.set(record._id, record);
      events = [];
      reached = new Map();
    }

    for (const saleId of saleIds) {
      const after = records.get(saleId)?.seq ?? 0;
      let documents = 0;
      const changes = readChanges(collections, saleId, { after, limit: documentsAtOnce }).batchSize(10);
      for await (const record of changes) {
        for (const event of eventsOf(record)) events.push({ saleId, event });
        const from = reached.get(saleId)?.from ?? records.get(saleId)?.seq ?? 0;
        reached.set(saleId, { from, to: record.seq });
        documents += 1;
        if (events.length >= maxEvents) await flush();
      }
      if (documents === documentsAtOnce) unfinished.push(saleId);
    }
    await flush();
    return unfinished;
  }

  /** Resets the positions of a subscription whose queue was lost to the last document that it has certainly handled. */
  async function rewind({ _id: name, publishes, losses }: SubscriptionRecord): Promise<void> {
    log.warn({ subscription: name }, 'subscription queue lost, publishing its unhandled events again');
    const { seq, handled } = fieldsOf(name);
    const fromThere = { $min: [seq, handled] };
    await collections.relays.updateMany({ [`positions.${name}`]: { $exists: true } }, [
      {
        $set: {
          [`positions.${name}`]: {
            seq: fromThere,
            handled: fromThere,
            // A lower bound, because each document has at least one event.
            waiting: { $subtract: ['$seq', fromThere] },
            losses: losses + 1,
          },
        },
      },
    ]);
    await collections.subscriptions.updateOne({ _id: name, losses }, { $inc: { losses: 1 } });
    await bus.restore(name, publishes);
    unhandled.delete(name);
    lagging.add(name);
  }

  /** Marks everything published to a subscription as handled, because its queue is empty. */
  async function markHandled({ _id: name, losses }: SubscriptionRecord): Promise<void> {
    const sales = unhandled.get(name) ?? new Map<string, number>();
    unhandled.set(name, new Map());
    if (sales.size === 0) return;
    await collections.relays.bulkWrite(
      [...sales].map(([_id, seq]) => ({
        updateOne: {
          filter: { _id, [`positions.${name}.losses`]: losses },
          update: { $max: { [`positions.${name}.handled`]: seq } },
        },
      })),
      { ordered: false },
    );
  }

  /** Reads from the stored positions what may be unhandled, because a previous leader published it. */
  async function findUnhandled(name: string): Promise<Map<string, number>> {
    const { seq, handled } = fieldsOf(name);
    const found = await collections.relays
      .find({ [`positions.${name}`]: { $exists: true }, $expr: { $lt: [handled, seq] } })
      .toArray();
    return new Map(found.map(({ _id, positions }) => [_id, positions?.[name]?.seq ?? 0]));
  }

  return {
    async relay(saleIds) {
      const unfinished = [...(await catchUp(saleIds)), ...(await publishNew(saleIds))];
      return [...new Set(unfinished)];
    },

    async inspectQueues() {
      const due = new Set<string>();
      for (const subscription of await listTargets(collections, bus)) {
        const name = subscription._id;
        if (!unhandled.has(name)) {
          unhandled.set(name, await findUnhandled(name));
          lagging.add(name);
        }
        const { publishes, isEmpty, hasRoom } = await bus.inspect(name);
        if (publishes < subscription.publishes) await rewind(subscription);
        else if (isEmpty) await markHandled(subscription);
        if (!hasRoom || !lagging.has(name)) continue;
        const sales = await findLagging(collections, name);
        if (sales.length === 0) lagging.delete(name);
        for (const saleId of sales) due.add(saleId);
      }
      return [...due];
    },
  };
}

function countBySale(events: { saleId: string }[]): Map<string, number> {
  const counts = new Map<string, number>();
  for (const { saleId } of events) counts.set(saleId, (counts.get(saleId) ?? 0) + 1);
  return counts;
}

/** A subscription without a position of its own is at the relay's position. */
function isBehind(record: RelayRecord | undefined, name: string): boolean {
  const own = record?.positions?.[name];
  return own !== undefined && own.seq < (record?.seq ?? 0);
}

const fieldsOf = (name: string) => ({
  seq: `$positions.${name}.seq`,
  handled: `$positions.${name}.handled`,
  waiting: `$positions.${name}.waiting`,
  losses: `$positions.${name}.losses`,
});

interface Move {
  name: string;
  losses: number;
  /** Number of events in the span that match its types. */
  wanted: number;
  /** Whether they could not be published to it. */
  isStuck: boolean;
}

/**
 * The update that advances the relay's position in a sale and those of its subscriptions. It never moves one backwards,
 * because a leader that lost its lease may write late, and it skips a position that was rewound after a newer loss.
 */
function moveOf(saleId: string, { from, to }: { from: number; to: number }, moves: Move[]) {
  const set: Record<string, unknown> = { seq: { $max: ['$seq', to] } };
  for (const { name, losses, wanted, isStuck } of moves) {
    const fields = fieldsOf(name);
    const seq = { $ifNull: [fields.seq, from] };
    const handled = { $ifNull: [fields.handled, from] };
    const waiting = { $ifNull: [fields.waiting, 0] };
    const moved: Record<keyof PositionRecord, unknown> = isStuck
      ? {
          seq,
          handled,
          // A late writer must not count events that the new leader has counted already.
          waiting: { $add: [waiting, { $cond: [{ $lte: [{ $ifNull: ['$seq', 0] }, from] }, wanted, 0] }] },
          losses,
        }
      : {
          seq: { $max: [seq, to] },
          // When the span had no event for it and everything before is handled, the span is handled too.
          handled: wanted > 0 ? handled : { $cond: [{ $gte: [handled, seq] }, { $max: [seq, to] }, handled] },
          waiting: {
            $cond: [
              { $gte: [to, { $ifNull: ['$seq', 0] }] },
              0,
              { $max: [0, { $subtract: [waiting, wanted] }] },
            ],
          },
          losses,
        };
    const isKnown = { $eq: [{ $ifNull: [fields.losses, losses] }, losses] };
    set[`positions.${name}`] = { $cond: [isKnown, moved, `$positions.${name}`] };
  }
  return { updateOne: { filter: { _id: saleId }, update: [{ $set: set }], upsert: true } };
}

/** Rewinds these subscriptions to document `seq` of a sale, so that later ones are published again. @returns whether the sale was ever relayed. */
export async function setBack(
  { relays }: Collections,
  saleId: string,
  names: string[],
  seq: number,
): Promise<boolean> {
  const set: Record<string, unknown> = { seq: { $min: ['$seq', seq] } };
  for (const name of names) {
    const { seq: own, handled } = fieldsOf(name);
    const position = { seq: { $min: [own, seq] }, handled: { $min: [handled, seq] }, waiting: 0 };
    const isThere = { $ne: [{ $type: own }, 'missing'] };
    const before = `$positions.${name}`;
    set[`positions.${name}`] = { $cond: [isThere, { $mergeObjects: [before, position] }, '$$REMOVE'] };
  }
  const { matchedCount } = await relays.updateOne({ _id: saleId }, [{ $set: set }]);
  return matchedCount > 0;
}

/** Sales in which a subscription lags behind the relay, at most 1,000. */
async function findLagging({ relays }: Collections, name: string): Promise<string[]> {
  const found = await relays
    .find(
      { [`positions.${name}`]: { $exists: true }, $expr: { $lt: [fieldsOf(name).seq, '$seq'] } },
      { projection: { _id: 1 } },
    )
    .limit(salesAtOnce)
    .toArray();
  return found.map(({ _id }) => _id);
}

/** Sales (all, or those given) with log documents after the relay's position, at most 1,000. */
export async function findUnrelayed({ sales, relays }: Collections, saleIds?: string[]): Promise<string[]> {
  const found = await sales
    .aggregate<{ _id: string }>([
      ...(saleIds ? [{ $match: { _id: { $in: saleIds } } }] : []),
      { $project: { eventSeq: 1 } },
      { $lookup: { from: relays.collectionName, localField: '_id', foreignField: '_id', as: 'relay' } },
      { $match: { $expr: { $gt: ['$eventSeq', { $ifNull: [{ $first: '$relay.seq' }, 0] }] } } },
      { $limit: salesAtOnce },
      { $project: { _id: 1 } },
    ])
    .toArray();
  return found.map(({ _id }) => _id);
}

/**
 * Watches the log by a change stream and calls `onAppend` with the id of each sale whose log grew, until it is closed. It is
 * only a hint; the positions are the truth. Resolves when the stream is open.
 * @param onBroken is called when the stream fails.
 */
export async function watchLog(
  { connection, events }: Collections,
  onAppend: (saleId: string) => void,
  onBroken: (error: Error) => void,
): Promise<{ close: () => Promise<void> }> {
  // The native collection can open a change stream only once the connection exists.
  await connection.asPromise();
  const stream = events.watch<never, { documentKey: { _id: string } }>([
    { $match: { operationType: 'insert' } },
    { $project: { documentKey: 1 } },
  ]);
  stream.on('change', ({ documentKey: { _id } }) => onAppend(_id.slice(0, _id.lastIndexOf(':'))));
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
