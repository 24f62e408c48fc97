import { normaliseEmail } from '../../accounts/email-address.ts';
import { openPersonKeys } from '../../accounts/person.ts';
import { isDuplicateKey, type UserRecord } from '../collections.ts';
import type { Migration } from './migrate.ts';

const accountsAtOnce = 500;

/**
 * Adds a person to each account that has none, and normalises its address.
 *
 * The person's id is the account's own, so that allowances and gates keep their keys. Two accounts with one address in
 * different spellings become one person; the second keeps its spelling, with which its owner signs in. Servers of the
 * previous version may run meanwhile and ignore the new field and collection: accounts created by them get their person
 * at the next sign-in or at deletion.
 */
export const people: Migration = {
  name: '0001-people',
  async up({ collections, keepLease }) {
    const keyOf = await openPersonKeys(collections);
    for (let after = ''; ; ) {
      await keepLease();
      const accounts = await collections.users
        .find({ _id: { $gt: after }, personId: { $exists: false } }, { projection: { email: 1 } })
        .sort({ _id: 1 })
        .limit(accountsAtOnce)
        .toArray();
      const last = accounts.at(-1);
      if (!last) return;
      await addPeople(accounts);
      for (const account of accounts) await normalise(account);
      after = last._id;
    }

    async function addPeople(accounts: Pick<UserRecord, '_id' | 'email'>[]): Promise<void> {
      await collections.people.bulkWrite(
        accounts.map(({ _id, email }) => ({
          updateOne: {
            filter: { _id: keyOf(email) },
            update: { $setOnInsert: { personId: _id } },
            upsert: true,
          },
        })),
      );
      const found = await collections.people
        .find({ _id: { $in: accounts.map(({ email }) => keyOf(email)) } })
        .toArray();
      const personIdOf = new Map(found.map(({ _id, personId }) => [_id, personId]));
      await collections.users.bulkWrite(
        accounts.map(({ _id, email }) => {
          const personId = personIdOf.get(keyOf(email)) ?? _id;
          return { updateOne: { filter: { _id }, update: { $set: { personId } } } };
        }),
      );
    }

    async function normalise({ _id, email }: Pick<UserRecord, '_id' | 'email'>): Promise<void> {
      const normal = normaliseEmail(email);
      if (normal === email) return;
      try {
        await collections.users.updateOne({ _id, email }, { $set: { email: normal } });
      } catch (error) {
        if (!isDuplicateKey(error)) throw error;
      }
    }
  },
};
