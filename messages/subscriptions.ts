import { mongoClock } from '../runtime/clock.ts';
import { within } from '../runtime/within.ts';
import { type Collections, driverOf } from '../store/collections.ts';
import type { SubscriptionRecord } from '../store/event-collections.ts';
import type { EventBus, Subscription } from './bus.ts';

type Declared = Pick<Subscription, 'name' | 'types'>;

/** A position is kept under the name, so it must be usable as a key in MongoDB. */
const namePattern = /^[a-z0-9][a-z0-9-]{0,63}$/;

/** Makes a subscription known for good: from now on no sale's log moves on without it. Safe to repeat. */
export async function noteSubscription(
  { subscriptions }: Pick<Collections, 'subscriptions'>,
  { name, types }: Declared,
): Promise<void> {
  if (!namePattern.test(name)) {
    throw new Error(`Not a subscription's name: expected small letters, digits and hyphens, got ${name}`);
  }
  await driverOf(subscriptions).updateOne(
    { _id: name },
    { $set: { types: [...types] }, $setOnInsert: { publishes: 0, losses: 0, createdAt: mongoClock.now() } },
    { upsert: true },
  );
}

/**
 * Whom the relay publishes to: every subscription that was ever noted, and those that only the engine knows, as it was
 * told by a process of the version before this one.
 */
export async function listTargets(collections: Collections, bus: EventBus): Promise<SubscriptionRecord[]> {
  const declared = await bus.listDeclared();
  const known = await listSubscriptions(collections);
  const knownTypes = new Map(known.map(({ _id, types }) => [_id, types.join()]));
  // A name that nobody may have must not hold up the others.
  const news = declared.filter(
    ({ name, types }) => namePattern.test(name) && knownTypes.get(name) !== types.join(),
  );
  for (const subscription of news) await noteSubscription(collections, subscription);
  const all = news.length > 0 ? await listSubscriptions(collections) : known;
  return bus.fansOut ? all.filter(({ _id }) => declared.some(({ name }) => name === _id)) : all;
}

export async function listSubscriptions({ subscriptions }: Collections): Promise<SubscriptionRecord[]> {
  return await driverOf(subscriptions).find().sort({ _id: 1 }).toArray();
}

/**
 * Forgets a subscription that nobody runs any more, with all that waits for it and its dead letters.
 * @returns whether there was such a one.
 */
export async function removeSubscription(
  collections: Collections,
  bus: EventBus,
  name: string,
): Promise<boolean> {
  // The engine first: what it knows is noted again.
  await bus.remove(name);
  const { deletedCount } = await driverOf(collections.subscriptions).deleteOne({ _id: name });
  if (deletedCount === 0) return false;
  // Should it come back, it begins with what happens then.
  await driverOf(collections.relays).updateMany({}, { $unset: { [`positions.${name}`]: '' } });
  return true;
}

const patienceMs = 500;

/**
 * Events that wait for each subscription: in its queue, and those that its queue had no room for. A document of the log
 * that the relay has not read yet counts as one. Left out are subscriptions whose engine does not say in time.
 */
export async function countLag(collections: Collections, bus: EventBus): Promise<Record<string, number>> {
  const subscriptions = await listSubscriptions(collections);
  if (subscriptions.length === 0) return {};
  const [inLog, unread] = await Promise.all([
    countInLog(
      collections,
      subscriptions.map(({ _id }) => _id),
    ),
    countUnread(collections),
  ]);
  const counts = await Promise.all(
    subscriptions.map(async ({ _id }) => {
      const queued = await within(patienceMs, bus.countWaiting(_id)).catch(() => null);
      return queued === null ? [] : [[_id, queued + (inLog[_id] ?? 0) + unread] as const];
    }),
  );
  return Object.fromEntries(counts.flat());
}

async function countInLog({ relays }: Collections, names: string[]): Promise<Record<string, number>> {
  const sums = names.map((name) => [name, { $sum: `$positions.${name}.waiting` }]);
  const [counts] = await driverOf(relays)
    .aggregate<Record<string, number>>([{ $group: { _id: null, ...Object.fromEntries(sums) } }])
    .toArray();
  return counts ?? {};
}

async function countUnread({ sales, relays }: Collections): Promise<number> {
  const sumOf = async (found: { toArray: () => Promise<{ sum: number }[]> }) =>
    (await found.toArray())[0]?.sum ?? 0;
  // In this order what is written meanwhile counts as read, and not twice.
  const read = await sumOf(driverOf(relays).aggregate([{ $group: { _id: null, sum: { $sum: '$seq' } } }]));
  const written = await sumOf(
    driverOf(sales).aggregate([{ $group: { _id: null, sum: { $sum: '$eventSeq' } } }]),
  );
  return Math.max(0, written - read);
}
