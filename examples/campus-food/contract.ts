import { createHash } from 'node:crypto';
import { z } from 'zod';
import type { BusEvent } from '../../messages/bus.ts';
import type { Topology } from '../../messages/rabbit-topology.ts';

/** All that the three services know of each other: the events, and the queues in which they wait. */

export const newOrder = z.strictObject({
  studentId: z.string().regex(/^[A-Za-z0-9-]{3,32}$/, 'expected a student id: 3 to 32 letters, digits or -'),
  dishes: z
    .array(
      z.strictObject({ dish: z.string().trim().min(1).max(80), quantity: z.int().min(1).max(20) }),
      'expected a list of {dish, quantity}',
    )
    .min(1, 'expected at least one dish')
    .max(20),
});

/** Data of `order.placed`: all there is to know of an order, so that nobody has to ask anybody else for it. */
export const placedOrder = newOrder.extend({ id: z.string().min(1).max(64), placedAt: z.iso.datetime() });
export type PlacedOrder = z.infer<typeof placedOrder>;

/** Data of `inventory.reserved` and `inventory.failed`. */
export const decision = z.object({ order: placedOrder, decidedAt: z.iso.datetime() });

export const topology: Topology = { exchanges: { order: 'orders', inventory: 'inventory' }, outside: {} };

/** The queue of each service, with its dead letters in `<name>-dlq`. */
export const subscriptions = {
  inventory: { name: 'order-events', types: ['order.placed'] },
  orders: { name: 'inventory-events', types: ['inventory.reserved', 'inventory.failed'] },
  notifications: { name: 'notifications', types: ['inventory.reserved'] },
} as const;

/** The same student's same Idempotency-Key is the same order, however often it is sent. @returns 22 characters. */
export function orderIdOf(studentId: string, idempotencyKey: string): string {
  return createHash('sha256').update(`${studentId}\n${idempotencyKey}`).digest('base64url').slice(0, 22);
}

/** Its id follows from the order's: placed once more, it is the same event once more. */
export function placedEvent(order: PlacedOrder): BusEvent {
  return eventOf(`${order.id}.placed`, '/orders', 'order.placed', order.id, order);
}

/** @param about the event that was decided about, which has one decision only. */
export function decisionEvent(
  about: string,
  outcome: 'reserved' | 'failed',
  data: z.infer<typeof decision>,
): BusEvent {
  return eventOf(`${about}.decided`, '/inventory', `inventory.${outcome}`, data.order.id, data);
}

function eventOf(id: string, source: string, type: string, subject: string, data: unknown): BusEvent {
  const time = new Date().toISOString();
  return { specversion: '1.0', id, source, type, subject, time, datacontenttype: 'application/json', data };
}

/** @throws Error that says what is wrong with it: its text goes with it to the dead letters. */
export function dataOf<Data>(schema: z.ZodType<Data>, { id, type, data }: BusEvent): Data {
  const parsed = schema.safeParse(data);
  if (parsed.success) return parsed.data;
  throw new Error(`${type} ${id} is malformed: ${z.prettifyError(parsed.error)}`);
}
