import { hash, randomInt } from 'node:crypto';
import type { ClientSession } from 'mongoose';
import { nanoid } from 'nanoid';
import { appendStaffEntry, type By, changeInTurn } from '../../accounts/staff-log.ts';
import { mongoClock } from '../../runtime/clock.ts';
import { transact } from '../../runtime/databases/transact.ts';
import type { CodeBatchRecord, CodeRecord } from '../../store/access-collections.ts';
import { type Collections, insertAll } from '../../store/collections.ts';
import type { CodeBatch } from '../contract.ts';
import { allowanceKey, codeHolderOf } from '../settlement/decide.ts';

/**
 * Codes let people into a phase of a sale. A code has 80 random bits, and only its hash is stored. Its uses are counted like the
 * units of a person, as the allowance of a holder, so that the gate, the settlement, the cancellations and the comparison of gates
 * count them without code of their own.
 */

export const maxCodesAtOnce = 10_000;
const maxCodesOfSale = 100_000;
export const maxUses = 100_000;
const maxBatches = 100;

/** Crockford's base32: without I, L, O and U, which are misread. */
const alphabet = '0123456789ABCDEFGHJKMNPQRSTVWXYZ';
const length = 16;
const group = 4;

/** A new code, such as 7F3K-Q2XD-9M0T-ZB5R. */
function newCode(): string {
  const letters = Array.from({ length }, () => alphabet[randomInt(alphabet.length)]).join('');
  return (letters.match(new RegExp(`.{${group}}`, 'g')) ?? []).join('-');
}

/**
 * The id of a code in its sale. Case, blanks and hyphens do not matter, nor do letters that are read as digits.
 * @returns 22 characters of base64url; null when it cannot be a code.
 */
export function codeIdOf(saleId: string, typed: string): string | null {
  const letters = typed.toUpperCase().replace(/[\s-]/g, '').replaceAll('O', '0').replace(/[IL]/g, '1');
  if (letters.length !== length || [...letters].some((letter) => !alphabet.includes(letter))) return null;
  return hash('sha256', `code\n${saleId}\n${letters}`, 'base64url').slice(0, 22);
}

export const codeKeyOf = (saleId: string, codeId: string) => `${saleId}:${codeId}`;

/** How long a transaction is retried after write conflicts. */
const patience = { patienceMs: 10_000 };

/**
 * Makes codes for a sale or a draft.
 * @returns the codes themselves, which are never shown again; `too_many` when the sale would have too many; null when there is no
 *   such sale.
 */
export async function createCodes(
  collections: Collections,
  saleId: string,
  { name, codes: count, uses }: { name: string; codes: number; uses: number },
  by: By,
): Promise<{ batch: CodeBatch; codes: string[] } | 'too_many' | null> {
  const { sales, drafts, codeBatches, guards } = collections;
  const codes = Array.from({ length: count }, newCode);
  const now = mongoClock.now();
  const batch = { _id: nanoid(), saleId, name, codes: count, uses, createdAt: now, revokedAt: null };
  const records = codes.map((code): CodeRecord => {
    const _id = codeKeyOf(saleId, codeIdOf(saleId, code) as string);
    return { _id, saleId, batchId: batch._id, uses, revokedAt: null };
  });
  const guard = { _id: 'sale_codes' };
  await guards.updateOne(guard, { $setOnInsert: { writes: 0 } }, { upsert: true });
  const create = () =>
    transact(
      collections.connection,
      async (session) => {
        const here = { session, projection: { _id: 1 } };
        const known =
          (await sales.findOne({ _id: saleId }, here)) ?? (await drafts.findOne({ _id: saleId }, here));
        if (!known) return null;
        // Transactions that make codes conflict on this document, so that none counts past another one.
        await guards.updateOne(guard, { $inc: { writes: 1 } }, { session });
        const made = await codeBatches.find({ saleId }, { session, projection: { codes: 1 } }).toArray();
        const total = made.reduce((sum, one) => sum + one.codes, count);
        if (made.length >= maxBatches || total > maxCodesOfSale) return 'too_many' as const;
        await insertAll(collections, codeBatches, [batch], session);
        await insertAll(collections, collections.codes, records, session);
        await appendStaffEntry(collections, session, {
          ...{ ...by, action: 'codes.created', subject: { kind: 'sale', id: saleId } },
          after: { batch: batch._id, name, codes: count, uses },
        });
        return { batch: batchOf(batch, 0), codes };
      },
      patience,
    );
  return await changeInTurn(guard._id, create);
}

