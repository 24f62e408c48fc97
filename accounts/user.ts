import bcrypt from 'bcrypt';
import type { ClientSession } from 'mongoose';
import { nanoid } from 'nanoid';
import { mongoClock } from '../runtime/clock.ts';
import { transact } from '../runtime/databases/transact.ts';
import type { Language, User } from '../sale/contract.ts';
import { type Collections, isDuplicateKey, type UserRecord } from '../store/collections.ts';
import { type AliasDomains, normaliseEmail, storedFormsOf } from './email-address.ts';
import { findOrAddPerson } from './person.ts';

export interface NewUser {
  email: string;
  /** 8 characters to 72 bytes; bcrypt would ignore the rest of a longer one. */
  password: string;
  name: string;
  language?: Language | undefined;
}

/** A user, and the person whose limits count for them. */
export interface Account {
  user: User;
  personId: string;
}

/** How long a transaction on an account is retried after write conflicts. */
export const patienceMs = 2_000;

/**
 * @param alongside writes more in the same transaction.
 * @returns `email_taken` when there is an account with this e-mail address.
 */
export async function createUser(
  collections: Collections,
  { email, password, name, language }: NewUser,
  {
    bcryptCost,
    role = 'buyer',
    aliasDomains = [],
    alongside,
  }: {
    bcryptCost: number;
    role?: UserRecord['role'];
    aliasDomains?: AliasDomains;
    alongside?: ((userId: string, session: ClientSession) => Promise<void>) | null;
  },
): Promise<Account | 'email_taken'> {
  const accountId = nanoid();
  const record: UserRecord = {
    _id: accountId,
    email: normaliseEmail(email),
    name,
    passwordHash: await bcrypt.hash(password, bcryptCost),
    role,
    ...(language && { language }),
    createdAt: mongoClock.now(),
  };
  try {
    const personId = await transact(
      collections.connection,
      async (session) => {
        const personId = await findOrAddPerson(collections, { email, accountId, aliasDomains }, session);
        await collections.users.insertOne({ ...record, personId }, { session });
        await alongside?.(accountId, session);
        return personId;
      },
      { patienceMs },
    );
    return { user: userOf(record), personId };
  } catch (error) {
    if (isDuplicateKey(error)) return 'email_taken';
    throw error;
  }
}

/** Hashes to compare with when the account is unknown, so that both answers take the same time; one for each cost. */
const dummyHashes = new Map<number, Promise<string>>();

/** @returns null when the account is unknown or the password is wrong, after the same time. */
export async function findUserByPassword(
  collections: Collections,
  { email, password }: Pick<NewUser, 'email' | 'password'>,
  { bcryptCost }: { bcryptCost: number },
): Promise<Account | null> {
  const dummyHash = dummyHashes.get(bcryptCost) ?? bcrypt.hash(nanoid(), bcryptCost);
  dummyHashes.set(bcryptCost, dummyHash);
  // There can be two, because old accounts with unnormalised addresses may share one address in two spellings.
  const records = await collections.users.find(withPassword(email)).toArray();
  const matching: UserRecord[] = [];
  for (const record of records)
    if (await bcrypt.compare(password, record.passwordHash)) matching.push(record);
  if (records.length === 0) await bcrypt.compare(password, await dummyHash);
  // bcrypt ignores everything after 72 bytes, so a longer input could match and is refused.
  const [record] = Buffer.byteLength(password) <= 72 ? matching : [];
  return record ? await accountOf(collections, record) : null;
}

/**
 * The account of a user record. A record of an earlier version without a person gets one here, in a separate step that can be
 * repeated after a crash.
 */
export async function accountOf(collections: Collections, record: UserRecord): Promise<Account> {
  const user = userOf(record);
  if (record.personId) return { user, personId: record.personId };
  const personId = await findOrAddPerson(collections, { email: record.email, accountId: record._id });
  await collections.users.updateOne({ _id: record._id }, { $set: { personId } });
  return { user, personId };
}

export function userOf(record: UserRecord): User {
  const { _id, name, role, language, emailVerifiedAt } = record;
  const emailVerified = Boolean(emailVerifiedAt);
  return {
    id: _id,
    email: addressOf(record) ?? '',
    name,
    role,
    emailVerified,
    ...(language && { language }),
  };
}

/** Where mail to this account goes; null for an account of the identity provider without an address. */
export function addressOf({
  email,
  providerEmail,
}: Pick<UserRecord, 'email' | 'providerEmail'>): string | null {
  return providerEmail ?? (email.includes('@') ? email : null);
}

/** The account with a password to which mail about this address belongs. */
export async function findUserByEmail({ users }: Collections, email: string): Promise<UserRecord | null> {
  return await users.findOne(withPassword(email), { sort: { _id: 1 } });
}

const providerPrefix = 'oidc:';

/** What an account of the identity provider has as `email`, which is unique: an account with a password may have the address. */
export const placeholderOf = (accountId: string) => `${providerPrefix}${accountId}`;

/** Whether only the identity provider lets this account in. */
export const isOfProvider = ({ email, passwordHash }: Pick<UserRecord, 'email' | 'passwordHash'>) =>
  passwordHash === '' || email.startsWith(providerPrefix);

/** Matches the accounts that sign in with a password. */
export const ownAccounts = {
  email: { $not: new RegExp(`^${providerPrefix}`) },
  passwordHash: { $gt: '' },
};

function withPassword(email: string) {
  const forms = storedFormsOf(email).filter((form) => !form.startsWith(providerPrefix));
  return { email: { $in: forms }, passwordHash: { $gt: '' } };
}
