import { once } from 'node:events';
import { type BusEvent, type EventBus, matcherOf } from '../messages/bus.ts';
import { listTargets } from '../messages/subscriptions.ts';
import { failpoint } from '../runtime/failpoints.ts';
import type { Log } from '../runtime/observe/log.ts';
import { type Collections, driverOf } from '../store/collections.ts';
import type { PositionRecord, RelayRecord, SubscriptionRecord } from '../store/event-collections.ts';
import { eventsOf, readChanges } from './events.ts';

/** In one publish; the events of one document of the log stay together, however many they are. */
const maxEvents = 6_000;
const documentsAtOnce = 200;
const salesAtOnce = 1_000;

export interface Relay {
  /**
   * Publishes what the logs of these sales have after each subscription's position, in order, and moves the positions. A
   * crash between the two publishes once more: subscribers tell repeats by the event's id. A subscription whose queue is
   * full, or fails, stays where it is, and the others go on.
   * @returns the sales whose logs may have more.
   * @throws when MongoDB or the bus is away; the positions say where to go on.
   */
  relay(saleIds: string[]): Promise<string[]>;
  /**
   * Looks at the queues. What a lost one held is published again, and what an empty one held was handled.
   * @returns sales with events for a subscription that was behind and whose queue has room again, at most 1,000.
   */
  look(): Promise<string[]>;
}

interface Options {
  collections: Collections;
  bus: EventBus;
  log: Log;
  /**
   * Names the subscriptions that have nobody to tell just now. It is asked after the events were read, so whoever came
   * before an event happened gets it.
   */
  listIdle?: () => Promise<string[]>;
}

