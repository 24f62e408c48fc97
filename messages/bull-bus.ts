import type Bull from 'bull';
import type { Redis } from 'ioredis';
import { onReconnect } from '../runtime/databases/connections.ts';
import { type LeaderTask, openLeaderElection } from '../runtime/leader/leader.ts';
import type { Log } from '../runtime/observe/log.ts';
import { withTimeout } from '../runtime/with-timeout.ts';
import { keepBullScripts } from '../sale/queue/bull-scripts.ts';
import { addJobs, consumeJobs, countEvents, type EventJob, idsOf, openQueue } from './bull-queue.ts';
import { type DeadLetterEvent, type EventBus, matcherOf } from './bus.ts';
import type { DeliveryRules } from './delivery.ts';

export interface BullBusOptions {
  /** A connection whose commands fail while Redis is unavailable. */
  redis: Redis;
  /** Opens a connection whose commands wait for Redis without a limit. */
  openPatientRedis: (options?: { enableReadyCheck: boolean }) => { redis: Redis; close: () => Promise<void> };
  log: Log;
  rules: Pick<DeliveryRules, 'isTransient' | 'retryWaitsMs'>;
  /** Lifetime of the lease that a process needs to consume a subscription. */
  leaseMs: number;
  /** Time-out of a publish. */
  publishDeadlineMs: number;
  /** Capacity of a subscription's queue in jobs (about 200); more events stay in the event log. */
  maxJobs?: number;
}

/** Types of each subscription, as JSON by its name, for workers of the previous version and for publish(). */
const subscriptionsKey = 'events:subscriptions';

/**
 * The bus on Bull: a queue `events-<name>` for each subscription, in which a job carries a chunk of the events that were
 * published together, and a queue `events-<name>-dead` of its dead letters. One process at a time takes the jobs of a
 * subscription, one after the other, so that they stay in order.
 */
