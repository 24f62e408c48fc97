import type { ClientSession } from 'mongoose';
import type { StaffInvitation, StaffMember } from '../insight/contract.ts';
import { mongoClock } from '../runtime/clock.ts';
import { transact } from '../runtime/databases/transact.ts';
import { type AccountRole, type StaffRole, staffRole } from '../sale/contract.ts';
import type { Collections, UserRecord } from '../store/collections.ts';
import { type AccountMails, linkSeconds } from './account-mail.ts';
import type { AliasDomains } from './email-address.ts';
import { issueToken, redeemToken, subjectOfToken, type TokenSecrets, textOfToken } from './one-time-token.ts';
import { type Revocation, revokeTokensOf } from './session.ts';
import { appendStaffEntry, type By } from './staff-log.ts';
import {
  type Account,
  accountOf,
  addressOf,
  createUser,
  findUserByEmail,
  findUserByPassword,
  isOfProvider,
  ownAccounts,
} from './user.ts';

/** The most entries of each list; no shop is known to have so much staff. */
const maxListed = 500;

/** @returns `more` when there are further entries that are left out. */
export async function listStaff(
  collections: Collections,
): Promise<{ staff: StaffMember[]; invitations: StaffInvitation[]; more: boolean }> {
  const [staff, invitations] = await Promise.all([
    collections.users
      .find({ role: { $in: staffRole.options } })
      .sort({ email: 1 })
      .limit(maxListed + 1)
      .toArray(),
    collections.oneTimeTokens
      .find({ purpose: 'join-staff', expiresAt: { $gt: mongoClock.now() } })
      .sort({ createdAt: 1 })
      .limit(maxListed + 1)
      .toArray(),
  ]);
  return {
    staff: staff.slice(0, maxListed).map(memberOf),
    invitations: invitations.slice(0, maxListed).map(({ _id, subject, createdAt, expiresAt }) => ({
      id: _id,
      ...invitedOf(subject),
      createdAt: createdAt.toISOString(),
      expiresAt: expiresAt.toISOString(),
    })),
    more: staff.length > maxListed || invitations.length > maxListed,
  };
}

function memberOf(record: UserRecord): StaffMember {
  const { _id, name, role } = record;
  const ofProvider = isOfProvider(record) && { ofProvider: true as const };
  return { id: _id, email: addressOf(record) ?? '', name, role: role as StaffRole, ...ofProvider };
}

/** The role that counts now: a token says the one at its issue. Whoever has no account here is believed their token. */
export async function currentRole<Claimed extends string>(
  { users }: Collections,
  userId: string,
  claimed: Claimed,
): Promise<AccountRole | Claimed> {
  const user = await users.findOne({ _id: userId }, { projection: { role: 1 } });
  return user?.role ?? claimed;
}

type Changed = { member: StaffMember; revocation: Revocation | null };

/**
 * Gives an account another role; `buyer` removes it from the staff. Its sessions and access tokens end with the old role.
 * @returns `unknown` when no such account is staff, `of_provider` when its role comes from the identity provider,
 * `last_admin` when no admin would be left.
 */
export async function changeRole(
  collections: Collections,
  userId: string,
  role: AccountRole,
  by: By,
): Promise<Changed | 'unknown' | 'of_provider' | 'last_admin'> {
  return await transactOnAdmins(collections, async (session) => {
    const record = await collections.users.findOne({ _id: userId, role: { $ne: 'buyer' } }, { session });
    if (!record) return 'unknown';
    if (isOfProvider(record)) return 'of_provider';
    const after = { email: record.email, role };
    if (record.role === role) return { member: memberOf(record), revocation: null };
    if (await isLastAdmin(collections, record, session)) return 'last_admin';
    await collections.users.updateOne({ _id: userId }, { $set: { role } }, { session });
    const revocation = await revokeTokensOf(collections, userId, { session });
    const action = role === 'buyer' ? 'staff.removed' : 'staff.role_changed';
    const entry = { ...by, action, subject: { kind: 'account', id: userId } };
    await appendStaffEntry(collections, session, {
      ...entry,
      before: { ...after, role: record.role },
      after,
    });
    return { member: memberOf({ ...record, role }), revocation };
  });
}

const adminsGuard = { _id: 'admins' };

/** Runs a transaction that asks `isLastAdmin`. The guard has to exist before the transaction reads anything. */
export async function transactOnAdmins<Value>(
  { connection, guards }: Collections,
  work: (session: ClientSession) => Promise<Value>,
): Promise<Value> {
  await guards.updateOne(adminsGuard, { $setOnInsert: { writes: 0 } }, { upsert: true });
  return await transact(connection, work);
}

/**
 * Whether no admin would be left without this account; those of the identity provider do not count, because it can take
 * their role at any time. Two admins cannot remove each other at once: both transactions write the guard, so that one of
 * them is repeated and sees the other's change.
 * @param session of `transactOnAdmins`.
 */
export async function isLastAdmin(
  { users, guards }: Collections,
  record: UserRecord,
  session: ClientSession,
): Promise<boolean> {
  if (record.role !== 'admin' || isOfProvider(record)) return false;
  await guards.updateOne(adminsGuard, { $inc: { writes: 1 } }, { session });
  const others = { role: 'admin', _id: { $ne: record._id }, ...ownAccounts } as const;
  return (await users.countDocuments(others, { session, limit: 1 })) === 0;
}

/** An invitation is a one-time token, whose subject is the role and the address. */
const subjectOf = (role: StaffRole, email: string) => `${role} ${email}`;

