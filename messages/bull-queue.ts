import Bull from 'bull';
import type { Redis } from 'ioredis';
import type { Log } from '../runtime/log.ts';
import type { BusEvent, Subscription } from './bus.ts';
import { type DeliveryRules, deliver } from './delivery.ts';

/** What a job in a subscription's queue carries, in the order published. */
export interface EventJob {
  events: BusEvent[];
}

/** A job of 1,000 events is about 450 kB. */
const maxEventsInJob = 1_000;
/** Past that a subscription takes nothing more: Redis must not fill up, and the event log keeps the rest. */
const maxWaitingEvents = 200_000;

export function openQueue(name: string, shared: Redis, openClient: () => Redis, log: Log): Bull.Queue {
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
export async function takeJobs(
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
export async function idsOf(queue: Bull.Queue): Promise<string[]> {
  const lists = ['active', 'wait', 'paused'].map((state) => queue.client.lrange(queue.toKey(state), 0, -1));
  return (await Promise.all(lists)).flat();
}

export const countEvents = (jobIds: string[]) =>
  jobIds.reduce((sum, id) => sum + Number(id.slice(id.lastIndexOf('-') + 1)), 0);

export async function requireRoom(queue: Bull.Queue, name: string): Promise<void> {
  const jobs = await queue.client.llen(queue.toKey('wait'));
  if (jobs * maxEventsInJob < maxWaitingEvents) return;
  const events = countEvents(await idsOf(queue));
  if (events >= maxWaitingEvents) throw new Error(`${events} events wait for ${name}: it takes no more`);
}

export function chunksOf(events: BusEvent[]): BusEvent[][] {
  const chunks: BusEvent[][] = [];
  for (let start = 0; start < events.length; start += maxEventsInJob) {
    chunks.push(events.slice(start, start + maxEventsInJob));
  }
  return chunks;
}
