import { readFileSync } from 'node:fs';
import Bull from 'bull';
import type { Redis } from 'ioredis';
import { nanoid } from 'nanoid';
import type { Log } from '../runtime/observe/log.ts';
import { bullAddJob } from '../sale/queue/bull-add-job.ts';
import type { BusEvent, Subscription } from './bus.ts';
import { type DeliveryRules, deliver } from './delivery.ts';

/** The data of a job in a subscription's queue; its events are in the order published. */
export interface EventJob {
  events: BusEvent[];
}

/** Maximum number of events in one job, which is then about 450 kB. */
const maxEventsInJob = 1_000;

export function openQueue(
  name: string,
  shared: Redis,
  openClient: () => Redis,
  log: Log,
  prefix = 'bull',
): Bull.Queue {
  const queue = new Bull(name, {
    prefix,
    // Only the blocking client, which waits for jobs, needs a connection of its own.
    createClient: ((type: string) => (type === 'bclient' ? openClient() : shared)) as never,
    // Duration of one blocking wait in seconds, which bounds the time that an idle subscription takes to stop.
    settings: { drainDelay: 1 } as Bull.AdvancedSettings,
  });
  queue.on('error', (error) => log.warn({ queue: name, error: error.message }, 'Bull reported an error'));
  return queue;
}

/**
 * Handles a subscription's jobs, one after the other. A job that is active already was left by a process that died or was
 * stopped, and comes first. An unfinished job stays active for the next process.
 */
export async function consumeJobs(
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

/** The ids of a subscription's jobs, the active ones first. */
export async function idsOf(queue: Bull.Queue): Promise<string[]> {
  const lists = ['active', 'wait', 'paused'].map((state) => queue.client.lrange(queue.toKey(state), 0, -1));
  return (await Promise.all(lists)).flat();
}

/** The number of events in these jobs, which is the last part of each id. */
export const countEvents = (jobIds: string[]) =>
  jobIds.reduce((sum, id) => sum + Number(id.slice(id.lastIndexOf('-') + 1)), 0);

/** Bull's options of an event job, besides its id. */
const jobOptions = { removeOnComplete: true, attempts: 1, delay: 0 };

declare module 'ioredis' {
  interface RedisCommander {
    publishEvents(...keysAndArguments: (string | number)[]): Promise<number | 'full' | 'lost'>;
  }
}

/**
 * Adds jobs for these events in one atomic step, unless the queue is full or was lost.
 * @param publishes the hash of publish counts by subscription, and the count that this queue must have reached.
 */
export async function addJobs(
  redis: Redis,
  queue: Bull.Queue<EventJob>,
  events: BusEvent[],
  { publishes, maxJobs }: { publishes: { key: string; name: string; atLeast: number }; maxJobs: number },
): Promise<number | 'full' | 'lost'> {
  redis.defineCommand('publishEvents', { numberOfKeys: 7, lua: publishLua });
  const keys = bullAddJob.keys.map((name) => queue.toKey(name));
  const jobs = chunksOf(events).flatMap((chunk) => {
    // The id contains the number of events, so that waiting events are counted without reading the jobs.
    const jobId = `${nanoid()}-${chunk.length}`;
    return [jobId, JSON.stringify({ events: chunk }), JSON.stringify({ ...jobOptions, jobId })];
  });
  return await redis.publishEvents(
    publishes.key,
    ...keys,
    publishes.name,
    publishes.atLeast,
    maxJobs,
    queue.toKey(''),
    Date.now(),
    ...jobs,
  );
}

const publishLua = `
  local function addBullJob(KEYS, ARGV)
    ${bullAddJob.lua}
  end
  ${readFileSync(new URL('./publish.lua', import.meta.url), 'utf8')}
`;

function chunksOf(events: BusEvent[]): BusEvent[][] {
  const chunks: BusEvent[][] = [];
  for (let start = 0; start < events.length; start += maxEventsInJob) {
    chunks.push(events.slice(start, start + maxEventsInJob));
  }
  return chunks;
}
