import { randomBytes } from 'node:crypto';
import { nanoid } from 'nanoid';
import { appendStaffEntry, type By } from '../../accounts/staff-log.ts';
import type { Delivery, Webhook } from '../../insight/contract.ts';
import type { EventType } from '../../log/schemas.ts';
import { mongoClock } from '../../runtime/clock.ts';
import { transact } from '../../runtime/databases/transact.ts';
import { type Collections, insertWithin } from '../../store/collections.ts';
import type { DeliveryRecord, WebhookRecord } from '../../store/event-collections.ts';
import { afterCursor, pageOf } from '../../store/time-cursor.ts';

/** Maximum number of a shop's endpoints. */
const maxWebhooks = 50;

const subjectOf = (id: string) => ({ kind: 'webhook', id });

/** @returns the webhook with its secret, which is never shown again; `too_many` when there are 50 already. */
export async function addWebhook(
  collections: Collections,
  { url, types }: { url: string; types: EventType[] },
  by: By,
): Promise<(Webhook & { secret: string }) | 'too_many'> {
  const record: WebhookRecord = {
    _id: nanoid(),
    url,
    types,
    secret: `whsec_${randomBytes(32).toString('base64')}`,
    createdAt: mongoClock.now(),
  };
  const entry = { ...by, action: 'webhook.added', subject: subjectOf(record._id), after: { url, types } };
  const isAdded = await insertWithin(collections, collections.webhooks, record, maxWebhooks, (session) =>
    appendStaffEntry(collections, session, entry),
  );
  return isAdded ? { ...webhookOf(record), secret: record.secret } : 'too_many';
}

export async function listWebhooks({ webhooks }: Collections): Promise<Webhook[]> {
  const found = await webhooks.find().sort({ createdAt: 1 }).toArray();
  return found.map(webhookOf);
}

/** Deletes a webhook with its deliveries, also those not yet sent. @returns whether it existed. */
export async function removeWebhook(collections: Collections, id: string, by: By): Promise<boolean> {
  const { connection, webhooks, deliveries } = collections;
  const removed = await transact(connection, async (session) => {
    const record = await webhooks.findOneAndDelete({ _id: id }, { session });
    if (!record) return false;
    const before = { url: record.url, types: record.types };
    const entry = { ...by, action: 'webhook.removed', subject: subjectOf(id), before };
    await appendStaffEntry(collections, session, entry);
    return true;
  });
  // Also when it was removed before, because that process may have died in between.
  await deliveries.deleteMany({ webhookId: id });
  return removed;
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
  collections: Collections,
  webhookId: string,
  by: By,
): Promise<number | null> {
  if (!(await collections.webhooks.findOne({ _id: webhookId }))) return null;
  for (let resent = 0; ; ) {
    const count = await resendSomeFailed(collections, webhookId, by);
    resent += count;
    if (count < resentAtOnce) return resent;
  }
}

/** Deliveries that one transaction schedules again, so that it stays short. */
const resentAtOnce = 1_000;

async function resendSomeFailed(collections: Collections, webhookId: string, by: By): Promise<number> {
  const { connection, deliveries } = collections;
  return await transact(connection, async (session) => {
    const failed = deliveries.find({ webhookId, state: 'failed' }, { projection: { _id: 1 }, session });
    const ids = (await failed.limit(resentAtOnce).toArray()).map(({ _id }) => _id);
    if (ids.length === 0) return 0;
    const fresh = { state: 'waiting' as const, attempts: 0, dueAt: mongoClock.now() };
    await deliveries.updateMany({ _id: { $in: ids } }, { $set: fresh }, { session });
    const entry = { ...by, action: 'webhook.deliveries_resent', subject: subjectOf(webhookId) };
    await appendStaffEntry(collections, session, { ...entry, after: { deliveries: ids.length } });
    return ids.length;
  });
}

function webhookOf({ _id, url, types, createdAt }: WebhookRecord): Webhook {
  return { id: _id, url, types: [...types], createdAt: createdAt.toISOString() };
}

function deliveryOf({ event, state, attempts, dueAt, status, error }: DeliveryRecord): Delivery {
  const { id: eventId, type, time } = event;
  return { eventId, type, time, state, attempts, dueAt: dueAt.toISOString(), status, error };
}
