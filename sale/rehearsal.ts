import { nanoid } from 'nanoid';

/**
 * A rehearsal sells a hidden copy of a sale. The copy is known by its id alone, so that lists, pages and subscribers can leave
 * it out without a look at the sale.
 */
const prefix = 'rehearsal-';

export const newRehearsalId = (): string => `${prefix}${nanoid()}`;

export const isRehearsal = (saleId: string): boolean => saleId.startsWith(prefix);

/** A filter of MongoDB for sales that are none. */
export const noRehearsals = { _id: { $not: new RegExp(`^${prefix}`) } };
