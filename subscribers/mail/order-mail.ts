import type { CloudEvent } from '../../log/schemas.ts';
import { mongoClock } from '../../runtime/clock.ts';
import { type Collections, isDuplicateKey } from '../../store/collections.ts';

/**
 * Has the mail about an event sent once more, also when it was sent before. A mail that waits already is left alone.
 * Concurrent requests send one mail.
 */
export async function sendAgain({ mails }: Collections, event: CloudEvent): Promise<void> {
  const now = mongoClock.now();
  const fresh = { state: 'waiting' as const, event, attempts: 0, unanswered: 0, dueAt: now, answer: null };
  try {
    await mails.updateOne(
      { _id: event.id, state: { $ne: 'waiting' } },
      { $set: { ...fresh, createdAt: now }, $unset: { sentAt: '' }, $inc: { resends: 1 } },
      { upsert: true },
    );
  } catch (error) {
    // It waits already, so that the filter does not match, and the upsert would be a second record.
    if (!isDuplicateKey(error)) throw error;
  }
}
