import { createHash } from 'node:crypto';
import type { ConsumeMessage, GetMessage, Message } from 'amqplib';
import type { Redis } from 'ioredis';
import { nanoid } from 'nanoid';
import { redisClock } from '../../runtime/clock.ts';
import { readBeats } from '../../runtime/leader/heartbeat.ts';
import type { Log } from '../../runtime/observe/log.ts';
import { aborted, pause } from '../../runtime/pause.ts';
import { type Consumer, openConsumer, type Verdict } from '../../runtime/rabbit/consumer.ts';
import { countMessages, walkDeadLetters } from '../../runtime/rabbit/dead-letters.ts';
import {
  deadLetterExchange,
  deadLettersOf,
  makeDeadLetters,
  makeQuorumQueue,
  safeDeadLetteringOf,
} from '../../runtime/rabbit/queues.ts';
import { isRabbitAway, type Rabbit, type RabbitMessage } from '../../runtime/rabbit/rabbit.ts';
import type { DeadLetter, PurchaseJob } from '../contract.ts';
import { attemptsMax, firstRetryMs, type PurchaseQueue } from './queue.ts';

const queueName = 'purchases';
const deadQueue = deadLettersOf(queueName);

/**
 * The queue on RabbitMQ: a job is a message. A flush cannot take units in Redis and publish in one step, so between the
 * two anything may die. Three rules keep the invariants:
 * - While RabbitMQ is known to be away nothing is admitted: no unit is taken, nothing has to be undone.
 * - Once admitted, a purchase stays so, whatever becomes of its message. Its press is answered 503 unless RabbitMQ
 *   confirmed; the next press with the same key is `known`, and that is true: Redis has it among the queued, and the
 *   reconciler makes a message for what is queued and has none (I2). To give the units back instead would be wrong when
 *   RabbitMQ had the message after all, or when another press had been told `known` meanwhile.
 * - A second message for one purchase changes nothing: an order's id is its purchase's (I3), and so the stock (I1) and
 *   the buyer's allowance (I4) are touched once.
 */
export function openRabbitQueue(rabbit: Rabbit, redis: Redis, log: Log): PurchaseQueue {
  const makeQueues = rabbit.prepares(async (channel) => {
    await makeDeadLetters(channel, queueName);
    await makeQuorumQueue(channel, queueName, safeDeadLetteringOf(queueName));
  });
  // So that the queues are there before the first press; whoever needs them asks again.
  makeQueues().catch((error) => log.warn({ error: error.message }, 'the queue of purchases waits'));

  const stopping = new AbortController();
  let processing = Promise.resolve();
  /** When each job in hand came. */
  const inHand = new Map<ConsumeMessage, number>();

  async function publish(jobs: PurchaseJob[], atMs: number): Promise<void> {
    await makeQueues();
    await rabbit.publish(jobs.map((job) => messageOf(job, atMs)));
  }

  async function consume(
    maxJobs: number,
    handle: (data: unknown) => Promise<void>,
    signal: AbortSignal,
  ): Promise<Consumer | null> {
    const take = async (message: ConsumeMessage): Promise<Verdict> => {
      inHand.set(message, timeOf(message));
      try {
        return await attempt(message, handle, signal);
      } finally {
        inHand.delete(message);
      }
    };
    while (!signal.aborted) {
      try {
        await makeQueues();
        return await openConsumer(rabbit, { queue: queueName, prefetch: maxJobs }, take, log);
      } catch (error) {
        log.warn({ error: (error as Error).message }, 'consuming waits');
        await pause(firstRetryMs, signal);
      }
    }
    return null;
  }

  /** The message stays in hand over all its attempts. A worker that dies meanwhile leaves it to another, from the first. */
  async function attempt(
    message: ConsumeMessage,
    handle: (data: unknown) => Promise<void>,
    signal: AbortSignal,
  ): Promise<Verdict> {
    const stacks: string[] = [];
    for (let retryMs = firstRetryMs; !signal.aborted; retryMs *= 2) {
      try {
        await handle(dataOf(message));
        return 'done';
      } catch (fault) {
        const error = fault as Error;
        log.error({ job: idOf(message), attempt: stacks.length + 1, error: error.message }, 'a job failed');
        stacks.push(String(error.stack).slice(0, stackMaxCharacters));
        if (stacks.length === attemptsMax) {
          await rabbit.publish([letterOf(message, error.message, stacks)]);
          return 'done';
        }
      }
      await pause(retryMs, signal);
    }
    return 'again';
  }

  async function listAllDeadLetters(): Promise<DeadLetter[]> {
    const letters: DeadLetter[] = [];
    await makeQueues();
    await walkDeadLetters(rabbit, deadQueue, (letter) => {
      letters.push(deadLetterOf(letter));
      return 'keep';
    });
    return letters.sort((one, other) => other.failedAt.localeCompare(one.failedAt));
  }

  async function takeLetter(id: string, before: (letter: GetMessage) => Promise<void>): Promise<boolean> {
    let found = false;
    await makeQueues();
    await walkDeadLetters(rabbit, deadQueue, async (letter) => {
      if (idOf(letter) !== id) return 'keep';
      // Two of one job, as a crash between publishing and acknowledging can leave them, are one letter.
      if (!found) await before(letter);
      found = true;
      return 'take';
    });
    return found;
  }

  return {
    bull: null,
    flush: {
      keys: [],
      lua: 'local function leaveJob() end\n',
      afterwards: {
        requireReady: rabbit.requireReady,
        publish: (job, atMs) =>
          publish([job], atMs).then(
            () => true,
            (error) => {
              if (!isRabbitAway(error)) throw error;
              log.warn(
                { error: error.message, purchases: job.purchases.length },
                'admitted, but not confirmed',
              );
              return false;
            },
          ),
      },
    },
    dependencies: { rabbitmq: rabbit.ping },

    async add(jobs) {
      const atMs = redisClock.now().getTime();
      await publish(jobs, atMs);
      return atMs;
    },

    async process(maxJobs, handle, signal) {
      const either = AbortSignal.any([stopping.signal, signal]);
      processing = (async () => {
        const consumer = await consume(maxJobs, handle, either);
        await aborted(either);
        await consumer?.close();
      })();
      await processing;
    },

    async countJobs() {
      await makeQueues();
      const [waiting, failed, { living }] = await Promise.all([
        countMessages(rabbit, queueName),
        countMessages(rabbit, deadQueue),
        readBeats(redis),
      ]);
      const active = living.reduce((sum, { heldJobs = 0 }) => sum + heldJobs, 0);
      return { waiting, active, delayed: 0, failed };
    },

    /**
     * Messages cannot be asked for their time without taking them. They are handed out in order, though, and each worker
     * says in its heartbeat when the oldest it holds came: what waits behind that is newer. It can err, by a second or by
     * the difference of two machines' clocks; then a purchase gets a second message, once in RECONCILE_AFTER_MS.
     */
    async oldestJobMs() {
      await makeQueues();
      const [waiting, { living }] = await Promise.all([countMessages(rabbit, queueName), readBeats(redis)]);
      const oldest = Math.min(...living.map(({ oldestJobMs }) => oldestJobMs ?? Number.POSITIVE_INFINITY));
      // Something waits and nobody holds anything: it is just being handed out.
      return waiting > 0 && oldest === Number.POSITIVE_INFINITY ? 0 : oldest;
    },

    listOrderIds: async () => null,

    listDeadLetters: async ({ start = 0, limit = 20 } = {}) =>
      (await listAllDeadLetters()).slice(start, start + limit),

    findDeadLetter: async (id) => (await listAllDeadLetters()).find((letter) => letter.id === id) ?? null,

    republish: (id) =>
      takeLetter(id, (letter) => {
        const data = dataOf(letter);
        const job = typeof data === 'object' ? { ...data, again: true } : data;
        return rabbit.publish([{ ...messageOf(job as PurchaseJob, redisClock.now().getTime()), id }]);
      }),

    removeDeadLetter: (id) => takeLetter(id, async () => {}),

    held() {
      const oldestJobMs = Math.min(...inHand.values());
      return inHand.size === 0 ? {} : { heldJobs: inHand.size, oldestJobMs };
    },

    async close() {
      stopping.abort();
      await processing;
      await rabbit.close();
    },
  };
}

