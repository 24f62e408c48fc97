import { appendStaffEntry, type By } from '../../accounts/staff-log.ts';
import { type UnsentMail, type UnsentState, unsentState } from '../../insight/contract.ts';
import { mongoClock } from '../../runtime/clock.ts';
import { transact } from '../../runtime/databases/transact.ts';
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
export async function resendMail(collections: Collections, id: string, by: By): Promise<boolean> {
  return await transact(collections.connection, async (session) => {
    const filter = { _id: id, state: { $in: givenUp }, ...unsent };
    const before = await collections.mails.findOneAndUpdate(filter, { $set: freshState() }, { session });
    if (!before) return false;
    const { state, attempts } = before;
    const entry = { ...by, action: 'mail.resent', subject: { kind: 'mail', id } };
    await appendStaffEntry(collections, session, { ...entry, before: { state, attempts } });
    return true;
  });
}

/** Mails that one transaction schedules again, so that it stays short. */
const resentAtOnce = 1_000;

/** Schedules all failed mails to be sent again, but not the unsure ones. @returns how many. */
export async function resendFailedMails(collections: Collections, by: By): Promise<number> {
  for (let resent = 0; ; ) {
    const count = await resendSomeFailed(collections, by);
    resent += count;
    if (count < resentAtOnce) return resent;
  }
}

async function resendSomeFailed(collections: Collections, by: By): Promise<number> {
  const { connection, mails } = collections;
  return await transact(connection, async (session) => {
    const failed = mails.find({ state: 'failed', ...unsent }, { projection: { _id: 1 }, session });
    const ids = (await failed.limit(resentAtOnce).toArray()).map(({ _id }) => _id);
    if (ids.length === 0) return 0;
    await mails.updateMany({ _id: { $in: ids } }, { $set: freshState() }, { session });
    const entry = { ...by, action: 'mail.all_resent', subject: { kind: 'mail', id: 'failed' } };
    await appendStaffEntry(collections, session, { ...entry, after: { mails: ids.length } });
    return ids.length;
  });
}

const freshState = () => ({ state: 'waiting' as const, attempts: 0, unanswered: 0, dueAt: mongoClock.now() });

function unsentOf({
  _id,
  state,
  event,
  account,
  call,
  attempts = 0,
  dueAt,
  answer = null,
  createdAt,
}: MailRecord): UnsentMail {
  return {
    eventId: _id,
    type: event?.type ?? account?.kind ?? (call ? 'room.called' : ''),
    orderId: event?.subject ?? '',
    state: state as UnsentState,
    attempts,
    dueAt: (dueAt ?? createdAt).toISOString(),
    answer,
    createdAt: createdAt.toISOString(),
  };
}
