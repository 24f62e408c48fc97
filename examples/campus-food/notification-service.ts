import { Router } from 'express';
import { type Connection, Schema } from 'mongoose';
import { type Event, queues } from './contract.ts';
import { runService } from './service.ts';

interface NotificationRecord {
  /** The `event_id`, so that there is one notification for each event. */
  _id: string;
  order_id: string;
  user_id: string;
  text: string;
  createdAt: Date;
  /** When it was written to the log; null until then. */
  sentAt: Date | null;
}

const shownNotifications = 100;

await runService('notification', 8_103, ({ mongo, log }) => {
  const notifications = openNotifications(mongo);

  /** At least once: a crash between the log line and its mark repeats the line. */
  async function handle({ event_id, order_id, user_id, item, quantity }: Event): Promise<void> {
    const text = `Reserved for you: ${quantity} × ${item}`;
    const kept = await notifications
      .findOneAndUpdate(
        { _id: event_id },
        { $setOnInsert: { order_id, user_id, text, createdAt: new Date(), sentAt: null } },
        { upsert: true, returnDocument: 'after' },
      )
      .lean<NotificationRecord>();
    if (kept?.sentAt) return;
    log.info({ event_id, order_id, user_id, text }, 'notification sent');
    await notifications.updateOne({ _id: event_id }, { sentAt: new Date() });
  }

  const routes = Router();
  routes.get('/notifications', async (_request, response) => {
    const newest = notifications.find().sort({ createdAt: -1, _id: -1 }).limit(shownNotifications);
    const records = await newest.lean<NotificationRecord[]>();
    const shown = records.map(({ _id, order_id, user_id, text }) => ({
      event_id: _id,
      order_id,
      user_id,
      text,
    }));
    response.json({ newest: shownNotifications, notifications: shown });
  });
  return { routes, queue: queues.notifications, handle };
});

function openNotifications(mongo: Connection) {
  const notification = new Schema<NotificationRecord>(
    {
      _id: { type: String, required: true },
      order_id: { type: String, required: true },
      user_id: { type: String, required: true },
      text: { type: String, required: true },
      createdAt: { type: Date, required: true },
      sentAt: { type: Date, default: null },
    },
    { versionKey: false, strict: 'throw', collection: 'sent_notifications' },
  ).index({ createdAt: -1, _id: -1 });
  return mongo.model<NotificationRecord>('Notification', notification);
}
