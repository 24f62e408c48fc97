import { createHmac, randomBytes } from 'node:crypto';
import type { ClientSession } from 'mongoose';
import { type Collections, findOrInsert, type SecretRecord } from '../store/collections.ts';
import { type AliasDomains, mailboxOf, normaliseEmail } from './email-address.ts';

/**
 * A person is the owner of an e-mail address, over all accounts created with it. Limits are counted by the person's id,
 * which is the id of their first account. The person's record outlives the accounts, and holds the address only as a keyed
 * hash.
 */
const secretId = 'person';

/** A key is stored in MongoDB rather than the environment, so that a restored backup contains it. */
export async function readSecret({ secrets }: Collections, id: string): Promise<Buffer> {
  const known = await secrets.findOne({ _id: id });
  const secret = known ?? (await makeSecret(secrets, id));
  return Buffer.from(secret.key, 'base64url');
}

/** Creates the key; when several processes do so at once, the upsert gives all of them the same one. */
async function makeSecret(secrets: Collections['secrets'], id: string): Promise<SecretRecord> {
  const key = randomBytes(32).toString('base64url');
  return await findOrInsert(secrets, { _id: id, key });
}

/** @returns a function that derives the id in `people` from an address. */
export async function openPersonKeys(collections: Collections): Promise<(email: string) => string> {
  const key = await readSecret(collections, secretId);
  return (email) => createHmac('sha256', key).update(normaliseEmail(email)).digest('base64url');
}

interface NewAccount {
  email: string;
  accountId: string;
  /** Where other spellings of the address are the same person. */
  aliasDomains?: AliasDomains;
}

/**
 * @param session of the transaction that creates the account.
 * @returns the id of the person with this address, or with this mailbox; a new person gets the account's id.
 */
export async function findOrAddPerson(
  collections: Collections,
  { email, accountId, aliasDomains = [] }: NewAccount,
  session?: ClientSession,
): Promise<string> {
  const keyOf = await openPersonKeys(collections);
  const add = async (address: string, personId: string) => {
    const person = await findOrInsert(collections.people, { _id: keyOf(address), personId }, session);
    return person.personId;
  };
  const mailbox = mailboxOf(email, aliasDomains);
  if (mailbox === normaliseEmail(email)) return await add(email, accountId);
  // The address itself stays a key, so that its person is the same before and after the domains are changed.
  const known = await collections.people.findOne({ _id: keyOf(email) }, { ...(session && { session }) });
  const personId = await add(mailbox, known?.personId ?? accountId);
  await add(email, personId);
  return personId;
}