/** One process at a time relays; another that still believes it is the one can only publish repeats. */
export function openRelay({ collections, bus, log, listIdle = async () => [] }: Options): Relay {
  /** By subscription: of each sale the newest document that was published, and perhaps not handled. */
  const unhandled = new Map<string, Map<string, number>>();
  /** Subscriptions that may have a position behind the relay's. */
  const behind = new Set<string>();

  /** Of each subscription, what it wants of these events goes into its queue. @returns those that did not get theirs. */
  async function publish(
    subscriptions: SubscriptionRecord[],
    wantedBy: (subscription: SubscriptionRecord) => BusEvent[],
  ): Promise<Set<string>> {
    const stuck = new Set<string>();
    const faults: unknown[] = [];
    let published = 0;
    await Promise.all(
      subscriptions.map(async (subscription) => {
        const wanted = wantedBy(subscription);
        if (wanted.length === 0) return;
        try {
          // What would be refused anyway need not travel there.
          const mayBeFull = behind.has(subscription._id);
          const hasRoom = !mayBeFull || (await bus.inspect(subscription._id)).hasRoom;
          if (hasRoom && (await publishTo(subscription, wanted))) published += 1;
          else stuck.add(subscription._id);
        } catch (error) {
          faults.push(error);
          stuck.add(subscription._id);
          log.warn({ subscription: subscription._id, error: (error as Error).message }, 'publishing failed');
        }
      }),
    );
    // When all fail it is the bus, and whoever asked for this begins again after a while.
    if (faults.length > 0 && published === 0) throw faults[0];
    return stuck;
  }

  /** @returns whether the queue has them, and MongoDB knows how many publishes it has had. */
  async function publishTo(
    { _id, publishes, losses }: SubscriptionRecord,
    wanted: BusEvent[],
  ): Promise<boolean> {
    const reply = await bus.publishTo(_id, wanted, publishes);
    if (typeof reply !== 'number') return false;
    // Before the positions: they must never say of a queue more than it can be asked for.
    const { matchedCount } = await driverOf(collections.subscriptions).updateOne(
      { _id, losses },
      { $max: { publishes: reply } },
    );
    return matchedCount === 1;
  }

  function noteUnhandled(name: string, saleId: string, seq: number): void {
    const sales = unhandled.get(name) ?? new Map<string, number>();
    unhandled.set(name, sales.set(saleId, seq));
  }

  /** Takes subscriptions that are behind in these sales to where the relay is. */
  async function catchUp(saleIds: string[]): Promise<string[]> {
    const [subscriptions, records] = await Promise.all([listTargets(collections, bus), readRecords(saleIds)]);
    const unfinished: string[] = [];
    for (const { _id: name } of subscriptions) {
      const late = records.filter((record) => isBehind(record, name));
      if (late.length === 0) continue;
      behind.add(name);
      if ((await bus.inspect(name)).hasRoom) unfinished.push(...(await catchUpOne(name, late)));
    }
    return unfinished;
  }

  async function catchUpOne(name: string, late: RelayRecord[]): Promise<string[]> {
    const unfinished: string[] = [];
    let events: { saleId: string; event: BusEvent }[] = [];
    let reached = new Map<string, { from: number; to: number }>();

    /** @returns whether it goes on. */
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
      await driverOf(collections.relays).bulkWrite(moves, { ordered: false });
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
    return await driverOf(collections.relays)
      .find({ _id: { $in: saleIds } })
      .toArray();
  }

  /** Publishes what nobody has read so far, to all that are not behind. */
  async function goOn(saleIds: string[]): Promise<string[]> {
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
      await driverOf(collections.relays).bulkWrite(moves, { ordered: false });
      for (const name of stuck) behind.add(name);
      // Their positions are no longer what was read above.
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

  /** A queue that was lost: its subscription goes back to what it has surely handled. */
  async function startOver({ _id: name, publishes, losses }: SubscriptionRecord): Promise<void> {
    log.warn({ subscription: name }, 'a queue was lost; what was not handled is published again');
    const { seq, handled } = fieldsOf(name);
    const fromThere = { $min: [seq, handled] };
    await driverOf(collections.relays).updateMany({ [`positions.${name}`]: { $exists: true } }, [
      {
        $set: {
          [`positions.${name}`]: {
            seq: fromThere,
            handled: fromThere,
            // The fewest that it can be: a document has an event at least.
            waiting: { $subtract: ['$seq', fromThere] },
            losses: losses + 1,
          },
        },
      },
    ]);
    await driverOf(collections.subscriptions).updateOne({ _id: name, losses }, { $inc: { losses: 1 } });
    await bus.restore(name, publishes);
    unhandled.delete(name);
    behind.add(name);
  }

  /** What it was handed it has handled, since nothing waits any more. */
  async function confirm({ _id: name, losses }: SubscriptionRecord): Promise<void> {
    const sales = unhandled.get(name) ?? new Map<string, number>();
    unhandled.set(name, new Map());
    if (sales.size === 0) return;
    await driverOf(collections.relays).bulkWrite(
      [...sales].map(([_id, seq]) => ({
        updateOne: {
          filter: { _id, [`positions.${name}.losses`]: losses },
          update: { $max: { [`positions.${name}.handled`]: seq } },
        },
      })),
      { ordered: false },
    );
  }

  /** Whoever relayed before left it to be found out what was handled. */
  async function findUnhandled(name: string): Promise<Map<string, number>> {
    const { seq, handled } = fieldsOf(name);
    const found = await driverOf(collections.relays)
      .find({ [`positions.${name}`]: { $exists: true }, $expr: { $lt: [handled, seq] } })
      .toArray();
    return new Map(found.map(({ _id, positions }) => [_id, positions?.[name]?.seq ?? 0]));
  }

  return {
    async relay(saleIds) {
      const unfinished = [...(await catchUp(saleIds)), ...(await goOn(saleIds))];
      return [...new Set(unfinished)];
    },

    async look() {
      const due = new Set<string>();
      for (const subscription of await listTargets(collections, bus)) {
        const name = subscription._id;
        if (!unhandled.has(name)) {
          unhandled.set(name, await findUnhandled(name));
          behind.add(name);
        }
        const { publishes, isEmpty, hasRoom } = await bus.inspect(name);
        if (publishes < subscription.publishes) await startOver(subscription);
        else if (isEmpty) await confirm(subscription);
        if (!hasRoom || !behind.has(name)) continue;
        const sales = await findLate(collections, name);
        if (sales.length === 0) behind.delete(name);
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

/** Only a record that says so: without a position of its own, a subscription is where the relay is. */
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
  /** Events of the span that it wants. */
  wanted: number;
  /** Whether it did not get them. */
  isStuck: boolean;
}

/**
 * Moves the relay's position in a sale, and those of its subscriptions. Never backwards: whoever lost the lease in the
 * middle of this may come too late. Nor does it touch a position that was set back after a loss it does not know of.
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
          // Who comes too late has counted what somebody else counted.
          waiting: { $add: [waiting, { $cond: [{ $lte: [{ $ifNull: ['$seq', 0] }, from] }, wanted, 0] }] },
          losses,
        }
      : {
          seq: { $max: [seq, to] },
          // Where there was nothing to handle, all is handled that was before.
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

/** Has a sale's log published again to these subscriptions, from behind a document on. @returns whether it ever was. */
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
  const { matchedCount } = await driverOf(relays).updateOne({ _id: saleId }, [{ $set: set }]);
  return matchedCount > 0;
}

/** Sales in which a subscription is behind the relay, at most 1,000. */
async function findLate({ relays }: Collections, name: string): Promise<string[]> {
  const late = await driverOf(relays)
    .find(
      { [`positions.${name}`]: { $exists: true }, $expr: { $lt: [fieldsOf(name).seq, '$seq'] } },
      { projection: { _id: 1 } },
    )
    .limit(salesAtOnce)
    .toArray();
  return late.map(({ _id }) => _id);
}

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
