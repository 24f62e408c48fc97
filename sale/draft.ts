import { hash } from 'node:crypto';
import { nanoid } from 'nanoid';
import { appendStaffEntry, type By, changeInTurn } from '../accounts/staff-log.ts';
import { mongoClock, redisClock } from '../runtime/clock.ts';
import { Stale, transact, untilFresh } from '../runtime/databases/transact.ts';
import { type Collections, type DraftRecord, isDuplicateKey, type SaleRecord } from '../store/collections.ts';
import { afterCursor, pageOf } from '../store/time-cursor.ts';
import { deleteAccess } from './access/codes.ts';
import type { SalePage, SaleSnapshot } from './contract.ts';
import { itemsOf } from './items.ts';
import {
  choicesOf,
  findProducts,
  findSale,
  insertSale,
  type NewSale,
  readSaleSnapshot,
  saleIdOf,
  saleRecordOf,
  snapshotOfRecord,
  unknownProduct,
} from './sale.ts';
import {
  applyChange,
  hashOfChange,
  insertKeys,
  type SaleChange,
  type SaleChangeRefusal,
  stateOf,
} from './sale-change.ts';

/** Who makes a draft, and the Idempotency-Key of the request, with which it is made once. */
export interface Maker {
  by: By;
  idempotencyKey: string | undefined;
}

/** How long a draft is retried against other changes of it. */
const patienceMs = 5_000;

/**
 * Makes a draft of a sale. A repeated Idempotency-Key finds the draft, or the sale that it has become.
 * @returns `key_reused` when the key made another draft; the id of a product that does not exist.
 */
export async function createDraft(
  collections: Collections,
  sale: NewSale,
  { by, idempotencyKey }: Maker,
): Promise<SaleSnapshot | 'key_reused' | { noProduct: string }> {
  const noProduct = await unknownProduct(sale.items, await findProducts(collections, sale.items));
  if (noProduct) return { noProduct };
  const id = idempotencyKey === undefined ? nanoid() : saleIdOf('draft', by, idempotencyKey);
  const published = idempotencyKey === undefined ? null : await readSaleSnapshot(collections, id);
  if (published) return published;
  const requestHash = hash('sha256', JSON.stringify(sale), 'base64url');
  const draft: DraftRecord = { _id: id, sale, requestHash, revision: 0, createdAt: mongoClock.now() };
  try {
    await transact(collections.connection, async (session) => {
      await collections.drafts.insertOne(draft, { session });
      const entry = { ...by, action: 'draft.created', subject: { kind: 'sale', id }, after: sale };
      await appendStaffEntry(collections, session, entry);
    });
  } catch (error) {
    if (!isDuplicateKey(error)) throw error;
    const made = await collections.drafts.findOne({ _id: id });
    if (made?.requestHash !== requestHash) return 'key_reused';
    return (await snapshotOfDraft(collections, made)) ?? 'key_reused';
  }
  return (await snapshotOfDraft(collections, draft)) as SaleSnapshot;
}

/** Makes a draft with the values of a sale or of another draft. @returns null when there is no such sale. */
export async function duplicateSale(
  collections: Collections,
  id: string,
  maker: Maker,
): Promise<SaleSnapshot | 'key_reused' | null> {
  const copied = await findValues(collections, id);
  const made = copied && (await createDraft(collections, copied, maker));
  return made && !(typeof made === 'object' && 'noProduct' in made) ? made : null;
}

/** The values with which a sale or a draft could be made again; null when there is none. */
export async function findValues(collections: Collections, id: string): Promise<NewSale | null> {
  const sale = await findSale(collections, id);
  return sale ? valuesOf(sale) : ((await collections.drafts.findOne({ _id: id }))?.sale ?? null);
}

/** The values with which a sale could be made again: with all the units that it has put on sale. */
function valuesOf(sale: SaleRecord): NewSale {
  const { limitPerBuyer, cancelWindowSeconds, paymentWindowSeconds, opensAt, closesAt } = sale;
  const cancelling = {
    ...choicesOf(sale),
    ...(cancelWindowSeconds !== undefined && { cancelWindowSeconds }),
  };
  const terms = { limitPerBuyer, ...cancelling, paymentWindowSeconds };
  const items = itemsOf(sale).map(({ productId, label, amount, oldAmount, unitsOnSale, limitPerBuyer }) => {
    return { productId, label, amount, oldAmount, stock: unitsOnSale, limitPerBuyer };
  });
  return { items, currency: sale.price.currency, ...terms, opensAt, closesAt };
}

/**
 * Changes a draft by the rules of a sale that has not opened.
 * @returns the draft, the reason for a refusal, or the id of a product that does not exist.
 */
