import { randomBytes } from 'node:crypto';
import { nanoid } from 'nanoid';
import type { Delivery, Webhook } from '../../insight/contract.ts';
import type { EventType } from '../../log/schemas.ts';
import { mongoClock } from '../../runtime/clock.ts';
import { type Collections, insertWithin } from '../../store/collections.ts';
import type { DeliveryRecord, WebhookRecord } from '../../store/event-collections.ts';
import { afterCursor, pageOf } from '../../store/time-cursor.ts';

/** Maximum number of a shop's endpoints. */
const maxWebhooks = 50;

/** @returns the webhook with its secret, which is never shown again; `too_many` when there are 50 already. */
export async function addWebhook(
  collections: Collections,
  { url, types }: { url: string; types: EventType[] },
): Promise<(Webhook & { secret: string }) | 'too_many'> {
  const record: WebhookRecord = {
    _id: nanoid(),
    url,
    types,
    secret: `whsec_${randomBytes(32).toString('base64')}`,
    createdAt: mongoClock.now(),
  };
  const isAdded = await insertWithin(collections, collections.webhooks, record, maxWebhooks);
  return isAdded ? { ...webhookOf(record), secret: record.secret } : 'too_many';
}

export async function listWebhooks({ webhooks }: Collections): Promise<Webhook[]> {
  const found = await webhooks.find().sort({ createdAt: 1 }).toArray();
  return found.map(webhookOf);
}

/** Deletes a webhook with its deliveries, also those not yet sent. @returns whether it existed. */
export async function removeWebhook({ webhooks, deliveries }: Collections, id: string): Promise<boolean> {
  const { deletedCount } = await webhooks.deleteOne({ _id: id });
  await deliveries.deleteMany({ webhookId: id });
  return deletedCount === 1;
}

/** A page of a webhook's deliveries, newest first; null when there is no such webhook. */
export async function listDeliveries(
  { webhooks, deliveries }: Collections,
  webhookId: string,
  { cursor, limit }: { cursor?: string | undefined; limit: number },
): Promise<{ deliveries: Delivery[]; nextCursor: string | null } | null> {
  if (!(await webhooks.findOne({ _id: webhookId }))) return null;
  const found = await deliveries
    .find({ webhookId, ...afterCursor('createdAt', cursor) })
    .sort({ createdAt: -1, _id: -1 })
    .limit(limit + 1)
    .toArray();
  const { page, nextCursor } = pageOf(found, 'createdAt', limit);
  return { deliveries: page.map(deliveryOf), nextCursor };
}

/** Schedules all failed deliveries to be sent again. @returns how many; null when there is no such webhook. */
export async function resendFailed(
  { webhooks, deliveries }: Collections,
  webhookId: string,
): Promise<number | null> {
  if (!(await webhooks.findOne({ _id: webhookId }))) return null;
  const { modifiedCount } = await deliveries.updateMany(
    { webhookId, state: 'failed' },
    { $set: { state: 'waiting', attempts: 0, dueAt: mongoClock.now() } },
  );
  return modifiedCount;
}

function webhookOf({ _id, url, types, createdAt }: WebhookRecord): Webhook {
  return { id: _id, url, types: [...types], createdAt: createdAt.toISOString() };
}

function deliveryOf({ event, state, attempts, dueAt, status, error }: DeliveryRecord): Delivery {
  const { id: eventId, type, time } = event;
  return { eventId, type, time, state, attempts, dueAt: dueAt.toISOString(), status, error };
}
