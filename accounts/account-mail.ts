import type { ClientSession } from 'mongoose';
import { nanoid } from 'nanoid';
import { mongoClock } from '../runtime/clock.ts';
import type { Collections, TokenPurpose } from '../store/collections.ts';
import type { AccountMail } from '../store/event-collections.ts';
import { issueToken, type TokenSecrets } from './one-time-token.ts';

/** Lifetimes of the links in mails. */
export const linkSeconds: Record<TokenPurpose, number> = {
  'verify-email': 86_400,
  'reset-password': 30 * 60,
  'join-staff': 3 * 86_400,
};

/**
 * Mails about accounts. Each is a record that is written in the transaction of its cause, and that the mail sender of
 * subscribers/mail/ sends and retries.
 */
export interface AccountMails {
  /** Issues a token for this subject and mails its link. */
  sendLink(
    purpose: TokenPurpose,
    subject: string,
    session: ClientSession,
    to?: AccountMail['to'],
  ): Promise<void>;
  /** Mails something that has happened to the account. */
  sendNotice(
    kind: Exclude<AccountMail['kind'], TokenPurpose>,
    userId: string,
    session: ClientSession,
  ): Promise<void>;
}

export function openAccountMails(collections: Collections, secretsOf: TokenSecrets): AccountMails {
  const { mails } = collections;
  const add = async (account: AccountMail, session: ClientSession) => {
    const now = mongoClock.now();
    const due = { state: 'waiting' as const, attempts: 0, unanswered: 0, dueAt: now, answer: null };
    await mails.insertOne({ _id: nanoid(), account, ...due, createdAt: now }, { session });
  };
  return {
    async sendLink(purpose, subject, session, to = { userId: subject }) {
      const token = { purpose, subject, seconds: linkSeconds[purpose], isMailed: true } as const;
      const tokenId = await issueToken(collections, token, secretsOf, session);
      await add({ kind: purpose, to, tokenId }, session);
    },
    sendNotice: (kind, userId, session) => add({ kind, to: { userId } }, session),
  };
}
