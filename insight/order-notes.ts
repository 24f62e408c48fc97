import type { ClientSession } from 'mongoose';
import { appendStaffEntry, type By, changeInTurn } from '../accounts/staff-log.ts';
import { mongoClock } from '../runtime/clock.ts';
import { transact } from '../runtime/databases/transact.ts';
import type { Collections } from '../store/collections.ts';
import type { NoteRecord } from '../store/desk-collections.ts';
import type { OrderNote } from './contract.ts';

const maxNotes = 100;

/**
 * Adds a note to an order. Notes are never changed, and deleted only with the buyer's account.
 * @returns null when there are 100 already.
 */
export async function addNote(
  collections: Collections,
  { orderId, buyerId }: { orderId: string; buyerId: string },
  text: string,
  by: By,
): Promise<OrderNote | null> {
  const { connection, orderNotes, users } = collections;
  const author = await users.findOne({ _id: by.actor.id }, { projection: { name: 1 } });
  const note: NoteRecord = {
    text,
    at: mongoClock.now(),
    byId: by.actor.id,
    byName: author?.name ?? by.actor.id,
  };
  const add = async (session: ClientSession) => {
    const before = await orderNotes.findOne({ _id: orderId }, { session });
    if ((before?.notes.length ?? 0) >= maxNotes) return null;
    const push = { $push: { notes: note }, $setOnInsert: { buyerId } };
    await orderNotes.updateOne({ _id: orderId }, push, { session, upsert: true });
    const subject = { kind: 'order', id: orderId };
    await appendStaffEntry(collections, session, { ...by, action: 'order.noted', subject });
    return noteOf(note);
  };
  return await changeInTurn(orderId, () => transact(connection, add));
}

export const noteOf = ({ text, at, byName }: NoteRecord): OrderNote => ({
  text,
  at: at.toISOString(),
  by: byName,
});
