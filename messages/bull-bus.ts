import Bull from 'bull';
import type { Redis } from 'ioredis';
import { nanoid } from 'nanoid';
import { openDuty } from '../runtime/duty.ts';
import type { Log } from '../runtime/log.ts';
import type { BusEvent, DeadEvent, EventBus, Subscription } from './bus.ts';
import { type DeliveryRules, deliver } from './delivery.ts';

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

interface EventJob {
  events: BusEvent[];
}

/** Types of each subscription, as JSON by its name: whoever publishes finds in it who wants what. */
const subscriptionsKey = 'events:subscriptions';

/** A job of 1,000 events is about 450 kB. */
const maxEventsInJob = 1_000;
/** Past that a subscription takes nothing more: Redis must not fill up, and the event log keeps the rest. */
const maxWaitingEvents = 200_000;

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

    async publish(events) {
      const subscriptions = Object.entries(await redis.hgetall(subscriptionsKey));
      const shares = subscriptions.flatMap(([name, types]) => {
        const wants = matcherOf(JSON.parse(types));
        const wanted = events.filter(({ type }) => wants(type));
        return wanted.length > 0 ? [{ name, wanted }] : [];
      });
      const adding = async () => {
        // All or none: whoever publishes again would give the others everything twice.
        await Promise.all(shares.map(({ name }) => requireRoom(liveQueue(name), name)));
        await Promise.all(shares.map(({ name, wanted }) => add(name, wanted)));
      };
      await within(publishDeadlineMs, adding());
    },

    async subscribe(subscription) {
      const { name } = subscription;
      await bus.declare([subscription]);
      const queue = liveQueue(name);
      const duty = openDuty({ redis, name: `events-${name}`, ttlMs: options.leaseMs, log }, (stopping) =>
        takeJobs(queue, subscription, {
          ...options.rules,
          bury: (letter) => bury(name, letter),
          stopping,
        }),
      );
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

function openQueue(name: string, shared: Redis, openClient: () => Redis, log: Log): Bull.Queue {
  const queue = new Bull(name, {
    // Only waiting for a job blocks a connection.
    createClient: ((type: string) => (type === 'bclient' ? openClient() : shared)) as never,
    // How long one waiting lasts (s), and with it a stop of an idle subscription.
    settings: { drainDelay: 1 } as Bull.AdvancedSettings,
  });
  queue.on('error', (error) => log.warn({ queue: name, error: error.message }, 'Bull'));
  return queue;
}

/**
 * Takes a subscription's jobs, one after the other. A job that is active already was somebody's who died, or stopped in
 * the middle: it comes first. A job that is not done with stays active, for whoever takes over.
 */
async function takeJobs(
  queue: Bull.Queue<EventJob>,
  subscription: Subscription,
  rules: DeliveryRules,
): Promise<void> {
  while (!rules.stopping.aborted) {
    const [left] = await queue.getActive(0, 0);
    const job = left ?? (await queue.getNextJob());
    if (!job) continue;
    const { events } = job.data;
    const done = await deliver(subscription, events, rules);
    if (done === events.length) await job.moveToCompleted(undefined, true, true);
    else if (done > 0) await job.update({ events: events.slice(done) });
  }
}

/** Ids of a subscription's jobs, those in hand first. */
async function idsOf(queue: Bull.Queue): Promise<string[]> {
  const lists = ['active', 'wait', 'paused'].map((state) => queue.client.lrange(queue.toKey(state), 0, -1));
  return (await Promise.all(lists)).flat();
}

const countEvents = (jobIds: string[]) =>
  jobIds.reduce((sum, id) => sum + Number(id.slice(id.lastIndexOf('-') + 1)), 0);

async function requireRoom(queue: Bull.Queue, name: string): Promise<void> {
  const jobs = await queue.client.llen(queue.toKey('wait'));
  if (jobs * maxEventsInJob < maxWaitingEvents) return;
  const events = countEvents(await idsOf(queue));
  if (events >= maxWaitingEvents) throw new Error(`${events} events wait for ${name}: it takes no more`);
}

/** Bull numbers nothing itself here, and takes no id that is a number or has a colon. */
const deadId = (eventId: string) => `dead-${eventId.replaceAll(':', '.')}`;

function chunksOf(events: BusEvent[]): BusEvent[][] {
  const chunks: BusEvent[][] = [];
  for (let start = 0; start < events.length; start += maxEventsInJob) {
    chunks.push(events.slice(start, start + maxEventsInJob));
  }
  return chunks;
}

function matcherOf(patterns: string[]): (type: string) => boolean {
  const source = patterns.map((pattern) => pattern.replaceAll('.', '\\.').replaceAll('*', '[^.]+'));
  const pattern = new RegExp(`^(?:${source.join('|')})$`);
  return (type) => pattern.test(type);
}

async function within(ms: number, work: Promise<unknown>): Promise<void> {
  const timer = new AbortController();
  const late = new Promise<never>((_, reject) => {
    const timeout = setTimeout(() => reject(new Error(`Redis did not answer in ${ms} ms`)), ms);
    timer.signal.addEventListener('abort', () => clearTimeout(timeout));
  });
  try {
    await Promise.race([work, late]);
  } finally {
    timer.abort();
  }
}