const batchOf = ({ _id: id, name, codes, uses, createdAt, revokedAt }: CodeBatchRecord, used: number) => ({
  ...{ id, name, codes, uses, used },
  createdAt: createdAt.toISOString(),
  revokedAt: revokedAt?.toISOString() ?? null,
});

const countedAtOnce = 1_000;

/** The batches of a sale, the newest first, with how often their codes were used. */
export async function listCodeBatches(
  { codeBatches, codes, allowances }: Collections,
  saleId: string,
): Promise<CodeBatch[]> {
  const batches = await codeBatches.find({ saleId }).sort({ createdAt: -1 }).limit(maxBatches).toArray();
  const used = new Map<string, number>();
  const prefix = allowanceKey(saleId, codeHolderOf(''));
  const ofSale = { _id: { $gt: prefix, $lt: `${prefix}\u{10ffff}` }, units: { $gt: 0 } };
  const count = async (uses: Map<string, number>) => {
    const found = codes.find({ _id: { $in: [...uses.keys()] } }, { projection: { batchId: 1 } });
    for await (const { _id, batchId } of found)
      used.set(batchId, (used.get(batchId) ?? 0) + (uses.get(_id) ?? 0));
    uses.clear();
  };
  const uses = new Map<string, number>();
  for await (const { _id, units } of allowances.find(ofSale)) {
    uses.set(codeKeyOf(saleId, _id.slice(prefix.length)), units);
    if (uses.size === countedAtOnce) await count(uses);
  }
  if (uses.size > 0) await count(uses);
  return batches.map((batch) => batchOf(batch, used.get(batch._id) ?? 0));
}

/**
 * Revokes all codes of a batch. Orders that they have let in stay.
 * @returns whether there is such a batch.
 */
export async function revokeBatch(
  collections: Collections,
  saleId: string,
  batchId: string,
  by: By,
): Promise<boolean> {
  const { codeBatches, codes, connection } = collections;
  return await transact(
    connection,
    async (session) => {
      const valid = { _id: batchId, saleId, revokedAt: null };
      const $set = { revokedAt: mongoClock.now() };
      const revoked = await codeBatches.findOneAndUpdate(valid, { $set }, { session });
      if (!revoked) return (await codeBatches.findOne({ _id: batchId, saleId }, { session })) !== null;
      await codes.updateMany({ saleId, batchId, revokedAt: null }, { $set }, { session });
      const subject = { kind: 'sale', id: saleId };
      const before = { batch: batchId, name: revoked.name, codes: revoked.codes };
      await appendStaffEntry(collections, session, { ...by, action: 'codes.revoked', subject, before });
      return true;
    },
    patience,
  );
}

/**
 * Revokes one code, such as one that was published.
 * @returns how often it was used; null when the sale has no such code.
 */
export async function revokeCode(
  collections: Collections,
  saleId: string,
  typed: string,
  by: By,
): Promise<{ uses: number; used: number } | null> {
  const id = codeIdOf(saleId, typed);
  if (id === null) return null;
  return await transact(
    collections.connection,
    async (session) => {
      const _id = codeKeyOf(saleId, id);
      const code = await collections.codes.findOne({ _id }, { session });
      if (!code) return null;
      if (code.revokedAt === null) {
        const $set = { revokedAt: mongoClock.now() };
        await collections.codes.updateOne({ _id }, { $set }, { session });
        const subject = { kind: 'sale', id: saleId };
        const before = { batch: code.batchId, code: id };
        await appendStaffEntry(collections, session, { ...by, action: 'code.revoked', subject, before });
      }
      const holder = { _id: allowanceKey(saleId, codeHolderOf(id)) };
      const used = await collections.allowances.findOne(holder, { session });
      return { uses: code.uses, used: used?.units ?? 0 };
    },
    patience,
  );
}

/** How many orders each of these codes may let in, by its id; a code that was revoked lets in none. */
export async function readUses(
  { codes }: Collections,
  saleId: string,
  ids: Iterable<string>,
  session: ClientSession,
): Promise<Map<string, number>> {
  const keys = [...new Set(ids)].map((id) => codeKeyOf(saleId, id));
  if (keys.length === 0) return new Map();
  const found = await codes.find({ _id: { $in: keys } }, { session }).toArray();
  return new Map(
    found.map(({ _id, uses, revokedAt }) => [_id.slice(saleId.length + 1), revokedAt ? 0 : uses]),
  );
}

/** Deletes the list and the codes of a draft with it. */
export async function deleteAccess(
  { listParts, codeBatches, codes }: Collections,
  saleId: string,
  session: ClientSession,
): Promise<void> {
  await listParts.deleteMany({ saleId }, { session });
  await codeBatches.deleteMany({ saleId }, { session });
  await codes.deleteMany({ saleId }, { session });
}
