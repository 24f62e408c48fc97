import type { Redis } from 'ioredis';
import type { TokenSecrets } from '../../accounts/one-time-token.ts';
import { readTheme } from '../../catalogue/theme.ts';
import { mongoClock } from '../../runtime/clock.ts';
import { isMongoAway } from '../../runtime/databases/connections.ts';
import { type LeaderTask, openLeaderElection } from '../../runtime/leader/leader.ts';
import type { Log } from '../../runtime/observe/log.ts';
import { pause } from '../../runtime/pause.ts';
import { backoffMs, retry } from '../../runtime/retry.ts';
import type { Collections } from '../../store/collections.ts';
import type { MailRecord } from '../../store/event-collections.ts';
import { writeAccountMail } from './account-mails.ts';
import { writeCallMail } from './call-mails.ts';
import { writeDrawMail } from './draw-mails.ts';
import type { Shop } from './layout.ts';
import { writeOrderMails } from './notifications.ts';
import type { MailEnding, MailTransport } from './transport.ts';

export interface MailSenderOptions {
  transport: MailTransport;
  shop: Shop;
  /** Derives the secrets of the links in mails about accounts. */
  secretsOf: TokenSecrets;
  /** Delay before the second attempt at a refused mail; it doubles up to 720 times as much. */
  retryFirstMs: number;
  /** After this long, a mail that is being sent counts as abandoned by a process that died. */
  abandonedMs: number;
  leaseMs: number;
}

/** Mails sent at the same time. */
export const mailsAtOnce = 5;
/** The maximum of retries among them, so that a server that is slow to refuse does not delay new mails. */
const retriesAtOnce = 2;
const lookIntervalMs = 500;

/** The longest delay and the sum of all delays, in units of the first: with 5 s, one hour and one day. */
const [longestWait, allWaits] = [720, 17_280];
/** A mail that was transmitted without an answer may have been delivered, so it is sent only once more, after a minute. */
const unansweredWait = 12;
const maxUnanswered = 2;

/** While the mail server is unavailable, one mail at a time is tried, with this exponential backoff. */
const whileAway = { firstMs: 500, longestMs: 30_000 };

/**
 * Sends the mails that notifications.ts, accounts/account-mail.ts and sale/room/calls.ts stored, in one process at a time. Each mail has its own retries, so that a refused
 * or slow one delays only itself. A failed mail stays in the list until an admin resends it.
 */
export function openMailSender(
  collections: Collections,
  redis: Redis,
  options: MailSenderOptions,
  log: Log,
): { close: () => Promise<void> } {
  const sending: LeaderTask = async (stopping) => {
    const onTheirWay = new Map<string, { isRetry: boolean; ended: Promise<void> }>();
    let isAway = false;
    let failures = 0;
    let fault: unknown;

    async function run(mail: MailRecord): Promise<void> {
      const ending = await attempt(collections, mail, options);
      await writeEnding(collections, mail, ending, options, stopping);
      if (ending.kind === 'away' && !isAway)
        log.warn({ answer: ending.answer }, 'mail server unavailable, retrying');
      if (ending.kind !== 'skipped') isAway = ending.kind === 'away';
      if (ending.kind === 'rejected' || ending.kind === 'unanswered')
        log.warn(
          { mail: mail._id, answer: ending.answer },
          ending.kind === 'rejected'
            ? 'mail rejected by the mail server'
            : 'mail transmitted, but not acknowledged',
        );
    }

    while (!stopping.aborted && fault === undefined) {
      // Several may have met its absence at once, which is one absence.
      if (isAway) await Promise.all([...onTheirWay.values()].map(({ ended }) => ended));
      failures = isAway ? failures + 1 : 0;
      if (isAway) await pause(backoffMs(whileAway, failures), stopping);
      const retries = [...onTheirWay.values()].filter(({ isRetry }) => isRetry).length;
      const due = await findDue(collections, {
        all: (isAway ? 1 : mailsAtOnce) - onTheirWay.size,
        retries: retriesAtOnce - retries,
      });
      // With no mail due, the server's state is unknown, so the next mail is tried at once.
      if (due.length === 0) isAway = false;
      let begun = 0;
      for (const mail of due) {
        if (stopping.aborted || !(await claim(collections, mail, options.abandonedMs))) continue;
        begun += 1;
        const ended = run(mail)
          .catch((error) => {
            fault = error;
          })
          .finally(() => onTheirWay.delete(mail._id));
        onTheirWay.set(mail._id, { isRetry: (mail.attempts ?? 0) > 0, ended });
      }
      const someEnd = [...onTheirWay.values()].map(({ ended }) => ended);
      if (begun === 0 || onTheirWay.size >= mailsAtOnce)
        await Promise.race([pause(lookIntervalMs, stopping), ...someEnd]);
    }
    await Promise.all([...onTheirWay.values()].map(({ ended }) => ended));
    if (fault !== undefined) throw fault;
  };
  const election = openLeaderElection(
    { redis, name: 'mail-sender', ttlMs: options.leaseMs, log },
    { sending },
  );
  return {
    async close() {
      await election.close();
      options.transport.close();
    },
  };
}

