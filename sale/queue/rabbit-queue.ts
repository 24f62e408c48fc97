import { createHash } from 'node:crypto';
import type { ConsumeMessage, GetMessage, Message } from 'amqplib';
import type { Redis } from 'ioredis';
import { nanoid } from 'nanoid';
import { redisClock } from '../../runtime/clock.ts';
import { readBeats } from '../../runtime/leader/heartbeat.ts';
import type { Log } from '../../runtime/observe/log.ts';
import { aborted } from '../../runtime/pause.ts';
import { type Consumer, openConsumer, type Verdict } from '../../runtime/rabbit/consumer.ts';
import { countMessages, forEachDeadLetter } from '../../runtime/rabbit/dead-letters.ts';
import {
  deadLetterExchange,
  deadLettersOf,
  declareDeadLetters,
  declareQuorumQueue,
  safeDeadLetteringOf,
} from '../../runtime/rabbit/queues.ts';
import { isRabbitAway, type Rabbit, type RabbitMessage } from '../../runtime/rabbit/rabbit.ts';
import { retry } from '../../runtime/retry.ts';
import { Fenced } from '../../store/shards.ts';
import type { DeadLetter, PurchaseJob } from '../contract.ts';
import type { Shard } from '../shard.ts';
import { attemptsMax, type PurchaseQueue } from './queue.ts';

const queueName = 'purchases';
const deadQueue = deadLettersOf(queueName);
/** All shards share one queue, because a quorum queue costs a Raft group of its own. */
const onlyShard: Shard = 0;

/**
 * The queue on RabbitMQ: each job is a message. Redis and RabbitMQ cannot be written in one atomic step, so a process may
 * die between the two. Three rules keep the invariants:
 * - Nothing is admitted while RabbitMQ is known to be unavailable, so there is nothing to undo.
 * - An admitted purchase stays admitted, even if its message is lost. The request is answered 503 unless RabbitMQ confirmed
 *   the message; a retry with the same key is answered `known`, and the reconciler publishes a new message for a queued
 *   purchase that has none (I2). Giving the units back instead would be wrong when RabbitMQ had stored the message after
 *   all, or when another request had been answered `known` meanwhile.
 * - A second message for one purchase changes nothing: the order id is derived from the purchase (I3), so the stock (I1)
 *   and the buyer's allowance (I4) change once.
 *
 * @param firstRetryMs the delay before the second attempt at a job; it doubles for each further one.
 */
