import { createHash, createHmac, randomBytes } from 'node:crypto';
import type { ClientSession } from 'mongoose';
import type { Collections, SaleRecord } from '../../store/collections.ts';
import type { DrawRecord, PlaceListRecord, RoomRecord } from '../../store/place-collections.ts';
import type { SaleMode } from '../contract.ts';

/**
 * A draw that anyone can check. The hash of a secret seed is published with the sale; when entering ends, the list of the
 * entrants' pseudonyms is fixed by its published digest; the drawn order sorts them by a keyed hash of each; then the seed
 * is published. These few functions are all of its arithmetic, and commands/verify-draw.mjs is a second one.
 */

/** SHA-256 of the seed, in hex. */
export const commitmentOf = (seed: Buffer): string => createHash('sha256').update(seed).digest('hex');

/** What the pseudonyms are sorted by, in hex. @param key the seed. */
export const drawKeyOf = (key: Buffer, pseudonym: string): string =>
  createHmac('sha256', key).update(pseudonym).digest('hex');

/** Hashes a list of pseudonyms that is added in sorted order. */
export function openListDigest() {
  const digest = createHash('sha256');
  return {
    add: (pseudonym: string) => void digest.update(`${pseudonym}\n`),
    hex: () => digest.digest('hex'),
  };
}

/** A person's name in a draw: it tells nobody else who that is, and the same person has another one in another draw. */
export const pseudonymOf = (key: Buffer, personId: string): string =>
  createHmac('sha256', key).update(personId).digest('hex').slice(0, 32);

/** The secrets of a draw are kept apart from the sale and its places. */
const seedIdOf = (saleId: string) => `draw-seed:${saleId}`;
const namesIdOf = (saleId: string) => `draw-names:${saleId}`;

/** Makes the secrets of a draw, when its sale is published. A waiting room has one for the order at its opening. */
export async function insertDraw(
  { secrets, placeLists }: Collections,
  { _id: saleId, mode }: Pick<SaleRecord, '_id' | 'mode'>,
  session: ClientSession,
): Promise<void> {
  const [seed, names] = [randomBytes(32), randomBytes(32)];
  const keys = [
    { _id: seedIdOf(saleId), key: seed.toString('base64url') },
    { _id: namesIdOf(saleId), key: names.toString('base64url') },
  ];
  await secrets.insertMany(keys, { session });
  const draw: DrawRecord = {
    commitment: commitmentOf(seed),
    state: 'entering',
    entries: null,
    digest: null,
    frozenAt: null,
    seed: null,
    drawnAt: null,
  };
  const room = mode === 'room' && { room: newRoom };
  await placeLists.insertOne({ ...newListOf(saleId), draw, ...room }, { session });
}

const newRoom: RoomRecord = {
  paused: false,
  message: null,
  extra: 0,
  calls: 0,
  calledUpTo: 0,
  nextCallAt: null,
  recent: [],
};

/** Whether people take their places in a drawn order. */
export const isDrawn = ({ mode }: { mode?: SaleMode | undefined }) => mode === 'draw' || mode === 'room';

export const newListOf = (saleId: string): PlaceListRecord => ({
  _id: saleId,
  places: 0,
  lastPosition: 0,
  offers: 0,
  writes: 0,
  draw: null,
});

export const readSeed = (collections: Collections, saleId: string) => readKey(collections, seedIdOf(saleId));

/** The key of the pseudonyms, which is never published. */
export const readNamesKey = (collections: Collections, saleId: string) =>
  readKey(collections, namesIdOf(saleId));

async function readKey({ secrets }: Collections, id: string): Promise<Buffer> {
  const secret = await secrets.findOne({ _id: id });
  if (!secret) throw new Error(`The secret ${id} is missing`);
  return Buffer.from(secret.key, 'base64url');
}