function invitedOf(subject: string): { role: StaffRole; email: string } {
  const [role = '', email = ''] = subject.split(' ');
  return { role: staffRole.parse(role), email };
}

/**
 * Asks somebody to join the staff. The link is mailed, or returned where the shop sends no mail.
 * @param mails null when the shop sends no mail.
 * @returns the part of the link behind `=`; null when it was mailed.
 */
export async function invite(
  collections: Collections,
  { email, role }: { email: string; role: StaffRole },
  { mails, secretsOf }: { mails: AccountMails | null; secretsOf: TokenSecrets },
  by: By,
): Promise<string | null> {
  const tokenId = await transact(collections.connection, async (session) => {
    await withdrawAll(collections, email, session);
    const entry = { ...by, action: 'staff.invited', subject: { kind: 'invitation', id: email } };
    await appendStaffEntry(collections, session, { ...entry, after: { email, role } });
    const subject = subjectOf(role, email);
    if (mails) {
      await mails.sendLink('join-staff', subject, session, { address: email });
      return null;
    }
    const token = { purpose: 'join-staff' as const, subject, seconds: linkSeconds['join-staff'] };
    return await issueToken(collections, token, secretsOf, session);
  });
  return tokenId ? await textOfToken(collections, tokenId, secretsOf) : null;
}

async function withdrawAll({ oneTimeTokens }: Collections, email: string, session: ClientSession) {
  const subject = { $in: staffRole.options.map((role) => subjectOf(role, email)) };
  await oneTimeTokens.deleteMany({ purpose: 'join-staff', subject }, { session });
}

/** @returns whether there was such an invitation. */
export async function withdrawInvitation(collections: Collections, id: string, by: By): Promise<boolean> {
  return await transact(collections.connection, async (session) => {
    const filter = { _id: id, purpose: 'join-staff' as const };
    const record = await collections.oneTimeTokens.findOneAndDelete(filter, { session });
    if (!record) return false;
    const before = invitedOf(record.subject);
    const entry = { ...by, action: 'staff.invitation_withdrawn', before };
    await appendStaffEntry(collections, session, {
      ...entry,
      subject: { kind: 'invitation', id: before.email },
    });
    return true;
  });
}

/** What an invitation's link is for, without redeeming it; null when it is not valid. */
export async function readInvitation(
  collections: Collections,
  token: string,
): Promise<{ email: string; role: StaffRole; hasAccount: boolean } | null> {
  const subject = await subjectOfToken(collections, 'join-staff', token);
  if (subject === null) return null;
  const invited = invitedOf(subject);
  return { ...invited, hasAccount: (await findUserByEmail(collections, invited.email)) !== null };
}

/** Undoes the redemption of an invitation. */
class NotJoined extends Error {
  readonly why: 'expired' | 'last_admin';

  constructor(why: NotJoined['why']) {
    super(why);
    this.why = why;
  }
}

/**
 * Joins the staff with an account that the address has, or with a new one. With another role than before its sessions and
 * access tokens end. A link that came by mail verifies the address.
 * @returns `expired` when the token is not valid, `wrong_password` when it is not the existing account's, `last_admin` when
 * no admin would be left; the invitation stays then.
 */
export async function acceptInvitation(
  collections: Collections,
  { token, name, password }: { token: string; name: string; password: string },
  {
    bcryptCost,
    aliasDomains,
    by,
  }: { bcryptCost: number; aliasDomains: AliasDomains; by: (userId: string) => By },
): Promise<
  { account: Account; revocation: Revocation | null } | 'expired' | 'wrong_password' | 'last_admin'
> {
  const invitation = await readInvitation(collections, token);
  if (!invitation) return 'expired';
  const { email, role, hasAccount } = invitation;

  async function join(userId: string, before: AccountRole | null, session: ClientSession): Promise<void> {
    const redeemed = await redeemToken(collections, 'join-staff', token, session);
    if (redeemed === null) throw new NotJoined('expired');
    const verified = redeemed.isMailed ? { emailVerifiedAt: mongoClock.now() } : {};
    await collections.users.updateOne({ _id: userId }, { $set: { role, ...verified } }, { session });
    const entry = { ...by(userId), action: 'staff.joined', subject: { kind: 'account', id: userId } };
    await appendStaffEntry(collections, session, { ...entry, before: { role: before }, after: { role } });
  }

  let revocation: Revocation | null = null;

  async function joinWithAccount(): Promise<Account | null> {
    const account = await findUserByPassword(collections, { email, password }, { bcryptCost });
    if (!account) return null;
    const { id } = account.user;
    await transactOnAdmins(collections, async (session) => {
      const found = await collections.users.findOne({ _id: id }, { session });
      if (!found) throw new NotJoined('expired');
      const hasChanged = found.role !== role;
      if (hasChanged && (await isLastAdmin(collections, found, session))) throw new NotJoined('last_admin');
      await join(id, found.role, session);
      revocation = hasChanged ? await revokeTokensOf(collections, id, { session }) : null;
    });
    return account;
  }

  try {
    const alongside = (userId: string, session: ClientSession) => join(userId, null, session);
    const joined = hasAccount
      ? await joinWithAccount()
      : await createUser(
          collections,
          { email, password, name },
          { bcryptCost, aliasDomains, role, alongside },
        );
    // An account that was created meanwhile has its own password.
    if (!joined || joined === 'email_taken') return 'wrong_password';
    const record = await collections.users.findOne({ _id: joined.user.id });
    return record ? { account: await accountOf(collections, record), revocation } : 'expired';
  } catch (error) {
    if (error instanceof NotJoined) return error.why;
    throw error;
  }
}
