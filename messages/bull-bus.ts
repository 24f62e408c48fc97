import type Bull from 'bull';
import type { Redis } from 'ioredis';
import { nanoid } from 'nanoid';
import { openDuty, type Task } from '../runtime/duty.ts';
import type { Log } from '../runtime/log.ts';
import { within } from '../runtime/within.ts';
import {
  chunksOf,
  countEvents,
  type EventJob,
  idsOf,
  openQueue,
  requireRoom,
  takeJobs,
} from './bull-queue.ts';
import type { BusEvent, DeadEvent, EventBus } from './bus.ts';
import type { DeliveryRules } from './delivery.ts';

export interface BullBusOptions {
  /** Whose commands fail while Redis is away. */
  redis: Redis;
  /** A new connection that waits for Redis as long as it takes. */
  openPatientRedis: () => { redis: Redis; close: () => Promise<void> };
  log: Log;
  rules: Pick<DeliveryRules, 'isPassing' | 'retryWaitsMs'>;
  /** A process that is silent for so long loses its subscriptions to another one. */
  leaseMs: number;
  /** A publish that Redis has not acknowledged by then has failed. */
  publishDeadlineMs: number;
}

/** Types of each subscription, as JSON by its name: whoever publishes finds in it who wants what. */
const subscriptionsKey = 'events:subscriptions';

/**
 * The bus on Bull: a queue `events-<name>` for each subscription, in which a job carries a chunk of the events that were
 * published together, and a queue `events-<name>-dead` of its dead letters. One process at a time takes the jobs of a
 * subscription, one after the other, so that they stay in order.
 */
export function openBullBus(options: BullBusOptions): EventBus {
  const { redis, log, publishDeadlineMs } = options;
  const shared = options.openPatientRedis();
  const clients = [shared];
  const queues = new Map<string, Bull.Queue>();
  const duties: { close: () => Promise<void> }[] = [];
  const declared = new Map<string, readonly string[]>();

  const keepDeclared = async () => {
    for (const [name, types] of declared) await redis.hset(subscriptionsKey, name, JSON.stringify(types));
  };
  // It could be another Redis than before, which knows none of them.
  redis.on('ready', () => void keepDeclared().catch(() => {}));

  function openClient(): Redis {
    const client = options.openPatientRedis();
    clients.push(client);
    return client.redis;
  }

  function queueOf<Data>(queueName: string): Bull.Queue<Data> {
    const opened = queues.get(queueName) ?? openQueue(queueName, shared.redis, openClient, log);
    queues.set(queueName, opened);
    return opened;
  }
  const liveQueue = (name: string) => queueOf<EventJob>(`events-${name}`);
  const deadQueue = (name: string) => queueOf<DeadEvent>(`events-${name}-dead`);

  async function add(name: string, events: BusEvent[]): Promise<void> {
    const jobs = chunksOf(events).map((chunk) => ({
      data: { events: chunk },
      // The count in the id tells how much waits without reading the jobs.
      opts: { jobId: `${nanoid()}-${chunk.length}`, removeOnComplete: true },
    }));
    const added = await liveQueue(name).addBulk(jobs);
    if (added.some(({ id }) => !id)) throw new Error(`Redis refused events for ${name}`);
  }

  async function bury(name: string, letter: DeadEvent): Promise<void> {
    // The same event again is the same job, and changes nothing.
    await deadQueue(name).add(letter, { jobId: deadId(letter.event.id) });
    log.error(
      { subscription: name, event: letter.event.id, error: letter.error },
      'an event is a dead letter',
    );
  }

  /** @returns null when there is none. */
  async function findDead(name: string, eventId: string): Promise<Bull.Job<DeadEvent> | null> {
    return await deadQueue(name).getJob(deadId(eventId));
  }

  const bus: EventBus = {
    async declare(subscriptions) {
      for (const { name, types } of subscriptions) declared.set(name, types);
      await keepDeclared();
    },

    async publish(events, idle = []) {
      const subscriptions = Object.entries(await redis.hgetall(subscriptionsKey));
      const shares = subscriptions.flatMap(([name, types]) => {
        const wants = matcherOf(JSON.parse(types));
        const wanted = idle.includes(name) ? [] : events.filter(({ type }) => wants(type));
        return wanted.length > 0 ? [{ name, wanted }] : [];
      });
      const adding = async () => {
        // All or none: whoever publishes again would give the others everything twice.
        await Promise.all(shares.map(({ name }) => requireRoom(liveQueue(name), name)));
        await Promise.all(shares.map(({ name, wanted }) => add(name, wanted)));
      };
      await within(
        publishDeadlineMs,
        adding(),
        () => new Error(`Redis did not answer in ${publishDeadlineMs} ms`),
      );
    },

    async subscribe(subscription) {
      const { name } = subscription;
      await bus.declare([subscription]);
      const queue = liveQueue(name);
      const taking: Task = (stopping) =>
        takeJobs(queue, subscription, {
          ...options.rules,
          bury: (letter) => bury(name, letter),
          stopping,
        });
      const duty = openDuty({ redis, name: `events-${name}`, ttlMs: options.leaseMs, log }, { taking });
      duties.push(duty);
      return duty;
    },

    countWaiting: async (name) => countEvents(await idsOf(liveQueue(name))),

    async listDeadLetters(name, limit) {
      const queue = deadQueue(name);
      const [total, jobs] = await Promise.all([queue.count(), queue.getWaiting(0, limit - 1)]);
      return { total, letters: jobs.filter(Boolean).map(({ data }) => data) };
    },

    async republish(name, eventId) {
      const job = await findDead(name, eventId);
      if (!job) return false;
      await add(name, [job.data.event]);
      await job.remove();
      return true;
    },

    async discard(name, eventId) {
      const job = await findDead(name, eventId);
      await job?.remove();
      return job !== null;
    },

    async close() {
      await Promise.all(duties.map((duty) => duty.close()));
      // The queues themselves have nothing to close: no processor of Bull's runs on them.
      for (const client of clients) await client.close();
    },
  };
  return bus;
}

/** Bull numbers nothing itself here, and takes no id that is a number or has a colon. */
const deadId = (eventId: string) => `dead-${eventId.replaceAll(':', '.')}`;

function matcherOf(patterns: string[]): (type: string) => boolean {
  const source = patterns.map((pattern) => pattern.replaceAll('.', '\\.').replaceAll('*', '[^.]+'));
  const pattern = new RegExp(`^(?:${source.join('|')})$`);
  return (type) => pattern.test(type);
}
