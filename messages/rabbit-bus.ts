import type { ConsumeMessage, GetMessage } from 'amqplib';
import { groupCommit } from '../runtime/group-commit.ts';
import type { Log } from '../runtime/observe/log.ts';
import { openConsumer, type Verdict } from '../runtime/rabbit/consumer.ts';
import { countMessages, forEachDeadLetter } from '../runtime/rabbit/dead-letters.ts';
import { deadLetterExchange, deadLettersOf } from '../runtime/rabbit/queues.ts';
import type { Rabbit, RabbitMessage } from '../runtime/rabbit/rabbit.ts';
import type { BusEvent, DeadLetterEvent, EventBus, Subscription } from './bus.ts';
import { type DeliveryRules, deliver } from './delivery.ts';
import {
  declareSubscription,
  declareTopology,
  exchangeOf,
  shopTopology,
  type Topology,
} from './rabbit-topology.ts';

export interface RabbitBusOptions {
  topology?: Topology;
  /** Maximum number of unacknowledged events of a subscription. */
  prefetch: number;
  rules: Pick<DeliveryRules, 'isTransient' | 'retryWaitsMs'>;
}

/**
 * The event bus on RabbitMQ: topic exchanges with the event's type as the routing key, and a quorum queue for each
 * subscription. rabbit-topology.ts also declares queues for external consumers.
 */
export function openRabbitBus(
  rabbit: Rabbit,
  { topology = shopTopology, prefetch, rules: ownRules }: RabbitBusOptions,
  log: Log,
): EventBus {
  /** Number of events that this process is handling, by subscription. */
  const unacknowledged = new Map<string, number>();
  const declareExchanges = rabbit.prepares((channel) => declareTopology(channel, topology));

  function storeDeadLetter(name: string, { event, error, failedAt }: DeadLetterEvent): Promise<void> {
    const letter = messageOf(event, deadLetterExchange, name);
    const headers = {
      ...letter.headers,
      'x-error': error.slice(0, errorMaxCharacters),
      'x-failed-at': failedAt,
    };
    return rabbit.publish([{ ...letter, headers }]);
  }

  async function declare(subscriptions: Pick<Subscription, 'name' | 'types'>[]): Promise<void> {
    await declareExchanges();
    const declareAll = rabbit.prepares(async (channel) => {
      for (const subscription of subscriptions) await declareSubscription(channel, topology, subscription);
    });
    await declareAll();
  }

  async function publish(events: BusEvent[]): Promise<void> {
    await declareExchanges();
    await rabbit.publish(
      events.map((event) => messageOf(event, exchangeOf(topology.exchanges, event.type), event.type)),
    );
  }

  return {
    fansOut: true,
    declare,
    publish,
    listDeclared: async () => [{ name: exchangesName, types: ['*.*'] }],

    async publishTo(_exchanges, events, publishes) {
      await publish(events);
      return publishes;
    },

    // RabbitMQ does not count publishes; its queues are durable and never report a loss.
    inspect: async () => ({ publishes: Number.POSITIVE_INFINITY, isEmpty: true, hasRoom: true }),
    restore: async () => {},

    async subscribe(subscription) {
      const { name } = subscription;
      await declare([subscription]);
      const stopping = new AbortController();
      const rules = {
        ...ownRules,
        storeDeadLetter: (letter: DeadLetterEvent) => storeDeadLetter(name, letter),
        stopping: stopping.signal,
      };
      // Messages that arrive while a batch is handled form the next batch, in the same order.
      const batches = groupCommit({
        send: (messages: ConsumeMessage[]) => handleBatch(subscription, messages, rules),
        maxBatch: subscription.maxBatch,
        maxWaiting: prefetch,
      });
      const handle = async (message: ConsumeMessage) => {
        unacknowledged.set(name, (unacknowledged.get(name) ?? 0) + 1);
        return await batches
          .submit(message)
          .finally(() => unacknowledged.set(name, (unacknowledged.get(name) ?? 0) - 1));
      };
      const consumer = await openConsumer(rabbit, { queue: name, prefetch }, handle, log);
      return {
        async close() {
          stopping.abort();
          await consumer.close();
        },
      };
    },

    // AMQP does not report the unacknowledged events of another process; they are at most `prefetch`.
    async countWaiting(name) {
      if (name === exchangesName) return 0;
      await declareExchanges();
      return (await countMessages(rabbit, name)) + (unacknowledged.get(name) ?? 0);
    },

    async listDeadLetters(name, limit) {
      await declareExchanges();
      const letters: DeadLetterEvent[] = [];
      const total = await forEachDeadLetter(rabbit, deadLettersOf(name), (letter) => {
        letters.push(deadLetterEventOf(letter));
        return 'keep';
      });
      letters.sort((one, other) => one.failedAt.localeCompare(other.failedAt));
      return { total, letters: letters.slice(0, limit) };
    },

    async republish(name, eventId) {
      return await removeDeadLetter(rabbit, name, eventId, async (letter) => {
        const { event } = deadLetterEventOf(letter);
        // Published directly to its queue, because the other subscribers have handled it.
        await rabbit.publish([{ ...messageOf(event, '', name), content: letter.content }]);
      });
    },

    discard: (name, eventId) => removeDeadLetter(rabbit, name, eventId, async () => {}),

    async remove(name) {
      await rabbit.use(async (channel) => {
        for (const queue of [name, deadLettersOf(name)]) await channel.deleteQueue(queue);
      });
    },

    // The caller who opened the connection closes it.
    close: async () => {},
  };
}