export function openBullBus(options: BullBusOptions): EventBus {
  const { redis, log, publishDeadlineMs, maxJobs = 200 } = options;
  // On Redis Cluster the queues and the counts have one hash tag, because a publish writes both in one script.
  const prefix = redis.isCluster ? '{bull}' : 'bull';
  /** Number of publishes to each subscription's queue. It is lost together with the queues, which reveals the loss. */
  const publishesKey = redis.isCluster ? '{bull}:events:publishes' : 'events:publishes';
  const shared = options.openPatientRedis();
  keepBullScripts(shared.redis, log);
  const clients = [shared];
  const queues = new Map<string, Bull.Queue>();
  const elections: { close: () => Promise<void> }[] = [];
  const declared = new Map<string, readonly string[]>();

  const storeDeclared = async () => {
    for (const [name, types] of declared) await redis.hset(subscriptionsKey, name, JSON.stringify(types));
  };
  // Repeated on each connect, because Redis may have come back without its data.
  onReconnect(redis, () => void storeDeclared().catch(() => {}));

  function openClient(): Redis {
    // Bull does not allow the ready check on a blocking connection.
    const client = options.openPatientRedis({ enableReadyCheck: false });
    clients.push(client);
    return client.redis;
  }

  function queueOf<Data>(queueName: string): Bull.Queue<Data> {
    const opened = queues.get(queueName) ?? openQueue(queueName, shared.redis, openClient, log, prefix);
    queues.set(queueName, opened);
    return opened;
  }
  const eventQueue = (name: string) => queueOf<EventJob>(`events-${name}`);
  const deadLetterQueue = (name: string) => queueOf<DeadLetterEvent>(`events-${name}-dead`);

  const withDeadline = <Value>(work: Promise<Value>) =>
    withTimeout(work, publishDeadlineMs, () => new Error(`Redis did not answer in ${publishDeadlineMs} ms`));

  async function storeDeadLetter(name: string, letter: DeadLetterEvent): Promise<void> {
    // The job id is derived from the event, so that storing an event twice changes nothing.
    await deadLetterQueue(name).add(letter, { jobId: deadId(letter.event.id) });
    log.error(
      { subscription: name, event: letter.event.id, error: letter.error },
      'event moved to the dead letters',
    );
  }

  /** @returns null when there is none. */
  async function findDeadLetterJob(name: string, eventId: string): Promise<Bull.Job<DeadLetterEvent> | null> {
    return await deadLetterQueue(name).getJob(deadId(eventId));
  }

  const bus: EventBus = {
    fansOut: false,

    async declare(subscriptions) {
      for (const { name, types } of subscriptions) declared.set(name, types);
      await storeDeclared();
    },

    async listDeclared() {
      const found = await redis.hgetall(subscriptionsKey);
      return Object.entries(found).map(([name, types]) => ({ name, types: JSON.parse(types) as string[] }));
    },

    async publish(events) {
      for (const { name, types } of await bus.listDeclared()) {
        const wanted = events.filter(matcherOf(types));
        if (wanted.length > 0 && (await bus.publishTo(name, wanted, 0)) === 'full')
          throw new Error(`The queue of ${name} is full`);
      }
    },

    publishTo: (name, events, publishes) =>
      withDeadline(
        addJobs(redis, eventQueue(name), events, {
          publishes: { key: publishesKey, name, atLeast: publishes },
          maxJobs,
        }),
      ),

    async inspect(name) {
      const queue = eventQueue(name);
      const [publishes, waiting, active, dead] = await withDeadline(
        Promise.all([
          redis.hget(publishesKey, name),
          redis.llen(queue.toKey('wait')),
          redis.llen(queue.toKey('active')),
          redis.llen(deadLetterQueue(name).toKey('wait')),
        ]),
      );
      // Dead letters count as unhandled, so that they are published again if Redis loses them.
      const isEmpty = waiting + active + dead === 0;
      return { publishes: Number(publishes ?? 0), isEmpty, hasRoom: waiting < maxJobs };
    },

    async restore(name, publishes) {
      await redis.hset(publishesKey, name, publishes);
    },

    async subscribe(subscription) {
      const { name } = subscription;
      await bus.declare([subscription]);
      const queue = eventQueue(name);
      const consuming: LeaderTask = (stopping) =>
        consumeJobs(queue, subscription, {
          ...options.rules,
          storeDeadLetter: (letter) => storeDeadLetter(name, letter),
          stopping,
        });
      const election = openLeaderElection(
        { redis, name: `events-${name}`, ttlMs: options.leaseMs, log },
        { consuming },
      );
      elections.push(election);
      return election;
    },

    countWaiting: async (name) => countEvents(await idsOf(eventQueue(name))),

    async listDeadLetters(name, limit) {
      const queue = deadLetterQueue(name);
      const [total, jobs] = await Promise.all([queue.count(), queue.getWaiting(0, limit - 1)]);
      return { total, letters: jobs.filter(Boolean).map(({ data }) => data) };
    },

    async republish(name, eventId) {
      const job = await findDeadLetterJob(name, eventId);
      if (!job) return false;
      // An operator's republish is added even if the queue is full.
      await addJobs(shared.redis, eventQueue(name), [job.data.event], {
        publishes: { key: publishesKey, name, atLeast: 0 },
        maxJobs: Number.MAX_SAFE_INTEGER,
      });
      await job.remove();
      return true;
    },

    async discard(name, eventId) {
      const job = await findDeadLetterJob(name, eventId);
      await job?.remove();
      return job !== null;
    },

    async remove(name) {
      declared.delete(name);
      await shared.redis.hdel(subscriptionsKey, name);
      for (const queue of [eventQueue(name), deadLetterQueue(name)]) await queue.obliterate({ force: true });
      await shared.redis.hdel(publishesKey, name);
    },

    async close() {
      await Promise.all(elections.map((election) => election.close()));
      // The queues need no close, because Bull runs no processor on them.
      for (const client of clients) await client.close();
    },
  };
  return bus;
}

/** A job id for an event; Bull allows no id that is a number or contains a colon. */
const deadId = (eventId: string) => `dead-${eventId.replaceAll(':', '.')}`;
