import { createHash } from 'node:crypto';
import { mongoClock } from '../../runtime/clock.ts';
import { transact } from '../../runtime/databases/transact.ts';
import { type Collections, findOrInsert, type UserRecord } from '../../store/collections.ts';
import { type AliasDomains, emailAddress, mailboxOf } from '../email-address.ts';
import { openPersonKeys } from '../person.ts';
import { type Revocation, revokeTokensOf } from '../session.ts';
import { type Account, patienceMs, placeholderOf, userOf } from '../user.ts';
import type { ProviderIdentity } from './provider.ts';

/**
 * The account of somebody whom the shop's identity provider has identified. Its id is derived from the provider and its
 * subject. It is not joined with an account that has a password, even if both have one address: whoever signed up with a
 * foreign address would share it. Both are one person, so they share the limits.
 */
function providerAccountId(issuer: string, subject: string): string {
  return createHash('sha256').update(`account\n${issuer}\n${subject}`).digest('base64url').slice(0, 22);
}

interface Origin {
  issuer: string;
  aliasDomains: AliasDomains;
}

/** @returns the account, which is created at the first time. */
export async function findOrAddProviderAccount(
  collections: Collections,
  identity: ProviderIdentity,
  origin: Origin,
): Promise<Account> {
  const _id = providerAccountId(origin.issuer, identity.subject);
  const known = await collections.users.findOne({ _id });
  if (known?.personId) return { user: userOf(known), personId: known.personId };
  const personId = await findOrAddProviderPerson(collections, identity, _id, origin);
  const record: UserRecord = {
    _id,
    email: placeholderOf(_id),
    passwordHash: '',
    personId,
    createdAt: mongoClock.now(),
    ...fieldsOf(identity),
  };
  return { user: userOf(await findOrInsert(collections.users, record)), personId };
}

/**
 * Brings the account of somebody who signs in to what the provider says now. With another role the sessions and access
 * tokens end, because those of a buyer live longer than staff's may.
 */
export async function updateProviderAccount(
  collections: Collections,
  identity: ProviderIdentity,
  origin: Origin,
): Promise<{ account: Account; revocation: Revocation | null }> {
  const { user, personId } = await findOrAddProviderAccount(collections, identity, origin);
  await addEmailPerson(collections, identity, personId, origin);
  const fields = fieldsOf(identity);
  return await transact(
    collections.connection,
    async (session) => {
      const before = await collections.users.findOneAndUpdate(
        { _id: user.id },
        { $set: fields },
        { session, returnDocument: 'before' },
      );
      const hasChanged = before !== null && before.role !== fields.role;
      const revocation = hasChanged ? await revokeTokensOf(collections, user.id, { session }) : null;
      return { account: { user: before ? userOf({ ...before, ...fields }) : user, personId }, revocation };
    },
    { patienceMs },
  );
}

const maxName = 100;

function fieldsOf({ name, role, verifiedEmail }: ProviderIdentity) {
  const email = emailAddress.safeParse(verifiedEmail).data;
  const shown = (name ?? '')
    .replace(/[\p{C}\s]+/gu, ' ')
    .trim()
    .slice(0, maxName);
  return {
    name: shown || email?.split('@')[0] || '–',
    role,
    ...(email && { providerEmail: email, emailVerifiedAt: mongoClock.now() }),
  };
}

/** The person of the claim; else that of the verified address, to which the claim is added; else a new one. */
async function findOrAddProviderPerson(
  collections: Collections,
  identity: ProviderIdentity,
  accountId: string,
  origin: Origin,
): Promise<string> {
  const { people } = collections;
  const keyOf = await openPersonKeys(collections);
  const claimKey = claimKeyOf(keyOf, identity, origin);
  const emailKey = identity.verifiedEmail && keyOf(mailboxOf(identity.verifiedEmail, origin.aliasDomains));
  const ofEmail = emailKey ? await people.findOne({ _id: emailKey }) : null;
  const person = await findOrInsert(people, { _id: claimKey, personId: ofEmail?.personId ?? accountId });
  await addEmailPerson(collections, identity, person.personId, origin);
  return person.personId;
}

/** Makes a later account with a password and this address the same person. */
async function addEmailPerson(
  collections: Collections,
  { verifiedEmail }: ProviderIdentity,
  personId: string,
  { aliasDomains }: Origin,
): Promise<void> {
  if (verifiedEmail === null) return;
  const keyOf = await openPersonKeys(collections);
  await findOrInsert(collections.people, { _id: keyOf(mailboxOf(verifiedEmail, aliasDomains)), personId });
}

/** Hashed first, because letter case makes another claim and not another address. */
function claimKeyOf(
  keyOf: (text: string) => string,
  { person }: ProviderIdentity,
  { issuer }: Origin,
): string {
  return keyOf(`claim:${createHash('sha256').update(`${issuer}\n${person}`).digest('hex')}`);
}
