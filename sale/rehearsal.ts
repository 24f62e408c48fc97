import { nanoid } from 'nanoid';

/**
 * A rehearsal sells a hidden copy of a sale. The copy and its buyers are known by their ids alone, so that lists, pages and
 * subscribers can leave them out without a look at the sale. No account has such an id: they are random, or hashes.
 */
const prefix = 'rehearsal-';

export const newRehearsalId = (): string => `${prefix}${nanoid()}`;

/** Whether this is the id of a copy, of one of its buyers, or of an event of its log. */
export const isRehearsal = (id: string): boolean => id.startsWith(prefix);

/** Whether this user may buy or take a place in this sale: in a copy only its own buyers may, whoever has learnt its id. */
export const mayTakePart = (saleId: string, userId: string): boolean =>
  !isRehearsal(saleId) || isRehearsal(userId);

const ofRehearsals = new RegExp(`^${prefix}`);

/** Filters of MongoDB: for sales that are copies, for those that are none, and for what belongs to no copy. */
export const onlyRehearsals = { _id: ofRehearsals };
export const noRehearsals = { _id: { $not: ofRehearsals } };
export const notOfRehearsals = { saleId: { $not: ofRehearsals } };
