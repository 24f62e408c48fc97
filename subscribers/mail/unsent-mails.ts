import { type UnsentMail, type UnsentState, unsentState } from '../../insight/contract.ts';
import { mongoClock } from '../../runtime/clock.ts';
import type { Collections } from '../../store/collections.ts';
import type { MailRecord } from '../../store/event-collections.ts';

const unsent = { sentAt: { $exists: false } };
const givenUp: UnsentState[] = ['failed', 'unsure'];
/** Counting stops here, because it is expensive and larger numbers need not be exact. */
const countMax = 10_000;

/** The number of mails in each state, at most 10,000. */
export async function countUnsentMails({ mails }: Collections): Promise<Record<UnsentState, number>> {
  const counts = await Promise.all(
    unsentState.options.map((state) => mails.countDocuments({ state }, { limit: countMax })),
  );
  const [waiting = 0, failed = 0, unsure = 0] = counts;
  return { waiting, failed, unsure };
}

/** Mails in one state, or all that failed or are unsure; the next due first. */
export async function listUnsentMails(
  { mails }: Collections,
  { state, limit }: { state?: UnsentState | undefined; limit: number },
): Promise<{ mails: UnsentMail[]; more: boolean }> {
  const found = await mails
    .find({ state: { $in: state ? [state] : givenUp }, ...unsent })
    .sort({ dueAt: 1, _id: 1 })
    .limit(limit + 1)
    .toArray();
  return { mails: found.slice(0, limit).map(unsentOf), more: found.length > limit };
}

/** Schedules a failed or unsure mail to be sent again. @returns whether it existed. */
export async function resendMail({ mails }: Collections, id: string): Promise<boolean> {
  const { modifiedCount } = await mails.updateOne(
    { _id: id, state: { $in: givenUp }, ...unsent },
    { $set: freshState() },
  );
  return modifiedCount === 1;
}

/** Schedules all failed mails to be sent again, but not the unsure ones. @returns how many. */
export async function resendFailedMails({ mails }: Collections): Promise<number> {
  const { modifiedCount } = await mails.updateMany({ state: 'failed', ...unsent }, { $set: freshState() });
  return modifiedCount;
}

const freshState = () => ({ state: 'waiting' as const, attempts: 0, unanswered: 0, dueAt: mongoClock.now() });

function unsentOf({
  _id,
  state,
  event,
  account,
  attempts = 0,
  dueAt,
  answer = null,
  createdAt,
}: MailRecord): UnsentMail {
  return {
    eventId: _id,
    type: event?.type ?? account?.kind ?? '',
    orderId: event?.subject ?? '',
    state: state as UnsentState,
    attempts,
    dueAt: (dueAt ?? createdAt).toISOString(),
    answer,
    createdAt: createdAt.toISOString(),
  };
}
