import type { Channel } from 'amqplib';
import type { Subscription } from './bus.ts';

/** Which exchange an event goes through, and the queues that are there for everyone. */
export interface Topology {
  /** The exchange for each first word of an event's type. */
  exchanges: Readonly<Record<string, string>>;
  /**
   * Queues for consumers that are not ours, in whatever language, and what each gets. Nobody may be reading them: each
   * keeps the newest `outsideMaxEvents` events, and what falls out goes to the dead letters of a queue that has some,
   * which are bounded in the same way.
   */
  outside: Readonly<Record<string, { types: readonly string[]; deadLetters?: boolean }>>;
}

export const shopTopology: Topology = {
  exchanges: { order: 'orders', inventory: 'inventory', sale: 'sales' },
  outside: {
    'order-events': { types: ['order.*'], deadLetters: true },
    'inventory-events': { types: ['inventory.*'] },
    'sale-events': { types: ['sale.*'] },
  },
};

const outsideMaxEvents = 100_000;
/** A subscription of ours that is so far behind stops the publishing: what is not published waits in the event log. */
const subscriptionMaxEvents = 1_000_000;
/** A consumer that dies with an event in hand, so often, has met an event that kills it. */
export const deliveryLimit = 5;

export const deadLetterExchange = 'dlx';
export const deadLettersOf = (queue: string) => `${queue}-dlq`;

/** The exchanges, and the queues for consumers outside. */
export async function makeTopology(channel: Channel, { exchanges, outside }: Topology): Promise<void> {
  for (const exchange of [...Object.values(exchanges), deadLetterExchange]) {
    await channel.assertExchange(exchange, 'topic', { durable: true });
  }
  for (const [queue, { types, deadLetters = false }] of Object.entries(outside)) {
    const bounded = { 'x-max-length': outsideMaxEvents, 'x-overflow': 'drop-head' };
    if (deadLetters) await makeDeadLetters(channel, queue, bounded);
    await makeQuorumQueue(channel, queue, { ...bounded, ...(deadLetters && deadLetteringOf(queue)) });
    await bind(channel, exchanges, queue, types);
  }
}

/** A queue of a subscription's own, and one for its dead letters. */
export async function makeSubscription(
  channel: Channel,
  { exchanges }: Topology,
  { name, types }: Pick<Subscription, 'name' | 'types'>,
): Promise<void> {
  await makeDeadLetters(channel, name);
  await makeQuorumQueue(channel, name, {
    ...safeDeadLetteringOf(name),
    'x-max-length': subscriptionMaxEvents,
    // Of several workers one gets the events, so that they keep their order; when it goes, another does.
    'x-single-active-consumer': true,
  });
  await bind(channel, exchanges, name, types);
}

/** Dead letters without a bound or a limit of deliveries: looking at them delivers them. */
export async function makeDeadLetters(channel: Channel, queue: string, more: object = {}): Promise<void> {
  await channel.assertExchange(deadLetterExchange, 'topic', { durable: true });
  await makeQuorumQueue(channel, deadLettersOf(queue), more);
  await channel.bindQueue(deadLettersOf(queue), deadLetterExchange, queue);
}

/** Replicated where there are several nodes, and on the disk before it is confirmed. */
export async function makeQuorumQueue(channel: Channel, name: string, more: object): Promise<void> {
  await channel.assertQueue(name, { durable: true, arguments: { 'x-queue-type': 'quorum', ...more } });
}

function deadLetteringOf(queue: string) {
  return {
    'x-dead-letter-exchange': deadLetterExchange,
    'x-dead-letter-routing-key': queue,
    'x-delivery-limit': deliveryLimit,
  };
}

/** A message leaves its queue only when the dead letters have it, which RabbitMQ wants a queue to refuse for. */
export function safeDeadLetteringOf(queue: string) {
  return {
    ...deadLetteringOf(queue),
    'x-dead-letter-strategy': 'at-least-once',
    'x-overflow': 'reject-publish',
  };
}

async function bind(
  channel: Channel,
  exchanges: Topology['exchanges'],
  queue: string,
  types: readonly string[],
): Promise<void> {
  for (const type of types) {
    const firstWord = type.split('.')[0] ?? '';
    const from = firstWord === '*' ? Object.values(exchanges) : [exchangeOf(exchanges, type)];
    for (const exchange of from) await channel.bindQueue(queue, exchange, type);
  }
}

/** @throws Error when no exchange is meant for it. */
export function exchangeOf(exchanges: Topology['exchanges'], type: string): string {
  const exchange = exchanges[type.split('.')[0] ?? ''];
  if (!exchange) throw new Error(`No exchange takes ${type}`);
  return exchange;
}
