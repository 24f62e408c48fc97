import type { Channel } from 'amqplib';
import {
  deadLetterExchange,
  deadLetteringOf,
  makeDeadLetters,
  makeQuorumQueue,
  safeDeadLetteringOf,
} from '../runtime/rabbit/queues.ts';
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
  const firstWord = type.split('.')[0] ?? '';
  const exchange = Object.hasOwn(exchanges, firstWord) && exchanges[firstWord];
  if (!exchange) throw new Error(`No exchange takes ${type}`);
  return exchange;
}
