import type { Channel } from 'amqplib';

/** Where a message goes that its queue gave up, under the name of that queue. */
export const deadLetterExchange = 'dlx';
export const deadLettersOf = (queue: string) => `${queue}-dlq`;

/** A consumer that died so often with one message in hand has met a message that kills it. */
const deliveryLimit = 5;

/**
 * Replicated where there are several nodes, and on the disk before it is confirmed.
 * RabbitMQ 3.10 writes its register of such queues a second or two after it made one: killed before that, it has lost
 * the queue, and publishing to it is never confirmed until somebody deletes it.
 */
export async function makeQuorumQueue(channel: Channel, name: string, more: object): Promise<void> {
  await channel.assertQueue(name, { durable: true, arguments: { 'x-queue-type': 'quorum', ...more } });
}

/** Dead letters have no limit of deliveries: looking at them delivers them. */
export async function makeDeadLetters(channel: Channel, queue: string, more: object = {}): Promise<void> {
  await channel.assertExchange(deadLetterExchange, 'topic', { durable: true });
  await makeQuorumQueue(channel, deadLettersOf(queue), more);
  await channel.bindQueue(deadLettersOf(queue), deadLetterExchange, queue);
}

/** Arguments of a queue whose messages are dead letters after too many deliveries, or when its consumer says so. */
export function deadLetteringOf(queue: string) {
  return {
    'x-dead-letter-exchange': deadLetterExchange,
    'x-dead-letter-routing-key': queue,
    'x-delivery-limit': deliveryLimit,
  };
}

/** The same, and a message leaves its queue only once the dead letters have it. A full queue must refuse, for that. */
export function safeDeadLetteringOf(queue: string) {
  return {
    ...deadLetteringOf(queue),
    'x-dead-letter-strategy': 'at-least-once',
    'x-overflow': 'reject-publish',
  };
}
