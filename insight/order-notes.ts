import { mongoClock } from '../runtime/clock.ts';
import { type Collections, isDuplicateKey } from '../store/collections.ts';
import type { NoteRecord } from '../store/desk-collections.ts';
import type { OrderNote } from './contract.ts';

const maxNotes = 100;

/**
 * Adds a note to an order. Notes are never changed, and deleted only with the buyer's account.
 * @returns null when there are 100 already.
 */
export async function addNote(
  { orderNotes }: Collections,
  { orderId, buyerId }: { orderId: string; buyerId: string },
  text: string,
  by: { byId: string; byName: string },
): Promise<OrderNote | null> {
  const note: NoteRecord = { text, at: mongoClock.now(), ...by };
  const hasRoom = { _id: orderId, [`notes.${maxNotes - 1}`]: { $exists: false } };
  const add = () =>
    orderNotes.updateOne(hasRoom, { $push: { notes: note }, $setOnInsert: { buyerId } }, { upsert: true });
  try {
    await add();
    return noteOf(note);
  } catch (error) {
    if (!isDuplicateKey(error)) throw error;
  }
  // Either the notes are full, or another request added the first one at the same moment.
  const { modifiedCount } = await orderNotes.updateOne(hasRoom, { $push: { notes: note } });
  return modifiedCount === 1 ? noteOf(note) : null;
}

export const noteOf = ({ text, at, byName }: NoteRecord): OrderNote => ({
  text,
  at: at.toISOString(),
  by: byName,
});
