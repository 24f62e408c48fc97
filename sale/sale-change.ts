import { createHash } from 'node:crypto';
import type { ClientSession } from 'mongoose';
import { appendStaffEntry, type By, type StaffEntry } from '../accounts/staff-log.ts';
import { appendChanges } from '../log/events.ts';
import type { Change } from '../log/schemas.ts';
import { mongoClock } from '../runtime/clock.ts';
import { gapMs, Stale, untilFresh } from '../runtime/databases/transact.ts';
import { failpoint } from '../runtime/failpoints.ts';
import { groupCommit } from '../runtime/group-commit.ts';
import {
  type Collections,
  insertAll,
  isDuplicateKey,
  type SaleChangeKeyRecord,
  type SaleRecord,
} from '../store/collections.ts';
import { countPath, hasSeveralItems, itemRecordsOf } from './items.ts';
import { sumOf } from './settlement/decide.ts';
import type { OtherWriters } from './settlement/other-writers.ts';

/** The fields of a sale that an admin may change. Units can only be added, because existing ones may be sold meanwhile. */
export interface SaleChange {
  paused?: boolean | undefined;
  addStock?: number | undefined;
  /** The item that `addStock` is for; a sale with one item needs none. */
  itemId?: string | undefined;
  opensAt?: Date | undefined;
  closesAt?: Date | undefined;
  /** For how long after the sale's end a buyer may cancel an order; null: not at all. */
  cancelWindowSeconds?: number | null | undefined;
}

interface SaleChangeRequest {
  saleId: string;
  change: SaleChange;
  by: By;
  /** A repeated key returns the first answer and changes nothing. */
  idempotencyKey?: string | undefined;
}

/**
 * Why a change is refused. `unknown_item`: the sale has no such item, or several when none is named. `closes_first`: the
 * sale would close before it opens.
 */
export type SaleChangeRefusal = 'unknown_sale' | 'unknown_item' | 'closes_first' | 'key_reused';

/** Changes that arrive together share one transaction; separate ones would conflict on the same sale document. */
const maxBatch = 500;
const maxWaiting = 2_000;
/** How long a batch is retried after write conflicts before its requests fail. */
const patienceMs = 5_000;

export interface SaleChanges {
  /**
   * @returns the sale after the change, and whether the gates and pages were notified.
   * @throws Overloaded when too many changes wait; MongoDB's write conflict when the retries ran out.
   */
  change(request: SaleChangeRequest): Promise<SaleChangeRefusal | { sale: SaleRecord; isAnnounced: boolean }>;
  drained(): Promise<void>;
}

/**
 * @param announce notifies the gates and pages of a changed sale. It also runs for a repeated request, because the server that
 *   made the change may have died before notifying anyone. @returns whether it succeeded; it must not throw.
 */
export function openSaleChanges(
  collections: Collections,
  announce: (sale: SaleRecord) => Promise<boolean>,
  otherWriters: Pick<OtherWriters, 'announce'>,
): SaleChanges {
  const { submit, drained } = groupCommit({
    async send(requests: SaleChangeRequest[]) {
      otherWriters.announce();
      const { answers, current } = await changeSales(collections, requests);
      if (current.length > 0) failpoint('written');
      const announced = new Map(current.map((sale) => [sale._id, announce(sale)]));
      return answers.map((answer, n) => ({
        answer,
        announced: announced.get((requests[n] as SaleChangeRequest).saleId),
      }));
    },
    maxBatch,
    maxWaiting,
    gapMs: () => gapMs,
  });
  return {
    async change(request) {
      const { answer, announced = Promise.resolve(true) } = await submit(request);
      const isAnnounced = await announced;
      return typeof answer === 'string' ? answer : { sale: answer, isAnnounced };
    },
    drained,
  };
}

/** @returns the sale as it is now; null when there is no such sale. */
export async function changeSale(
  collections: Collections,
  saleId: string,
  change: SaleChange,
  by: By,
): Promise<SaleRecord | 'closes_first' | null> {
  const { answers } = await changeSales(collections, [{ saleId, change, by }]);
  const [answer] = answers;
  return typeof answer === 'object' || answer === 'closes_first' ? answer : null;
}

/**
 * Applies changes in the order of arrival, all in one transaction.
 * @returns one answer for each request, and the current state of the sales whose change was not refused.
 */
async function changeSales(
  collections: Collections,
  requests: SaleChangeRequest[],
): Promise<{ answers: (SaleRecord | SaleChangeRefusal)[]; current: SaleRecord[] }> {
  return await untilFresh(
    collections.connection,
    async (transact) => {
      const plan = await planChanges(collections, requests);
      const { edits, repeated } = plan;
      const changed = edits.size > 0 ? await transact((session) => write(collections, plan, session)) : [];
      const others = [...repeated.values()].filter(({ _id }) => !edits.has(_id));
      return { answers: answersOf(plan, changed), current: [...changed, ...others] };
    },
    { patienceMs },
  );
}