export async function changeDraft(
  collections: Collections,
  id: string,
  change: SaleChange,
  { by, idempotencyKey }: Maker,
): Promise<SaleSnapshot | SaleChangeRefusal | { noProduct: string }> {
  const { drafts, saleChangeKeys } = collections;
  const key = idempotencyKey === undefined ? null : `${id}:${idempotencyKey}`;
  const bodyHash = hashOfChange(change);
  const attempt = () =>
    untilFresh(
      collections.connection,
      async (write) => {
        const used = key === null ? null : await saleChangeKeys.findOne({ _id: key });
        const draft = await drafts.findOne({ _id: id });
        if (!draft) return 'unknown_sale';
        if (change.paused !== undefined) return 'not_in_draft';
        if (used && used.bodyHash !== bodyHash) return 'key_reused';
        if (used) return (await snapshotOfDraft(collections, draft)) ?? 'unknown_sale';
        const planned = applyChange(recordOfDraft(draft), change, redisClock.now());
        if (typeof planned === 'string') return planned;
        const sale = valuesOf(planned.after);
        const noProduct = await unknownProduct(sale.items, await findProducts(collections, sale.items));
        if (noProduct) return { noProduct };
        const changed = { ...draft, sale, revision: draft.revision + 1 };
        await write(async (session) => {
          const { revision } = draft;
          const { matchedCount } = await drafts.replaceOne({ _id: id, revision }, changed, { session });
          if (matchedCount === 0) throw new Stale();
          const states = { before: stateOf(recordOfDraft(draft)), after: stateOf(planned.after) };
          const entry = { ...by, action: 'draft.changed', subject: { kind: 'sale', id }, ...states };
          await appendStaffEntry(collections, session, entry);
          if (key === null) return;
          const answer = { _id: key, bodyHash, sale: planned.after, createdAt: mongoClock.now() };
          await insertKeys(collections, [answer], session);
        });
        return (await snapshotOfDraft(collections, changed)) ?? 'unknown_sale';
      },
      { patienceMs },
    );
  return await changeInTurn(id, attempt);
}

/**
 * Publishes a draft: from then on everybody sees it, and it opens at its time. Publishing it again changes nothing.
 * @param isAsConfirmed whether the draft is still as it was confirmed.
 * @returns `changed` when it is not; `over` when its end has passed; null when there is no such draft or sale.
 */
export async function publishDraft(
  collections: Collections,
  id: string,
  isAsConfirmed: (draft: SaleSnapshot) => boolean,
  by: By,
): Promise<SaleSnapshot | 'changed' | 'over' | null> {
  return await untilFresh(
    collections.connection,
    async (write) => {
      const draft = await collections.drafts.findOne({ _id: id });
      const snapshot = draft && (await snapshotOfDraft(collections, draft));
      if (!snapshot) return await readSaleSnapshot(collections, id);
      if (!isAsConfirmed(snapshot)) return 'changed';
      const { sale, revision } = draft;
      if (sale.closesAt <= redisClock.now()) return 'over';
      const published = await write(async (session) => {
        const { deletedCount } = await collections.drafts.deleteOne({ _id: id, revision }, { session });
        if (deletedCount === 0) throw new Stale();
        const entry = { ...by, action: 'sale.published', subject: { kind: 'sale', id }, after: sale };
        await appendStaffEntry(collections, session, entry);
        return await insertSale(collections, id, sale, session);
      });
      return await snapshotOfRecord(collections, published);
    },
    { patienceMs },
  );
}

/** @returns whether there was such a draft. */
export async function deleteDraft(collections: Collections, id: string, by: By): Promise<boolean> {
  return await transact(collections.connection, async (session) => {
    const deleted = await collections.drafts.findOneAndDelete({ _id: id }, { session });
    if (!deleted) return false;
    await deleteAccess(collections, id, session);
    const entry = { ...by, action: 'draft.deleted', subject: { kind: 'sale', id }, before: deleted.sale };
    await appendStaffEntry(collections, session, entry);
    return true;
  });
}

const listedDrafts = 100;

/** A page of the drafts, the newest first. */
export async function listDrafts(collections: Collections, cursor?: string): Promise<SalePage> {
  const found = await collections.drafts
    .find(afterCursor('createdAt', cursor))
    .sort({ createdAt: -1, _id: -1 })
    .limit(listedDrafts + 1)
    .toArray();
  const { page, nextCursor } = pageOf(found, 'createdAt', listedDrafts);
  const snapshots = await Promise.all(page.map((draft) => snapshotOfDraft(collections, draft)));
  return { sales: snapshots.filter((snapshot) => snapshot !== null), nextCursor };
}

export async function readDraft(collections: Collections, id: string): Promise<SaleSnapshot | null> {
  const draft = await collections.drafts.findOne({ _id: id });
  return draft && (await snapshotOfDraft(collections, draft));
}

/** The sale that the draft would become. Its `stockVersion` grows with every change of the draft. */
const recordOfDraft = ({ _id, sale, revision, createdAt }: DraftRecord): SaleRecord => ({
  ...saleRecordOf(_id, sale, createdAt),
  stockVersion: revision,
});

const snapshotOfDraft = (collections: Collections, draft: DraftRecord) =>
  snapshotOfRecord(collections, recordOfDraft(draft));
