import { createHmac, randomBytes } from 'node:crypto';
import type { Collections, PersonRecord, SecretRecord } from '../store/collections.ts';
import { normaliseEmail } from './email-address.ts';

/**
 * A person is whoever has an e-mail address, whatever accounts come and go under it: what counts for a person, such as a
 * sale's limit, is kept under the person's id, which is the id of their first account. The record outlives the
 * accounts, and holds the address only as a keyed hash.
 */
const secretId = 'person';

/** The key is in MongoDB and not in the environment, so that a backup brings the limits back with it. */
async function readKey({ secrets }: Collections): Promise<Buffer> {
  const known = await secrets.findById(secretId).lean<SecretRecord>();
  const secret = known ?? (await makeKey(secrets));
  return Buffer.from(secret.key, 'base64url');
}

/** Of several processes that make it at once, one does, and all get that one. */
async function makeKey(secrets: Collections['secrets']): Promise<SecretRecord> {
  const key = randomBytes(32).toString('base64url');
  return await secrets
    .findOneAndUpdate({ _id: secretId }, { $setOnInsert: { key } }, { upsert: true, returnDocument: 'after' })
    .lean<SecretRecord>()
    .orFail();
}

/** @returns what makes a `people` id of an address. */
export async function openPersonKeys(collections: Collections): Promise<(email: string) => string> {
  const key = await readKey(collections);
  return (email) => createHmac('sha256', key).update(normaliseEmail(email)).digest('base64url');
}

/** @returns the id of the person with this address, who from now on is this account's if nobody was it before. */
export async function findOrAddPerson(
  collections: Collections,
  { email, accountId }: { email: string; accountId: string },
): Promise<string> {
  const keyOf = await openPersonKeys(collections);
  const person = await collections.people
    .findOneAndUpdate(
      { _id: keyOf(email) },
      { $setOnInsert: { personId: accountId } },
      { upsert: true, returnDocument: 'after' },
    )
    .lean<PersonRecord>()
    .orFail();
  return person.personId;
}