/** The pending update of one sale. */
interface Edit {
  before: SaleRecord;
  paused: boolean;
  opensAt: Date;
  closesAt: Date;
  /** Absent when it stays. */
  cancelWindowSeconds?: number | null;
  /** The log entries of each change. */
  changes: Change[][];
  /** Units added, by item id. */
  units: Map<string, number>;
  /** How many of the changes add units. */
  additions: number;
  staffEntries: StaffEntry[];
}

interface Plan {
  edits: Map<string, Edit>;
  /**
   * One for each request: the stored answer of a repeated key, the reason for a refusal, or null for a change that is
   * written and answered with the changed sale.
   */
  outcomes: (SaleRecord | SaleChangeRefusal | null)[];
  /** Idempotency keys that this plan uses for the first time. */
  keys: Map<string, { saleId: string; bodyHash: string }>;
  /** The current state of the sales of repeated requests, by id. */
  repeated: Map<string, SaleRecord>;
  requests: SaleChangeRequest[];
}

async function planChanges(
  { sales, saleChangeKeys }: Collections,
  requests: SaleChangeRequest[],
): Promise<Plan> {
  const used = await saleChangeKeys
    .find({ _id: { $in: requests.flatMap((request) => keyOf(request) ?? []) } })
    .toArray();
  // The sales are read after the keys, because a sale read first could be older than the answer stored with a key.
  const found = await sales.find({ _id: { $in: requests.map(({ saleId }) => saleId) } }).toArray();
  const usedById = new Map(used.map((record) => [record._id, record]));
  const saleById = new Map(found.map((sale) => [sale._id, sale]));
  const plan: Plan = { edits: new Map(), outcomes: [], keys: new Map(), repeated: new Map(), requests };
  for (const request of requests) {
    const { saleId, change, by } = request;
    const key = keyOf(request);
    const bodyHash = hashOf(change);
    const sale = saleById.get(saleId);
    const before = key === null ? undefined : (usedById.get(key) ?? plan.keys.get(key));
    if (before && before.bodyHash !== bodyHash) plan.outcomes.push('key_reused');
    else if (before) {
      plan.outcomes.push('sale' in before ? before.sale : null);
      if (sale) plan.repeated.set(saleId, sale);
    } else {
      const refusal = planChange(plan, sale, change, by);
      plan.outcomes.push(refusal);
      if (key !== null && !refusal) plan.keys.set(key, { saleId, bodyHash });
    }
  }
  return plan;
}

function planChange(
  { edits }: Plan,
  sale: SaleRecord | undefined,
  { paused, addStock = 0, itemId, opensAt, closesAt, cancelWindowSeconds }: SaleChange,
  by: By,
): SaleChangeRefusal | null {
  if (!sale) return 'unknown_sale';
  const items = itemRecordsOf(sale);
  const item = itemId === undefined && items.length === 1 ? items[0] : items.find(({ id }) => id === itemId);
  if (addStock > 0 && !item) return 'unknown_item';
  const edit = edits.get(sale._id) ?? editOf(sale);
  const window = { opensAt: opensAt ?? edit.opensAt, closesAt: closesAt ?? edit.closesAt };
  if (window.opensAt >= window.closesAt) return 'closes_first';
  const changes: Change[] = [];
  if (paused !== undefined) changes.push({ type: paused ? 'sale.paused' : 'sale.resumed' });
  const units = new Map(edit.units);
  if (addStock > 0 && item) {
    const ofItem = hasSeveralItems(sale) && { itemId: item.id };
    changes.push({ type: 'sale.stock_added', units: addStock, ...ofItem });
    units.set(item.id, (units.get(item.id) ?? 0) + addStock);
  }
  if (opensAt || closesAt) {
    const times = { opensAt: window.opensAt.toISOString(), closesAt: window.closesAt.toISOString() };
    changes.push({ type: 'sale.rescheduled', ...times });
  }
  const changed = {
    ...edit,
    ...window,
    ...(cancelWindowSeconds !== undefined && { cancelWindowSeconds }),
    paused: paused ?? edit.paused,
    changes: [...edit.changes, changes],
    units,
    additions: edit.additions + (addStock > 0 ? 1 : 0),
  };
  const [{ type: action } = { type: 'sale.changed' }] = changes.length === 1 ? changes : [];
  const states = { before: stateOf(edit), after: stateOf(changed) };
  const entry = { ...by, action, subject: { kind: 'sale', id: sale._id }, ...states };
  edits.set(sale._id, { ...changed, staffEntries: [...edit.staffEntries, entry] });
  return null;
}

