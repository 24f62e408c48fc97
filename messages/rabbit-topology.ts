import type { Channel } from 'amqplib';
import {
  deadLetterExchange,
  deadLetteringOf,
  declareDeadLetters,
  declareQuorumQueue,
  safeDeadLetteringOf,
} from '../runtime/rabbit/queues.ts';
import type { Subscription } from './bus.ts';

/** The exchanges of the bus, and the queues for external consumers. */
export interface Topology {
  /** The exchange by the first word of an event's type. */
  exchanges: Readonly<Record<string, string>>;
  /**
   * Queues for external consumers, and the event types of each. A queue may have no reader, so it keeps only the newest
   * `outsideMaxEvents` events; older ones are dropped, or moved to its equally bounded dead letters if it has them.
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
/** A subscription with this many events stops publishing; the relay continues from the event log when there is room. */
const subscriptionMaxEvents = 1_000_000;

/** Declares the exchanges and the queues for external consumers. */
export async function declareTopology(channel: Channel, { exchanges, outside }: Topology): Promise<void> {
  for (const exchange of [...Object.values(exchanges), deadLetterExchange]) {
    await channel.assertExchange(exchange, 'topic', { durable: true });
  }
  for (const [queue, { types, deadLetters = false }] of Object.entries(outside)) {
    const bounded = { 'x-max-length': outsideMaxEvents, 'x-overflow': 'drop-head' };
    if (deadLetters) await declareDeadLetters(channel, queue, bounded);
    await declareQuorumQueue(channel, queue, { ...bounded, ...(deadLetters && deadLetteringOf(queue)) });
    await bind(channel, exchanges, queue, types);
  }
}

/** Declares a subscription's queue, and one for its dead letters. */
export async function declareSubscription(
  channel: Channel,
  { exchanges }: Topology,
  { name, types }: Pick<Subscription, 'name' | 'types'>,
): Promise<void> {
  await declareDeadLetters(channel, name);
  await declareQuorumQueue(channel, name, {
    ...safeDeadLetteringOf(name),
    'x-max-length': subscriptionMaxEvents,
    // One worker at a time consumes, which keeps the events in order; when it stops, another takes over.
    'x-single-active-consumer': true,
  });
  await bind(channel, exchanges, name, types);
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

/** @throws Error when no exchange is configured for the type. */
export function exchangeOf(exchanges: Topology['exchanges'], type: string): string {
  const firstWord = type.split('.')[0] ?? '';
  const exchange = Object.hasOwn(exchanges, firstWord) && exchanges[firstWord];
  if (!exchange) throw new Error(`No exchange is configured for events of type ${type}`);
  return exchange;
}
