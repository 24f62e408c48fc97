import type { ClientSession } from 'mongoose';
import { appendStaffEntry, type By, changeInTurn } from '../../accounts/staff-log.ts';
import type { CloudEvent } from '../../log/schemas.ts';
import { mongoClock } from '../../runtime/clock.ts';
import { transact } from '../../runtime/databases/transact.ts';
import type { Collections } from '../../store/collections.ts';

/**
 * Has the mail about an order's event sent once more, also when it was sent before. A mail that waits already is left alone,
 * so that concurrent requests send one mail.
 */
export async function sendAgain(collections: Collections, event: CloudEvent, by: By): Promise<void> {
  const { connection, mails } = collections;
  const send = async (session: ClientSession) => {
    const before = await mails.findOne({ _id: event.id }, { session });
    if (before?.state === 'waiting') return;
    const now = mongoClock.now();
    const fresh = { state: 'waiting' as const, event, attempts: 0, unanswered: 0, dueAt: now, answer: null };
    await mails.updateOne(
      { _id: event.id },
      { $set: { ...fresh, createdAt: now }, $unset: { sentAt: '' }, $inc: { resends: 1 } },
      { session, upsert: true },
    );
    const subject = { kind: 'order', id: event.subject };
    const after = { event: event.id };
    await appendStaffEntry(collections, session, { ...by, action: 'order.mail_resent', subject, after });
  };
  await changeInTurn(event.id, () => transact(connection, send));
}
