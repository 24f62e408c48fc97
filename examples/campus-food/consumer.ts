import type { ConsumeMessage } from 'amqplib';
import { type Connection, Schema } from 'mongoose';
import type { Log } from '../../runtime/observe/log.ts';
import { type Consumer, openConsumer, type Verdict } from '../../runtime/rabbit/consumer.ts';
import type { Rabbit } from '../../runtime/rabbit/rabbit.ts';
import { retry } from '../../runtime/retry.ts';
import { deadLetterExchange, deadLettersOf, type Event, type EventType, readEvent } from './contract.ts';
import type { Settings } from './settings.ts';

/** An idempotent handler: it has one effect for each `event_id`, however often it is called. */
export type EventHandler = (event: Event) => Promise<void>;

const attemptsMax = 5;
/** A message that crashed its consumers this often becomes a dead letter. */
const redeliveriesMax = 5;
const redeliveriesKeptSeconds = 86_400;
const errorMaxCharacters = 1_000;

interface ConsumerOptions {
  mongo: Connection;
  settings: Settings;
  /** Whether an error is temporary, so that it is retried without using up an attempt. */
  isTransient: (error: unknown) => boolean;
  stopping: AbortSignal;
  log: Log;
}

/**
 * Consumes a queue with manual acknowledgement: a message is acknowledged after it was handled, or after it is in the
 * dead-letter queue. A malformed message goes there at once, a failing one after five attempts with backoff.
 */
export async function consumeEvents(
  rabbit: Rabbit,
  { queue, types }: { queue: string; types: readonly EventType[] },
  handle: EventHandler,
  options: ConsumerOptions,
): Promise<Consumer> {
  const { settings, isTransient, stopping, log } = options;
  const redeliveries = openRedeliveries(options.mongo);

  /** Retries `work` while it fails with temporary errors. */
  const whenPossible = <Result>(work: () => Promise<Result>) =>
    retry(work, { firstMs: 200, longestMs: 5_000, signal: stopping, shouldRetry: isTransient });

  async function hand(message: ConsumeMessage): Promise<Verdict> {
    try {
      return await handleOrDeadLetter(message);
    } catch (error) {
      if (error === stopping.reason) return 'again';
      throw error;
    }
  }

  async function handleOrDeadLetter(message: ConsumeMessage): Promise<Verdict> {
    let event: Event;
    try {
      event = readEvent(message.content, types);
    } catch (error) {
      return await deadLetter(message, error as Error);
    }
    if (message.fields.redelivered) {
      const seen = await whenPossible(() => redeliveries.count(queue, event.event_id));
      if (seen > redeliveriesMax) {
        return await deadLetter(message, new Error(`It crashed its consumers ${redeliveriesMax} times`));
      }
    }
    try {
      await retry(() => whenPossible(() => handle(event)), {
        firstMs: settings.EVENT_RETRY_FIRST_MS,
        longestMs: Infinity,
        maxAttempts: attemptsMax,
        signal: stopping,
        shouldRetry: (error) => error !== stopping.reason,
        onFailure: ({ message: error }, retryMs) =>
          log.warn({ queue, event_id: event.event_id, error, retryMs }, 'handling an event failed'),
      });
      return 'done';
    } catch (error) {
      if (error === stopping.reason) throw error;
      return await deadLetter(message, error as Error);
    }
  }

  /** Publishes the original body with the reason in a header, and waits for the confirm before the acknowledgement. */
  async function deadLetter({ content, properties }: ConsumeMessage, error: Error): Promise<Verdict> {
    const reason = error.message.slice(0, errorMaxCharacters);
    log.error({ queue, message_id: properties.messageId, error: reason }, 'message sent to the dead letters');
    const letter = {
      exchange: deadLetterExchange,
      routingKey: deadLettersOf(queue),
      id: String(properties.messageId ?? crypto.randomUUID()),
      content,
      contentType: properties.contentType ?? 'application/octet-stream',
      headers: { 'x-error': reason },
    };
    await whenPossible(() => rabbit.publish([letter]));
    return 'done';
  }

  return await openConsumer(rabbit, { queue, prefetch: settings.RABBITMQ_PREFETCH }, hand, log);
}

interface RedeliveryRecord {
  _id: string;
  count: number;
  lastAt: Date;
}

/** The number of redeliveries of each message, over all instances. */
function openRedeliveries(mongo: Connection) {
  const redelivery = new Schema<RedeliveryRecord>(
    {
      _id: { type: String, required: true },
      count: { type: Number, required: true },
      lastAt: { type: Date, required: true, expires: redeliveriesKeptSeconds },
    },
    { versionKey: false, strict: 'throw', collection: 'redeliveries' },
  );
  const model = mongo.model<RedeliveryRecord>('Redelivery', redelivery);
  return {
    async count(queue: string, eventId: string): Promise<number> {
      const update = { $inc: { count: 1 }, $set: { lastAt: new Date() } };
      const options = { upsert: true, returnDocument: 'after' } as const;
      const record = await model.findOneAndUpdate({ _id: `${queue}:${eventId}` }, update, options).lean();
      return record?.count ?? 1;
    },
  };
}
