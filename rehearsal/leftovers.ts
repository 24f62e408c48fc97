import { deleteAccount } from '../accounts/account.ts';
import type { By } from '../accounts/staff-log.ts';
import { redisClock } from '../runtime/clock.ts';
import type { Gate } from '../sale/admission/gate.ts';
import { onlyRehearsals } from '../sale/rehearsal.ts';
import { changeSale } from '../sale/sale-change.ts';
import type { Collections } from '../store/collections.ts';

/** The account with which sign-ins are measured. No real address ends like this (RFC 6761). */
export const rehearsalAddress = (name: string): string => `rehearsal-${name}@rehearsal.invalid`;
const anyAddress = /^rehearsal-[\w-]+@rehearsal\.invalid$/;

/** More than one killed rehearsal leaves; the next time goes on. */
const atOnce = 100;

/**
 * Calls off the copies and deletes the accounts that a killed rehearsal has left: no list shows a copy to staff, and it would
 * open an hour later. Only called while none runs.
 * @param by is noted in the staff log.
 * @returns how many there were.
 */
export async function removeLeftovers(
  { collections, gate }: { collections: Collections; gate: Gate },
  by: By,
): Promise<number> {
  const open = { ...onlyRehearsals, closesAt: { $gt: redisClock.now() }, calledOffAt: null };
  const copies = await collections.sales
    .find(open, { projection: { _id: 1 } })
    .limit(atOnce)
    .toArray();
  for (const { _id } of copies) {
    const changed = await changeSale(collections, _id, { calledOff: true }, by);
    if (typeof changed !== 'string') await gate.sync(changed);
  }
  const ofRehearsals = { email: anyAddress };
  const accounts = await collections.users
    .find(ofRehearsals, { projection: { _id: 1 } })
    .limit(atOnce)
    .toArray();
  for (const { _id } of accounts) await deleteAccount(collections, _id, by);
  return copies.length + accounts.length;
}