/** Headers travel in one frame, with little room. */
const stackMaxCharacters = 2_000;

function messageOf(job: PurchaseJob, atMs: number): RabbitMessage {
  return {
    exchange: '',
    routingKey: queueName,
    id: nanoid(),
    content: Buffer.from(JSON.stringify(job)),
    contentType: 'application/json',
    headers: { 'x-at-ms': atMs },
  };
}

function letterOf(message: ConsumeMessage, error: string, stacks: string[]): RabbitMessage {
  return {
    exchange: deadLetterExchange,
    routingKey: queueName,
    id: idOf(message),
    content: message.content,
    contentType: 'application/json',
    headers: {
      'x-error': error.slice(0, stackMaxCharacters),
      'x-failed-at': redisClock.now().toISOString(),
      'x-stacks': JSON.stringify(stacks),
    },
  };
}

const timeOf = ({ properties }: ConsumeMessage) =>
  Number(properties.headers?.['x-at-ms'] ?? redisClock.now().getTime());

/** What somebody else wrote may have no id, or an odd one. */
function idOf({ properties, content }: Message): string {
  const { messageId } = properties;
  return /^[\w-]{21,64}$/.test(messageId ?? '')
    ? messageId
    : createHash('sha256').update(content).digest('hex').slice(0, 32);
}

function dataOf({ content }: Message): unknown {
  try {
    return JSON.parse(content.toString());
  } catch {
    return content.toString();
  }
}

/** Buried by a worker it says why; what RabbitMQ itself gave up, its workers died of. */
function deadLetterOf(letter: GetMessage): DeadLetter {
  const headers = letter.properties.headers ?? {};
  const [death] = headers['x-death'] ?? [];
  const stacks: string[] = JSON.parse(headers['x-stacks'] ?? '[]');
  return {
    id: idOf(letter),
    reason: headers['x-error'] ?? `RabbitMQ gave it up: ${death?.reason ?? 'no reason given'}`,
    attempts: stacks.length || attemptsMax,
    failedAt: headers['x-failed-at'] ?? new Date((death?.time.value ?? 0) * 1_000).toISOString(),
    data: dataOf(letter),
    stacks,
  };
}