const isUnsent = { state: 'waiting', sentAt: { $exists: false } } as const;

/** Mails that are due: new ones first, in the order of arrival, then retries. */
async function findDue(
  { mails }: Collections,
  { all, retries }: { all: number; retries: number },
): Promise<MailRecord[]> {
  if (all <= 0) return [];
  const find = (attempts: object | number, limit: number) =>
    mails
      .find({ ...isUnsent, attempts: attempts as number, dueAt: { $lte: mongoClock.now() } })
      .sort({ dueAt: 1 })
      .limit(limit)
      .toArray();
  const again = retries > 0 ? await find({ $gt: 0 }, Math.min(all, retries)) : [];
  // Retries are found first and keep their places, because many new mails would otherwise starve them.
  const fresh = all > again.length ? await find(0, all - again.length) : [];
  return [...fresh, ...again];
}

/** Claims a mail for `abandonedMs`, so that only one process sends it. @returns whether this process got it. */
async function claim({ mails }: Collections, mail: MailRecord, abandonedMs: number): Promise<boolean> {
  const { modifiedCount } = await mails.updateOne(
    { ...isUnsent, _id: mail._id, ...(mail.dueAt && { dueAt: mail.dueAt }) },
    { $set: { dueAt: new Date(mongoClock.now().getTime() + abandonedMs) } },
  );
  return modifiedCount === 1;
}

type Ending = MailEnding | { kind: 'skipped' };

async function attempt(
  collections: Collections,
  mail: MailRecord,
  { transport, shop: settings, secretsOf }: MailSenderOptions,
): Promise<Ending> {
  const { _id, event, account, call, placeId, resends = 0 } = mail;
  const { name } = await readTheme(collections);
  const shop = { ...settings, name: name || settings.name };
  const written = account
    ? await writeAccountMail(collections, _id, account, secretsOf, shop)
    : call
      ? await writeCallMail(collections, _id, call, shop)
      : placeId
        ? await writeDrawMail(collections, { id: _id, placeId }, shop)
        : event && (await writeOrderMails(collections, [event], shop)).get(_id);
  if (!written) return { kind: 'skipped' };
  // A mailbox drops a second mail with the same id.
  const messageId = resends > 0 ? String(written.messageId).replace('<', `<${resends}.`) : written.messageId;
  return await transport.send({ ...written, messageId });
}

/** Stores a mail's result, and retries while MongoDB is unavailable, because an unrecorded mail would be sent twice. */
async function writeEnding(
  { mails }: Collections,
  mail: MailRecord,
  ending: Ending,
  { retryFirstMs }: MailSenderOptions,
  stopping: AbortSignal,
): Promise<void> {
  const update = updateOf(mail, ending, retryFirstMs);
  const store = () => mails.updateOne({ _id: mail._id }, update);
  const waits = { firstMs: lookIntervalMs, longestMs: lookIntervalMs };
  try {
    await retry(store, { ...waits, signal: stopping, shouldRetry: isMongoAway });
  } catch (error) {
    if (error !== stopping.reason) throw error;
    // A last attempt at a stop, because a mail whose result is not stored is sent again.
    await store();
  }
}

const ofUnsent = {
  event: '',
  placeId: '',
  call: '',
  account: '',
  attempts: '',
  unanswered: '',
  dueAt: '',
  answer: '',
} as const;

function updateOf({ attempts = 0, unanswered = 0 }: MailRecord, ending: Ending, retryFirstMs: number) {
  const again = (waitMs: number) =>
    ({ state: 'waiting', dueAt: new Date(mongoClock.now().getTime() + waitMs) }) as const;
  switch (ending.kind) {
    case 'sent':
      return { $set: { sentAt: mongoClock.now() }, $unset: { ...ofUnsent, state: '' as const } };
    case 'skipped':
      return { $set: { state: 'skipped' as const }, $unset: ofUnsent };
    case 'away':
      return { $set: { ...again(0), answer: ending.answer } };
    case 'rejected':
      return { $set: { state: 'failed' as const, attempts: attempts + 1, answer: ending.answer } };
    case 'refused': {
      const waitMs = waitAfter(attempts + 1, retryFirstMs);
      const next = waitMs === null ? { state: 'failed' as const } : again(waitMs);
      return { $set: { ...next, attempts: attempts + 1, answer: ending.answer } };
    }
    case 'unanswered': {
      const isLast = unanswered + 1 >= maxUnanswered;
      const next = isLast ? { state: 'unsure' as const } : again(unansweredWait * retryFirstMs);
      const tried = { attempts: attempts + 1, unanswered: unanswered + 1 };
      return { $set: { ...next, ...tried, answer: `transmitted, then ${ending.answer}` } };
    }
  }
}

/** Delay in ms before the next attempt; null when the delays have used up their sum. */
export function waitAfter(attempts: number, firstMs: number): number | null {
  let sum = 0;
  let wait = 1;
  for (let tried = 1; tried < attempts; tried++) {
    sum += wait;
    wait = Math.min(2 * wait, longestWait);
  }
  return sum >= allWaits ? null : wait * firstMs;
}
