import { createHash } from 'node:crypto';
import type { Channel } from 'amqplib';
import { z } from 'zod';

/** The contract of the three services and their clients: bodies, events, exchanges, queues and routing keys. */

const text = (maxLength: number) => z.string().trim().min(1).max(maxLength);
const quantityMax = 1_000_000;

/** Body of `POST /order`. */
export const newOrder = z.strictObject({
  user_id: text(64),
  item: text(80),
  quantity: z.int().min(1).max(quantityMax),
});
export type NewOrder = z.infer<typeof newOrder>;

/** The status of an order. `accepted` means that inventory has not decided yet. */
export type OrderStatus = 'accepted' | 'reserved' | 'failed';

/** The JSON of every event. Unknown fields are kept, so that a newer sender can add some. */
export const event = z.object({
  event_id: z.uuid(),
  event_type: z.enum(['OrderPlaced', 'InventoryReserved', 'InventoryFailed']),
  order_id: z.uuid(),
  timestamp: z.iso.datetime({ offset: true }),
  user_id: text(64),
  item: text(80),
  quantity: z.int().min(1).max(quantityMax),
});
export type Event = z.infer<typeof event>;
export type EventType = Event['event_type'];

/** The exchange of each event type. */
export const routes: Record<EventType, { exchange: string; routingKey: string }> = {
  OrderPlaced: { exchange: 'orders', routingKey: 'order.placed' },
  InventoryReserved: { exchange: 'inventory', routingKey: 'inventory.reserved' },
  InventoryFailed: { exchange: 'inventory', routingKey: 'inventory.failed' },
};

export const deadLetterExchange = 'dlx';
/** The name of a queue's dead-letter queue, which is also its routing key. */
export const deadLettersOf = (queue: string) => `${queue}-dlq`;

/** The queues, and the event types of each. */
export const queues = {
  inventory: { queue: 'order-events', types: ['OrderPlaced'] },
  notifications: { queue: 'inventory-events', types: ['InventoryReserved'] },
  /** For OrderService, which shows the status of an order. */
  orders: { queue: 'order-status', types: ['InventoryReserved', 'InventoryFailed'] },
} as const satisfies Record<string, { queue: string; types: readonly EventType[] }>;

/** Declares all exchanges and queues. Each service does so, since any of them may start first; it is idempotent. */
export async function declareTopology(channel: Channel): Promise<void> {
  for (const exchange of ['orders', 'inventory', deadLetterExchange])
    await channel.assertExchange(exchange, 'topic', { durable: true });
  for (const { queue, types } of Object.values(queues)) {
    const deadLetters = deadLettersOf(queue);
    await channel.assertQueue(deadLetters, { durable: true });
    await channel.bindQueue(deadLetters, deadLetterExchange, deadLetters);
    await channel.assertQueue(queue, {
      durable: true,
      deadLetterExchange,
      deadLetterRoutingKey: deadLetters,
    });
    for (const type of types) await channel.bindQueue(queue, routes[type].exchange, routes[type].routingKey);
  }
}

/** @throws Error with the reason for the log and the dead letter. */
export function readEvent(content: Buffer, types: readonly EventType[]): Event {
  let json: unknown;
  try {
    json = JSON.parse(content.toString());
  } catch (error) {
    throw new Error(`Not JSON: ${(error as Error).message}`);
  }
  const parsed = event.safeParse(json);
  if (!parsed.success) throw new Error(`Not an event: ${z.prettifyError(parsed.error)}`);
  if (!types.includes(parsed.data.event_type))
    throw new Error(`Expected ${types.join(' or ')}, got ${parsed.data.event_type}`);
  return parsed.data;
}

/** A UUID derived from these texts (RFC 9562, version 8), so that a repeated request gets the same one. */
export function uuidOf(...texts: string[]): string {
  const bytes = createHash('sha256').update(JSON.stringify(texts)).digest().subarray(0, 16);
  bytes.writeUInt8((bytes.readUInt8(6) & 0x0f) | 0x80, 6);
  bytes.writeUInt8((bytes.readUInt8(8) & 0x3f) | 0x80, 8);
  return bytes.toString('hex').replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-');
}