/** The relay's only target with RabbitMQ: it publishes each event once, and the exchanges route it to the queues. */
const exchangesName = 'exchanges';

/** All headers of a message have to fit into one AMQP frame. */
const errorMaxCharacters = 2_000;

/** @returns how each message is answered. A malformed message is dead-lettered at once. */
async function handleBatch(
  subscription: Subscription,
  messages: ConsumeMessage[],
  rules: DeliveryRules,
): Promise<Verdict[]> {
  const read = messages.map(readEvent);
  const events = read.filter((event) => event !== null);
  const done = new Set(events.slice(0, await deliver(subscription, events, rules)));
  return read.map((event) => (event === null ? 'dead' : done.has(event) ? 'done' : 'again'));
}

/** Removes a dead letter after `before` resolved, and any duplicate that a crash left. @returns whether it existed. */
async function removeDeadLetter(
  rabbit: Rabbit,
  name: string,
  eventId: string,
  before: (letter: GetMessage) => Promise<void>,
): Promise<boolean> {
  let found = false;
  await forEachDeadLetter(rabbit, deadLettersOf(name), async (letter) => {
    if (deadLetterEventOf(letter).event.id !== eventId) return 'keep';
    if (!found) await before(letter);
    found = true;
    return 'take';
  });
  return found;
}

function messageOf(event: BusEvent, exchange: string, routingKey: string): RabbitMessage {
  return {
    exchange,
    routingKey,
    id: event.id,
    type: event.type,
    content: Buffer.from(JSON.stringify(event)),
    contentType: 'application/cloudevents+json',
    ...(event.subject !== undefined && { correlationId: event.subject }),
    ...(event.traceparent !== undefined && { headers: { traceparent: event.traceparent } }),
  };
}

/** @returns null when the message is not an event; other publishers can send anything. */
function readEvent({ content }: { content: Buffer }): BusEvent | null {
  try {
    const event = JSON.parse(content.toString());
    return typeof event.id === 'string' && typeof event.type === 'string' ? event : null;
  } catch {
    return null;
  }
}

interface Death {
  reason: string;
  time: { value: number };
}

/** Our own dead letters carry the error; those that RabbitMQ dead-lettered itself carry the reason and time. */
function deadLetterEventOf(letter: GetMessage): DeadLetterEvent {
  const { headers = {}, messageId = '' } = letter.properties;
  const [death] = (headers['x-death'] ?? []) as Death[];
  const failedAt = new Date((death?.time.value ?? 0) * 1_000).toISOString();
  return {
    event: readEvent(letter) ?? malformedEvent(letter, messageId, failedAt),
    error: headers['x-error'] ?? `RabbitMQ dead-lettered it: ${death?.reason ?? 'no reason given'}`,
    failedAt: headers['x-failed-at'] ?? failedAt,
  };
}

function malformedEvent({ content, fields }: GetMessage, id: string, time: string): BusEvent {
  return {
    specversion: '1.0',
    id,
    source: fields.exchange,
    type: fields.routingKey,
    time,
    datacontenttype: 'application/json',
    data: content.toString(),
  };
}
