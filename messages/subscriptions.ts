import { mongoClock } from '../runtime/clock.ts';
import { withTimeout } from '../runtime/with-timeout.ts';
import type { Collections } from '../store/collections.ts';
import type { SubscriptionRecord } from '../store/event-collections.ts';
import type { EventBus, Subscription } from './bus.ts';

type Declared = Pick<Subscription, 'name' | 'types'>;

/** The name is a field name in the relay's positions, so it must be valid as one in MongoDB. */
const namePattern = /^[a-z0-9][a-z0-9-]{0,63}$/;

/** Registers a subscription permanently: the relay publishes all later events to it. Idempotent. */
export async function registerSubscription(
  { subscriptions }: Pick<Collections, 'subscriptions'>,
  { name, types }: Declared,
): Promise<void> {
  if (!namePattern.test(name)) {
    throw new Error(`Invalid subscription name: expected lowercase letters, digits and hyphens, got ${name}`);
  }
  await subscriptions.updateOne(
    { _id: name },
    { $set: { types: [...types] }, $setOnInsert: { publishes: 0, losses: 0, createdAt: mongoClock.now() } },
    { upsert: true },
  );
}

/**
 * The subscriptions that the relay publishes to: all registered ones, and those that only the engine lists, because a
 * process of the previous version declared them.
 */
export async function listTargets(collections: Collections, bus: EventBus): Promise<SubscriptionRecord[]> {
  const declared = await bus.listDeclared();
  const known = await listSubscriptions(collections);
  const knownTypes = new Map(known.map(({ _id, types }) => [_id, types.join()]));
  // An invalid name is skipped, so that it does not stop the relay.
  const unregistered = declared.filter(
    ({ name, types }) => namePattern.test(name) && knownTypes.get(name) !== types.join(),
  );
  for (const subscription of unregistered) await registerSubscription(collections, subscription);
  const all = unregistered.length > 0 ? await listSubscriptions(collections) : known;
  return bus.fansOut ? all.filter(({ _id }) => declared.some(({ name }) => name === _id)) : all;
}

export async function listSubscriptions({ subscriptions }: Collections): Promise<SubscriptionRecord[]> {
  return await subscriptions.find().sort({ _id: 1 }).toArray();
}

/**
 * Deletes a subscription that is no longer used, with its queue and dead letters.
 * @returns whether it existed.
 */
export async function removeSubscription(
  collections: Collections,
  bus: EventBus,
  name: string,
): Promise<boolean> {
  // Removed from the engine first, because a subscription that is still declared there would be registered again.
  await bus.remove(name);
  const { deletedCount } = await collections.subscriptions.deleteOne({ _id: name });
  if (deletedCount === 0) return false;
  // Without positions, a subscription that is registered again later starts with new events.
  await collections.relays.updateMany({}, { $unset: { [`positions.${name}`]: '' } });
  return true;
}

const patienceMs = 500;

/** Events that wait for each subscription; null where that is not known. */
export type Lag = Record<string, number | null>;

/**
 * The consumer lag of each subscription in events: those in its queue, and those not yet published to it. A log document that
 * was not relayed yet counts as one event. It is null where the queue does not answer in time.
 */
export async function countLag(collections: Collections, bus: EventBus): Promise<Lag> {
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
      const queued = await withTimeout(bus.countWaiting(_id), patienceMs).catch(() => null);
      return [_id, queued === null ? null : queued + (inLog[_id] ?? 0) + unread] as const;
    }),
  );
  return Object.fromEntries(counts);
}

async function countInLog({ relays }: Collections, names: string[]): Promise<Record<string, number>> {
  const sums = names.map((name) => [name, { $sum: `$positions.${name}.waiting` }]);
  const [counts] = await relays
    .aggregate<Record<string, number>>([{ $group: { _id: null, ...Object.fromEntries(sums) } }])
    .toArray();
  return counts ?? {};
}

async function countUnread({ sales, relays }: Collections): Promise<number> {
  const sumOf = async (found: { toArray: () => Promise<{ sum: number }[]> }) =>
    (await found.toArray())[0]?.sum ?? 0;
  // Read before written, so that documents appended in between increase the lag instead of making it negative.
  const read = await sumOf(relays.aggregate([{ $group: { _id: null, sum: { $sum: '$seq' } } }]));
  const written = await sumOf(sales.aggregate([{ $group: { _id: null, sum: { $sum: '$eventSeq' } } }]));
  return Math.max(0, written - read);
}