export function openRabbitQueue(rabbit: Rabbit, redis: Redis, firstRetryMs: number, log: Log): PurchaseQueue {
  const makeQueues = rabbit.prepares(async (channel) => {
    await declareDeadLetters(channel, queueName);
    await declareQuorumQueue(channel, queueName, safeDeadLetteringOf(queueName));
  });
  // Declared early so that the queues exist before the first purchase; each use declares them again if this fails.
  makeQueues().catch((error) => log.warn({ error: error.message }, 'declaring the purchase queue failed'));

  const stopping = new AbortController();
  let processing = Promise.resolve();
  /** Arrival time of each job being handled, in Unix ms. */
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
    const open = async () => {
      await makeQueues();
      return await openConsumer(rabbit, { queue: queueName, prefetch: maxJobs }, take, log);
    };
    return await retry(open, {
      firstMs: firstRetryMs,
      longestMs: firstRetryMs,
      signal,
      onFailure: ({ message }, retryMs) =>
        log.warn({ error: message, retryMs }, 'cannot consume purchases, retrying'),
    }).catch(() => null);
  }

  /** The message stays unacknowledged during all attempts. If the worker dies, another starts with the first attempt. */
  async function attempt(
    message: ConsumeMessage,
    handle: (data: unknown) => Promise<void>,
    signal: AbortSignal,
  ): Promise<Verdict> {
    const stacks: string[] = [];
    try {
      await retry(() => handle(dataOf(message)), {
        firstMs: firstRetryMs,
        longestMs: Infinity,
        maxAttempts: attemptsMax,
        shouldRetry: (error) => !(error instanceof Fenced),
        signal,
        onFailure(error) {
          stacks.push(String(error.stack).slice(0, stackMaxCharacters));
          log.error(
            { job: idOf(message), attempt: stacks.length, error: error.message },
            'purchase job failed',
          );
        },
      });
    } catch (error) {
      if (error === signal.reason || error instanceof Fenced) return 'again';
      await rabbit.publish([letterOf(message, (error as Error).message, stacks)]);
    }
    return 'done';
  }

  async function listAllDeadLetters(): Promise<DeadLetter[]> {
    const letters: DeadLetter[] = [];
    await makeQueues();
    await forEachDeadLetter(rabbit, deadQueue, (letter) => {
      letters.push(deadLetterOf(letter));
      return 'keep';
    });
    return letters.sort((one, other) => other.failedAt.localeCompare(one.failedAt));
  }

  /** Removes a dead letter after `before` resolved. @returns whether it existed. */
  async function removeLetter(id: string, before: (letter: GetMessage) => Promise<void>): Promise<boolean> {
    let found = false;
    await makeQueues();
    await forEachDeadLetter(rabbit, deadQueue, async (letter) => {
      if (idOf(letter) !== id) return 'keep';
      // A crash between publishing and acknowledging can leave two copies of one dead letter; both are removed.
      if (!found) await before(letter);
      found = true;
      return 'take';
    });
    return found;
  }

  return {
    bulls: [],
    shards: [onlyShard],
    flush: {
      keysIn: () => [],
      lua: 'local function addJob() end\n',
      afterwards: {
        requireReady: rabbit.requireReady,
        publish: (job, atMs) =>
          publish([job], atMs).then(
            () => true,
            (error) => {
              if (!isRabbitAway(error)) throw error;
              log.warn(
                { error: error.message, purchases: job.purchases.length },
                'purchases admitted, but RabbitMQ did not confirm the job',
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

    async process(_shard, maxJobs, handle, signal) {
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
     * A message's age cannot be read without consuming it. But messages are delivered in order, and each worker's heartbeat
     * carries the time of the oldest message it holds, so every waiting message is newer. The result can be wrong by a
     * second or by the difference of two machines' clocks; then a purchase gets a second message, at most once in
     * 30 s.
     */
    async oldestJobMs() {
      await makeQueues();
      const [waiting, { living }] = await Promise.all([countMessages(rabbit, queueName), readBeats(redis)]);
      const oldest = Math.min(...living.map(({ oldestJobMs }) => oldestJobMs ?? Number.POSITIVE_INFINITY));
      // Messages wait but no worker holds one, so the first is being delivered right now and its age is unknown.
      return waiting > 0 && oldest === Number.POSITIVE_INFINITY ? 0 : oldest;
    },

    listOrderIds: async () => null,

    listDeadLetters: async ({ start = 0, limit = 20 } = {}) =>
      (await listAllDeadLetters()).slice(start, start + limit),

    findDeadLetter: async (id) => (await listAllDeadLetters()).find((letter) => letter.id === id) ?? null,

    republish: (id) =>
      removeLetter(id, (letter) => {
        const data = dataOf(letter);
        const job = typeof data === 'object' ? { ...data, again: true } : data;
        return rabbit.publish([{ ...messageOf(job as PurchaseJob, redisClock.now().getTime()), id }]);
      }),

    removeDeadLetter: (id) => removeLetter(id, async () => {}),

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

/** All headers of a message have to fit into one AMQP frame. */
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

/** The message's id, or a hash of its content when another publisher sent it without a usable id. */
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

/** A worker's dead letter carries its error; RabbitMQ dead-letters a message itself when its workers kept dying. */
function deadLetterOf(letter: GetMessage): DeadLetter {
  const headers = letter.properties.headers ?? {};
  const [death] = headers['x-death'] ?? [];
  const stacks: string[] = JSON.parse(headers['x-stacks'] ?? '[]');
  return {
    id: idOf(letter),
    reason: headers['x-error'] ?? `RabbitMQ dead-lettered it: ${death?.reason ?? 'no reason given'}`,
    attempts: stacks.length || attemptsMax,
    failedAt: headers['x-failed-at'] ?? new Date((death?.time.value ?? 0) * 1_000).toISOString(),
    data: dataOf(letter),
    stacks,
  };
}
