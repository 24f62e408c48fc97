import type { CloudEvent, EventType } from '../../log/schemas.ts';
import type { BusEvent, Subscription } from '../../messages/bus.ts';
import { mongoClock } from '../../runtime/clock.ts';
import { isRehearsal } from '../../sale/rehearsal.ts';
import type { Collections } from '../../store/collections.ts';
import type { WebhookRecord } from '../../store/event-collections.ts';

/**
 * The event types that an endpoint can subscribe to. `order.placed` and `inventory.*` are left out, because each happens
 * in the same transaction as an order's result, and would triple the number of deliveries.
 */
export const webhookTypes = [
  'order.held',
  'order.paid',
  'order.rejected',
  'order.cancelled',
  'order.expired',
  'order.refunded',
  'order.refund_failed',
  'sale.created',
  'sale.opened',
  'sale.paused',
  'sale.resumed',
  'sale.rescheduled',
  'sale.stock_added',
  'sale.drawn',
  'sale.ended',
] as const satisfies EventType[];

/**
 * Stores each delivery as a record to be sent by sender.ts, so that an endpoint that hangs delays neither the bus nor
 * other endpoints.
 */
export function webhooks(collections: Collections): Subscription {
  return {
    name: 'webhooks',
    types: webhookTypes,
    maxBatch: 1_000,
    async handle(events) {
      const endpoints = await collections.webhooks.find().toArray();
      const due = endpoints.flatMap((endpoint) => deliveriesTo(endpoint, events.filter(isOfShop)));
      // Upserts by event and endpoint: a redelivered event leaves the existing delivery alone.
      if (due.length > 0) await collections.deliveries.bulkWrite(due, { ordered: false });
    },
  };
}

/** Nothing of a rehearsal leaves the shop. An event's id begins with its sale's. */
const isOfShop = ({ id }: BusEvent) => !isRehearsal(id);

/** Deliveries expire after 30 days, so an older event may have been delivered already and is skipped. */
const maxAgeMs = 29 * 86_400_000;

function deliveriesTo({ _id: webhookId, types, createdAt }: WebhookRecord, events: BusEvent[]) {
  const now = mongoClock.now();
  const sinceMs = Math.max(createdAt.getTime(), now.getTime() - maxAgeMs);
  return events
    .filter(({ type, time }) => types.includes(type as EventType) && Date.parse(time) >= sinceMs)
    .map((event) => ({
      updateOne: {
        filter: { _id: `${webhookId}:${event.id}` },
        update: {
          $setOnInsert: {
            webhookId,
            event: event as CloudEvent,
            state: 'waiting' as const,
            attempts: 0,
            dueAt: now,
            status: null,
            error: null,
            createdAt: now,
          },
        },
        upsert: true,
      },
    }));
}