/** The fields that an admin may change, for the staff log. */
function stateOf({ before, paused, opensAt, closesAt, cancelWindowSeconds, units }: Edit) {
  const cancelling = cancelWindowSeconds === undefined ? before.cancelWindowSeconds : cancelWindowSeconds;
  const unitsOnSale = before.unitsOnSale + sumOf(units);
  return { paused, opensAt, closesAt, cancelWindowSeconds: cancelling, unitsOnSale };
}

const editOf = (before: SaleRecord): Edit => {
  const { paused, opensAt, closesAt } = before;
  return { before, paused, opensAt, closesAt, changes: [], units: new Map(), additions: 0, staffEntries: [] };
};

/**
 * Writes the sales first, so that a write conflict with another transaction costs only this one command.
 * @throws Stale when another transaction changed one of the sales, or used one of the keys, since they were read.
 */
async function write(
  collections: Collections,
  { edits, keys }: Plan,
  session: ClientSession,
): Promise<SaleRecord[]> {
  const { sales } = collections;
  const updates = [...edits].map(
    ([_id, { before, paused, opensAt, closesAt, cancelWindowSeconds, changes, units, additions }]) => {
      const sum = sumOf(units);
      const ofItems = (hasSeveralItems(before) ? [...units] : []).flatMap(([itemId, added]) => [
        [countPath(itemId, 'stock'), added],
        [countPath(itemId, 'unitsOnSale'), added],
      ]);
      const totals = { stock: sum, unitsOnSale: sum, stockVersion: additions };
      const $inc = { ...totals, revision: changes.length, eventSeq: 1, ...Object.fromEntries(ofItems) };
      const cancelling = cancelWindowSeconds !== undefined && { cancelWindowSeconds };
      const $set = { paused, opensAt, closesAt, ...cancelling };
      return { updateOne: { filter: { _id, revision: before.revision }, update: { $set, $inc } } };
    },
  );
  const { matchedCount } = await sales.bulkWrite(updates, { session });
  if (matchedCount !== updates.length) throw new Stale();

  const changed = await sales.find({ _id: { $in: [...edits.keys()] } }, { session }).toArray();
  const now = mongoClock.now();
  const entries = changed.map(({ _id: saleId, eventSeq: seq }) => ({
    saleId,
    seq,
    changes: edits.get(saleId)?.changes.flat() ?? [],
  }));
  await appendChanges(collections, entries, now, session);
  const staffEntries = [...edits.values()].flatMap((edit) => edit.staffEntries);
  await appendStaffEntry(collections, session, ...staffEntries);
  const saleById = new Map(changed.map((sale) => [sale._id, sale]));
  const records = [...keys].map(([_id, { saleId, bodyHash }]) => {
    return { _id, bodyHash, sale: saleById.get(saleId) as SaleRecord, createdAt: now };
  });
  if (records.length > 0) await insertKeys(collections, records, session);
  return changed;
}

/** @throws Stale when another server used one of the keys after they were read. */
async function insertKeys(
  collections: Collections,
  records: SaleChangeKeyRecord[],
  session: ClientSession,
): Promise<void> {
  try {
    await insertAll(collections, collections.saleChangeKeys, records, session);
  } catch (error) {
    if (isDuplicateKey(error)) throw new Stale();
    throw error;
  }
}

function answersOf({ outcomes, requests }: Plan, changed: SaleRecord[]): (SaleRecord | SaleChangeRefusal)[] {
  const saleById = new Map(changed.map((sale) => [sale._id, sale]));
  return outcomes.map((outcome, n) => {
    const { saleId } = requests[n] as SaleChangeRequest;
    return outcome ?? (saleById.get(saleId) as SaleRecord);
  });
}

const keyOf = ({ saleId, idempotencyKey }: SaleChangeRequest) =>
  idempotencyKey === undefined ? null : `${saleId}:${idempotencyKey}`;

/** The fields are hashed in a fixed order, so that the order in the request body does not matter. */
function hashOf({ paused, addStock, itemId, opensAt, closesAt, cancelWindowSeconds }: SaleChange): string {
  // Left out where they are absent, so that the hash of such a change is the same as in the version before.
  const cancelling = cancelWindowSeconds === undefined ? [] : [cancelWindowSeconds];
  const ofItem = itemId === undefined ? [] : [{ itemId }];
  const body = JSON.stringify([paused, addStock, opensAt, closesAt, ...cancelling, ...ofItem]);
  return createHash('sha256').update(body).digest('base64url');
}
