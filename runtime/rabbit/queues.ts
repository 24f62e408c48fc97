import type { Channel } from 'amqplib';

/** The exchange for dead-lettered messages; the routing key is the name of the queue they come from. */
export const deadLetterExchange = 'dlx';
export const deadLettersOf = (queue: string) => `${queue}-dlq`;

/** A message that was redelivered this often is dead-lettered, because it may be the cause of its consumers' crashes. */
const deliveryLimit = 5;

/**
 * Declares a quorum queue: replicated where there are several nodes, and on disk before a message is confirmed.
 * RabbitMQ 3.10 stores a new queue's metadata only after a second or two: if it is killed before that, the queue is lost,
 * and publishing to it is not confirmed until an operator deletes the queue.
 */
export async function declareQuorumQueue(channel: Channel, name: string, more: object): Promise<void> {
  await channel.assertQueue(name, { durable: true, arguments: { 'x-queue-type': 'quorum', ...more } });
}

/** Declares a queue's dead letter queue. It has no delivery limit, because each listing of dead letters delivers them. */
export async function declareDeadLetters(channel: Channel, queue: string, more: object = {}): Promise<void> {
  await channel.assertExchange(deadLetterExchange, 'topic', { durable: true });
  await declareQuorumQueue(channel, deadLettersOf(queue), more);
  await channel.bindQueue(deadLettersOf(queue), deadLetterExchange, queue);
}

/** Arguments of a queue whose messages are dead-lettered after too many deliveries, or when its consumer rejects them. */
export function deadLetteringOf(queue: string) {
  return {
    'x-dead-letter-exchange': deadLetterExchange,
    'x-dead-letter-routing-key': queue,
    'x-delivery-limit': deliveryLimit,
  };
}

/** The same with at-least-once dead-lettering, for which RabbitMQ requires that a full queue rejects new messages. */
export function safeDeadLetteringOf(queue: string) {
  return {
    ...deadLetteringOf(queue),
    'x-dead-letter-strategy': 'at-least-once',
    'x-overflow': 'reject-publish',
  };
}
