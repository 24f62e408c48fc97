import { Router } from 'express';
import { type Connection, Schema } from 'mongoose';
import type { BusEvent } from '../../messages/bus.ts';
import { dataOf, decision, type PlacedOrder, subscriptions } from './contract.ts';
import { runService } from './service.ts';

interface NotificationRecord {
  /** The id of the event it tells of, so that there is one for each event. */
  _id: string;
  orderId: string;
  studentId: string;
  text: string;
  sentAt: Date;
}

/** How many of the newest it shows. */
const shownNotifications = 100;

await runService('notifications', ({ mongo, log }) => {
  const notifications = openNotifications(mongo);

  /** "Sent" is in the list; the log line comes after it, and only for what was not in the list before. */
  async function handle(events: BusEvent[]): Promise<void> {
    const records = events.map((event) => ({ id: event.id, record: notificationOf(event) }));
    const { upsertedIds } = await notifications.bulkWrite(
      records.map(({ id, record }) => ({
        updateOne: { filter: { _id: id }, update: { $setOnInsert: record }, upsert: true },
      })),
    );
    for (const index of Object.keys(upsertedIds)) {
      const { orderId, studentId, text } = records[Number(index)]?.record ?? {};
      log.info({ orderId, studentId, text }, 'notified');
    }
  }

  const routes = Router();
  routes.get('/notifications', async (_request, response) => {
    const newest = notifications.find().sort({ sentAt: -1, _id: -1 }).limit(shownNotifications);
    const records = await newest.lean<NotificationRecord[]>();
    response.json({ notifications: records.map(({ _id, ...record }) => ({ eventId: _id, ...record })) });
  });
  return { routes, subscription: { ...subscriptions.notifications, maxBatch: 10, handle } };
});

function notificationOf(event: BusEvent): Omit<NotificationRecord, '_id'> {
  const { order } = dataOf(decision, event);
  return { orderId: order.id, studentId: order.studentId, text: textOf(order), sentAt: new Date() };
}

function textOf({ dishes }: PlacedOrder): string {
  return `Reserved for you: ${dishes.map(({ dish, quantity }) => `${quantity} × ${dish}`).join(', ')}`;
}

function openNotifications(mongo: Connection) {
  const notification = new Schema<NotificationRecord>(
    {
      _id: { type: String, required: true },
      orderId: { type: String, required: true },
      studentId: { type: String, required: true },
      text: { type: String, required: true },
      sentAt: { type: Date, required: true },
    },
    { versionKey: false, strict: 'throw', collection: 'notifications' },
  ).index({ sentAt: -1, _id: -1 });
  return mongo.model<NotificationRecord>('Notification', notification);
}
