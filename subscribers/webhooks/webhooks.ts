import type { CloudEvent, EventType } from '../../log/schemas.ts';
import type { BusEvent, Subscription } from '../../messages/bus.ts';
import { mongoClock } from '../../runtime/clock.ts';
import type { Collections } from '../../store/collections.ts';
import type { WebhookRecord } from '../../store/event-collections.ts';

/**
 * What a shop's endpoint can ask for. Left out are `order.placed` and `inventory.*`: each of them comes in one
 * transaction with an order's result, about the same units, and would triple what travels.
 */
export const webhookTypes = [
  'order.held',
  'order.paid',
  'order.rejected',
  'order.cancelled',
  'order.expired',
  'sale.created',
  'sale.opened',
  'sale.paused',
  'sale.resumed',
  'sale.rescheduled',
  'sale.stock_added',
  'sale.ended',
] as const satisfies EventType[];

/**
 * Writes down which event goes to which endpoint, and no more: an endpoint that hangs holds up neither the bus nor its
 * neighbours, since webhook-sender.ts tries each delivery in its own time.
 */
export function webhooks(collections: Collections): Subscription {
  return {
    name: 'webhooks',
    types: webhookTypes,
    maxBatch: 1_000,
    async handle(events) {
      const endpoints = await collections.webhooks.find().lean<WebhookRecord[]>();
      const due = endpoints.flatMap((endpoint) => deliveriesTo(endpoint, events));
      // One that is there already was written at an earlier handling.
      if (due.length > 0) await collections.deliveries.bulkWrite(due, { ordered: false });
    },
  };
}

/** A delivery is forgotten after 30 days: an event of before that could have been delivered already. */
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
