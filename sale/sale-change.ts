import { createHash } from 'node:crypto';
import { isDeepStrictEqual } from 'node:util';
import type { ClientSession } from 'mongoose';
import { appendStaffEntry, type By, type StaffEntry } from '../accounts/staff-log.ts';
import { appendChanges } from '../log/events.ts';
import type { Change } from '../log/schemas.ts';
import { mongoClock, redisClock } from '../runtime/clock.ts';
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
import { hasSiteCodes, type PhaseRecord, phasesFault } from './access/access.ts';
import { type AgainstBots, againstBots } from './bots/demands.ts';
import type { Language, Money, RoomSite, SaleMode } from './contract.ts';
import { type Item, itemRecordsOf, itemsOf, type NewItem, recordOfItems } from './items.ts';
import { isDrawn } from './places/draw.ts';
import { choicesOf, creationOf } from './sale.ts';
import type { OtherWriters } from './settlement/other-writers.ts';

/** What staff may change of a published sale; what is demanded against bots also while it is open. */
export interface SaleChange extends AgainstBots {
  paused?: boolean | undefined;
  addStock?: number | undefined;
  /** At most the units that are left. */
  withdrawStock?: number | undefined;
  /** Whose stock or price changes; needed only in a sale with several items. */
  itemId?: string | undefined;
  opensAt?: Date | undefined;
  closesAt?: Date | undefined;
  /** For how long after the sale's end a buyer may cancel an order; null: not at all. */
  cancelWindowSeconds?: number | null | undefined;
  /** Once the sale has opened, it can only be raised. */
  limitPerBuyer?: number | undefined;
  /** The own limits of items, null for none. Once the sale has opened, they can only be raised. */
  itemLimits?: { itemId: string; limitPerBuyer: number | null }[] | undefined;
  /** Until the sale opens, like all that follow. */
  requiresVerifiedEmail?: boolean | undefined;
  /** All phases, as they should be; none: everybody from the opening on. */
  phases?: PhaseRecord[] | undefined;
  /** Null: none. */
  language?: Language | null | undefined;
  paymentWindowSeconds?: number | undefined;
  /** The earlier price is removed by null. */
  price?: Money | undefined;
  oldAmount?: number | null | undefined;
  /** In a draft only. */
  mode?: SaleMode | undefined;
  /** Only of a waiting room; also while it is open. */
  roomPerMinute?: number | undefined;
  /** Of a waiting room in front of another site; null: none. Once the sale is published, only `inside` changes. */
  site?: RoomSite | null | undefined;
  drawAt?: Date | undefined;
  /** In the draft of a draw only. */
  drawBeacon?: boolean | undefined;
  waitingList?: boolean | undefined;
  /** Replaces all items; one with the id of an item that is there keeps it. */
  items?: { list: NewItem[]; currency: string } | undefined;
  /** Calls the sale off, which ends it for good: see settlement/called-off.ts. */
  calledOff?: true | undefined;
}

interface SaleChangeRequest {
  saleId: string;
  change: SaleChange;
  by: By;
  /** A repeated key returns the first answer and changes nothing. */
  idempotencyKey?: string | undefined;
}

/** Why a change is refused. */
export type SaleChangeRefusal =
  | 'unknown_sale'
  | 'key_reused'
  | 'called_off'
  /** The sale would close before it opens. */
  | 'closes_first'
  /** It names no item of the sale, or none although there are several. */
  | 'unknown_item'
  /** Fewer units are left than are to be withdrawn. */
  | 'too_few_left'
  | 'limit_above_stock'
  /** An order of the limit would cost 2^53 minor units or more. */
  | 'limit_too_dear'
  | 'old_price_too_low'
  /** The sale has opened, or opens within a second, and this can be changed only before. */
  | 'price_is_fixed'
  | 'items_are_fixed'
  | 'limit_only_grows'
  | 'mode_is_fixed'
  | 'draw_is_fixed'
  /** A draw is made after the opening and before the end; another sale has none. */
  | 'draw_outside'
  /** What a draw depends on is published with it. */
  | 'beacon_is_fixed'
  /** Only a draw depends on a beacon. */
  | 'no_draw'
  /** Only a waiting room has a pace. */
  | 'no_room'
  /** Only a waiting room stands in front of another site. */
  | 'site_outside'
  /** Codes let nobody into another site. */
  | 'codes_at_site'
  /** Whether things are bought in a sale is published with it, and the keys of a site follow from its address. */
  | 'site_is_fixed'
  /** A waiting room calls the people who still wait when units come back, so such a sale needs no waiting list. */
  | 'room_is_list'
  | 'item_limit_only_grows'
  /** The phases do not begin with the sale, one after the other, before its end. */
  | 'phases_outside'
  | 'terms_are_fixed'
  /** The only item of a sale has the sale's limit. */
  | 'no_item_limit'
  /** A draft cannot be paused. */
  | 'not_in_draft';

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

/** @returns the sale as it is now. */
export async function changeSale(
  collections: Collections,
  saleId: string,
  change: SaleChange,
  by: By,
): Promise<SaleRecord | SaleChangeRefusal> {
  const { answers } = await changeSales(collections, [{ saleId, change, by }]);
  const [answer] = answers;
  return answer ?? 'unknown_sale';
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
  after: SaleRecord;
  /** The log entries of each change. */
  changes: Change[][];
  /** Whether it is allowed only before the sale opens. */
  isEarly: boolean;
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
    const bodyHash = hashOfChange(change);
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
  change: SaleChange,
  by: By,
): SaleRecord | SaleChangeRefusal | null {
  if (!sale) return 'unknown_sale';
  const unchanged = { before: sale, after: sale, changes: [], isEarly: false, staffEntries: [] };
  const edit: Edit = edits.get(sale._id) ?? unchanged;
  if (edit.after.calledOffAt) {
    if (!change.calledOff) return 'called_off';
    return sale.calledOffAt ? sale : null;
  }
  const planned = applyChange(edit.after, change, redisClock.now());
  if (typeof planned === 'string') return planned;
  const [{ type: action } = { type: 'sale.changed' }] = planned.changes.length === 1 ? planned.changes : [];
  const states = { before: stateOf(edit.after), after: stateOf(planned.after) };
  const entry = { ...by, action, subject: { kind: 'sale', id: sale._id }, ...states };
  edits.set(sale._id, {
    ...edit,
    staffEntries: [...edit.staffEntries, entry],
    after: planned.after,
    changes: [...edit.changes, planned.changes],
    isEarly: edit.isEarly || planned.isEarly,
  });
  return null;
}

/** The fields that staff may change, for the staff log. */
export function stateOf(sale: SaleRecord) {
  const { paused, opensAt, closesAt, cancelWindowSeconds, limitPerBuyer, unitsOnSale, calledOffAt } = sale;
  const { paymentWindowSeconds } = sale;
  const { currency } = sale.price;
  // Each item has the currency, because a change of a price alone leaves the sale's own out of the log.
  const items = itemsOf(sale).map(({ stock: _, unitsReturned: __, unitsKept: ___, ...item }) => ({
    ...item,
    currency,
  }));
  const { mode, roomPerMinute, drawAt, waitingList } = sale;
  const terms = { limitPerBuyer, unitsOnSale, currency, items, mode, roomPerMinute, drawAt, waitingList };
  const choices = { ...choicesOf(sale), ...(paymentWindowSeconds && { paymentWindowSeconds }) };
  return { paused, opensAt, closesAt, cancelWindowSeconds, ...terms, ...choices, calledOffAt };
}

interface Planned {
  after: SaleRecord;
  changes: Change[];
  isEarly: boolean;
}

/** Applies one change to a sale. Pure. */
export function applyChange(sale: SaleRecord, change: SaleChange, now: Date): Planned | SaleChangeRefusal {
  if (change.calledOff) return callOff(sale, now);
  const mended = mend(sale, change, now);
  if (typeof mended === 'string') return mended;
  const stocked = changeStock(mended.after, change);
  if (typeof stocked === 'string') return stocked;
  const { paused = sale.paused, opensAt = sale.opensAt, closesAt = sale.closesAt } = change;
  if (opensAt >= closesAt) return 'closes_first';
  // Phases of a sale that has opened stay as they are, also when it is moved or ends at once.
  const arePhasesChecked =
    change.phases !== undefined || sale.publishedAt === null || (opensAt > now && isBeforeOpening(sale, now));
  if (arePhasesChecked && phasesFault(mended.after.phases ?? [], { opensAt, closesAt }))
    return 'phases_outside';
  const { mode, drawAt } = mended.after;
  if (mode === 'draw' ? !drawAt || drawAt <= opensAt || drawAt >= closesAt : drawAt) return 'draw_outside';
  const isMoved = opensAt.getTime() !== sale.opensAt.getTime();
  if (isDrawn(mended.after) && isMoved && !isBeforeOpening(sale, now)) return 'draw_is_fixed';
  const { roomPerMinute = mended.after.roomPerMinute } = change;
  if (roomPerMinute !== undefined && mode !== 'room') return 'no_room';
  const { site = mended.after.site ?? null } = change;
  if (site && mode !== 'room') return 'site_outside';
  // A sale that was published with codes can still be changed otherwise.
  const areCodesChecked = change.phases !== undefined || sale.publishedAt === null;
  if (areCodesChecked && hasSiteCodes({ site, phases: mended.after.phases })) return 'codes_at_site';
  if (site?.url !== sale.site?.url && sale.publishedAt !== null) return 'site_is_fixed';
  const changes = [...mended.changes];
  if (change.paused !== undefined) changes.push({ type: paused ? 'sale.paused' : 'sale.resumed' });
  changes.push(...stocked.changes);
  if (change.opensAt || change.closesAt) {
    const window = { opensAt: opensAt.toISOString(), closesAt: closesAt.toISOString() };
    changes.push({ type: 'sale.rescheduled', ...window });
  }
  const { cancelWindowSeconds = sale.cancelWindowSeconds } = change;
  const cancelling = cancelWindowSeconds === undefined ? {} : { cancelWindowSeconds };
  // Purchases of before may still be queued, although the sale is scheduled again and nothing of it is sold.
  const opened = sale.publishedAt !== null &&
    opensAt > now &&
    now >= sale.opensAt && { hasOpened: true as const };
  const pace = roomPerMinute === undefined ? {} : { roomPerMinute };
  const { site: _, ...demanding } = withDemands(stocked.after, change);
  const after = {
    ...demanding,
    paused,
    opensAt,
    closesAt,
    ...cancelling,
    ...pace,
    ...(site && { site }),
    ...opened,
  };
  return { after, changes, isEarly: mended.isEarly };
}

function withDemands(sale: SaleRecord, change: SaleChange): SaleRecord {
  const { proofOfWork, networkLimit, captcha, ...others } = sale;
  const {
    proofOfWork: work = proofOfWork,
    networkLimit: limit = networkLimit,
    captcha: form = captcha,
  } = change;
  return { ...others, ...againstBots({ proofOfWork: work, networkLimit: limit, captcha: form }) };
}

/** The window ends now, so that gates and processes of the version before refuse purchases as of an ended sale. */
function callOff(sale: SaleRecord, now: Date): Planned {
  const closesAt = sale.closesAt < now ? sale.closesAt : now;
  const after: SaleRecord = { ...sale, closesAt, calledOffAt: now, phase: 'called_off', cancelledUpToSeq: 0 };
  return { after, changes: [{ type: 'sale.called_off' }], isEarly: false };
}

/** A sale that opens sooner than this is not mended any more, so that nobody buys at a price that just changed. */
const lastMendMs = 1_000;

/** Whether nothing was sold yet, nor will be in the next moment. */
function isBeforeOpening(sale: SaleRecord, now: Date): boolean {
  const {
    publishedAt,
    hasOpened,
    phase,
    opensAt,
    stock,
    unitsOnSale,
    unitsReturned = 0,
    unitsKept = 0,
  } = sale;
  if (publishedAt === null) return true;
  if (hasOpened) return false;
  const isEarly = (phase ?? 'scheduled') === 'scheduled' && opensAt.getTime() - now.getTime() > lastMendMs;
  return isEarly && stock === unitsOnSale && unitsReturned === 0 && unitsKept === 0;
}

/** Changes items, prices and limit. */
function mend(sale: SaleRecord, change: SaleChange, now: Date): Planned | SaleChangeRefusal {
  const isEarly = isBeforeOpening(sale, now);
  const isRepriced = change.price !== undefined || change.oldAmount !== undefined;
  if (isRepriced && !isEarly) return 'price_is_fixed';
  if (change.items && !isEarly) return 'items_are_fixed';
  let after = sale;
  if (change.items) {
    const { list, currency } = change.items;
    const known = new Set(itemRecordsOf(sale).map(({ id }) => id));
    if (!list.every(({ id }) => id === undefined || known.has(id))) return 'unknown_item';
    after = withItems(sale, list, currency);
  }
  if (isRepriced) {
    const repriced = reprice(after, change);
    if (typeof repriced === 'string') return repriced;
    after = repriced;
  }
  const placed = changePlaces(after, change, isEarly);
  if (typeof placed === 'string') return placed;
  const isPlaced = placed !== after;
  after = placed;
  const termed = withTerms(after, change);
  const isTermed = termed !== after;
  if (isTermed && !isEarly) return 'terms_are_fixed';
  const limited = withItemLimits(termed, change.itemLimits ?? [], isEarly);
  if (typeof limited === 'string') return limited;
  after = limited.after;
  const { limitPerBuyer = sale.limitPerBuyer } = change;
  if (limitPerBuyer < sale.limitPerBuyer && !isEarly) return 'limit_only_grows';
  after = { ...after, limitPerBuyer };
  const unitsOnSale = after.unitsOnSale + (change.addStock ?? 0);
  const isMended = change.items !== undefined || isRepriced || isPlaced || isTermed;
  const isLimitSet = change.limitPerBuyer !== undefined;
  if ((isLimitSet || change.items) && limitPerBuyer > unitsOnSale) return 'limit_above_stock';
  const dearest = Math.max(...itemsOf(after).map(({ amount }) => amount));
  if ((isLimitSet || isMended) && dearest * limitPerBuyer > Number.MAX_SAFE_INTEGER) return 'limit_too_dear';
  const changes: Change[] = isMended
    ? [{ ...creationOf(after), type: 'sale.changed' }]
    : limitPerBuyer === sale.limitPerBuyer
      ? []
      : [{ type: 'sale.limit_changed', limitPerBuyer }];
  if (!isMended) changes.push(...limited.changes);
  return { after, changes, isEarly: isMended || limited.isLower || limitPerBuyer < sale.limitPerBuyer };
}

/** The sale with other terms; the same object when they are as they were. */
function withTerms(sale: SaleRecord, change: SaleChange): SaleRecord {
  const {
    requiresVerifiedEmail = sale.requiresVerifiedEmail === true,
    language = sale.language ?? null,
    paymentWindowSeconds = sale.paymentWindowSeconds ?? 0,
    phases = sale.phases ?? [],
  } = change;
  const isSame =
    requiresVerifiedEmail === (sale.requiresVerifiedEmail === true) &&
    language === (sale.language ?? null) &&
    paymentWindowSeconds === (sale.paymentWindowSeconds ?? 0) &&
    isDeepStrictEqual(phases, sale.phases ?? []);
  if (isSame) return sale;
  const { requiresVerifiedEmail: _, language: __, phases: ___, ...others } = sale;
  return {
    ...others,
    ...choicesOf({ phases, requiresVerifiedEmail, language: language ?? undefined }),
    paymentWindowSeconds,
  };
}

/** The sale with other limits of its items; no counts change. */
function withItemLimits(
  sale: SaleRecord,
  limits: NonNullable<SaleChange['itemLimits']>,
  isEarly: boolean,
): { after: SaleRecord; changes: Change[]; isLower: boolean } | SaleChangeRefusal {
  const items = itemRecordsOf(sale);
  const changes: Change[] = [];
  let isLower = false;
  const wanted = new Map(limits.map(({ itemId, limitPerBuyer }) => [itemId, limitPerBuyer]));
  if (![...wanted.keys()].every((id) => items.some((item) => item.id === id))) return 'unknown_item';
  if (wanted.size > 0 && items.length === 1) return 'no_item_limit';
  const limited = items.map((item) => {
    const limitPerBuyer = wanted.get(item.id);
    if (limitPerBuyer === undefined || limitPerBuyer === item.limitPerBuyer) return item;
    isLower ||= (limitPerBuyer ?? Infinity) < (item.limitPerBuyer ?? Infinity);
    changes.push({ type: 'sale.item_limit_changed', itemId: item.id, limitPerBuyer });
    return { ...item, limitPerBuyer };
  });
  if (isLower && !isEarly) return 'item_limit_only_grows';
  return { after: changes.length > 0 ? { ...sale, items: limited } : sale, changes, isLower };
}

/** Changes how units are given out, and when a draw is made. @returns the same sale when nothing of it changes. */
function changePlaces(
  sale: SaleRecord,
  { mode, drawAt, drawBeacon, waitingList }: SaleChange,
  isEarly: boolean,
): SaleRecord | SaleChangeRefusal {
  const now = { mode: sale.mode ?? 'open', waitingList: sale.waitingList ?? false };
  const isOther = mode !== undefined && mode !== now.mode;
  if (isOther && sale.publishedAt !== null) return 'mode_is_fixed';
  const isMoved = drawAt !== undefined && drawAt.getTime() !== sale.drawAt?.getTime();
  const isSwitched = waitingList !== undefined && waitingList !== now.waitingList;
  const isDraw = (mode ?? now.mode) === 'draw';
  if (drawBeacon && !isDraw) return 'no_draw';
  const hasBeacon = isDraw && (drawBeacon ?? sale.drawBeacon === true);
  const isOtherBeacon = hasBeacon !== (sale.drawBeacon === true);
  if (isOtherBeacon && sale.publishedAt !== null) return 'beacon_is_fixed';
  if (!isOther && !isMoved && !isSwitched && !isOtherBeacon) return sale;
  if (!isEarly) return 'draw_is_fixed';
  if ((mode ?? now.mode) === 'room' && (waitingList ?? now.waitingList)) return 'room_is_list';
  const { drawAt: before, drawBeacon: _, roomPerMinute, site, ...rest } = sale;
  const at = drawAt ?? (isOther ? undefined : before);
  return {
    ...rest,
    ...(!isOther && roomPerMinute && { roomPerMinute }),
    ...(!isOther && site && { site }),
    ...(mode && { mode }),
    ...(at && { drawAt: at }),
    ...(hasBeacon && { drawBeacon: true as const }),
    ...(waitingList !== undefined && { waitingList }),
  };
}

function reprice(sale: SaleRecord, { itemId, price, oldAmount }: SaleChange): SaleRecord | SaleChangeRefusal {
  const items = itemsOf(sale);
  const repriced = itemOf(items, itemId);
  if (!repriced) return 'unknown_item';
  const item = {
    ...repriced,
    amount: price?.amount ?? repriced.amount,
    oldAmount: oldAmount === undefined ? repriced.oldAmount : oldAmount,
  };
  if (item.oldAmount !== null && item.oldAmount <= item.amount) return 'old_price_too_low';
  const list = items.map((one) => (one.id === item.id ? item : one));
  return withItems(sale, list, price?.currency ?? sale.price.currency);
}

/** The sale with other items, of which nothing is sold yet. */
function withItems({ itemCounts: _, ...sale }: SaleRecord, list: NewItem[], currency: string): SaleRecord {
  return { ...sale, ...recordOfItems(list, currency, sale), stockVersion: sale.stockVersion + 1 };
}

/** The item with this id; without one, the only item. */
function itemOf(items: Item[], itemId: string | undefined): Item | undefined {
  if (itemId === undefined) return items.length === 1 ? items[0] : undefined;
  return items.find(({ id }) => id === itemId);
}

function changeStock(sale: SaleRecord, change: SaleChange): Omit<Planned, 'isEarly'> | SaleChangeRefusal {
  const { addStock = 0, withdrawStock = 0, itemId } = change;
  if (addStock === 0 && withdrawStock === 0) return { after: sale, changes: [] };
  const items = itemsOf(sale);
  const item = itemOf(items, itemId);
  if (!item) return 'unknown_item';
  const units = addStock - withdrawStock;
  if (item.stock + units < 0) return 'too_few_left';
  const ofItem = items.length > 1 ? { itemId: item.id } : {};
  const changes: Change[] = [];
  if (addStock > 0) changes.push({ type: 'sale.stock_added', units: addStock, ...ofItem });
  if (withdrawStock > 0) changes.push({ type: 'sale.stock_withdrawn', units: withdrawStock, ...ofItem });
  return { after: withUnits(sale, item, units), changes };
}

/** The sale with more units of an item, or with fewer. */
function withUnits(sale: SaleRecord, { id, stock, unitsOnSale }: Item, units: number): SaleRecord {
  const known = sale.itemCounts?.[id];
  const counts = known && { ...known, stock: stock + units, unitsOnSale: unitsOnSale + units };
  return {
    ...sale,
    ...(counts && { itemCounts: { ...sale.itemCounts, [id]: counts } }),
    stock: sale.stock + units,
    unitsOnSale: sale.unitsOnSale + units,
    stockVersion: sale.stockVersion + 1,
  };
}

/** The fields that a change sets. Counts are incremented, because purchases are settled meanwhile. */
const settable = [
  ...['paused', 'opensAt', 'closesAt', 'limitPerBuyer', 'calledOffAt', 'phase', 'cancelledUpToSeq'],
  ...['cancelWindowSeconds', 'hasOpened', 'drawAt', 'drawBeacon', 'waitingList', 'roomPerMinute', 'site'],
  ...['items', 'productId', 'price', 'oldAmount'],
  ...['phases', 'requiresVerifiedEmail', 'language', 'paymentWindowSeconds'],
  ...['proofOfWork', 'networkLimit', 'captcha'],
] as (keyof SaleRecord)[];

function updateOf(_id: string, { before, after, changes, isEarly }: Edit) {
  // Later only the limits of items change, and their counts go on.
  const isReplaced = isEarly && before.items !== after.items;
  const fields = settable.filter((field) => before[field] !== after[field]);
  const isGone = (field: keyof SaleRecord) => after[field] === undefined;
  const $unset = Object.fromEntries(fields.filter(isGone).map((field) => [field, '' as const]));
  const set = fields.filter((field) => !isGone(field));
  const $set = Object.fromEntries(set.map((field) => [field, after[field]]));
  const increments = new Map<string, number>();
  const filter: Record<string, unknown> = { _id, revision: before.revision };
  const add = (field: string, units: number) => {
    if (units === 0) return;
    increments.set(field, units);
    if (units < 0) filter[field] = { $gte: -units };
  };
  add('stock', after.stock - before.stock);
  add('unitsOnSale', after.unitsOnSale - before.unitsOnSale);
  if (isReplaced) $set.itemCounts = after.itemCounts ?? {};
  for (const [id, counts] of isReplaced ? [] : Object.entries(after.itemCounts ?? {})) {
    const known = before.itemCounts?.[id];
    add(`itemCounts.${id}.stock`, counts.stock - (known?.stock ?? 0));
    add(`itemCounts.${id}.unitsOnSale`, counts.unitsOnSale - (known?.unitsOnSale ?? 0));
  }
  if (isEarly) Object.assign(filter, { stock: before.stock, unitsOnSale: before.unitsOnSale });
  const $inc = {
    ...Object.fromEntries(increments),
    stockVersion: after.stockVersion - before.stockVersion,
    revision: changes.length,
    eventSeq: 1,
  };
  const update = {
    ...(Object.keys($set).length > 0 && { $set }),
    ...(Object.keys($unset).length > 0 && { $unset }),
    $inc,
  };
  return { updateOne: { filter, update } };
}

/**
 * Writes the sales first, so that a write conflict with another transaction costs only this one command.
 * @throws Stale when another transaction changed one of the sales, or used one of the keys, since they were read, and when a
 *   sale that is mended before its opening opens now.
 */
async function write(
  collections: Collections,
  { edits, keys }: Plan,
  session: ClientSession,
): Promise<SaleRecord[]> {
  const { sales } = collections;
  const now = redisClock.now();
  const updates = [...edits].map(([saleId, edit]) => updateOf(saleId, edit));
  if ([...edits.values()].some(({ before, isEarly }) => isEarly && !isBeforeOpening(before, now)))
    throw new Stale();
  const { matchedCount } = await sales.bulkWrite(updates, { session });
  if (matchedCount !== updates.length) throw new Stale();

  const changed = await sales.find({ _id: { $in: [...edits.keys()] } }, { session }).toArray();
  const at = mongoClock.now();
  const entries = changed.map(({ _id: saleId, eventSeq: seq }) => ({
    saleId,
    seq,
    changes: edits.get(saleId)?.changes.flat() ?? [],
  }));
  await appendChanges(collections, entries, at, session);
  const staffEntries = [...edits.values()].flatMap((edit) => edit.staffEntries);
  await appendStaffEntry(collections, session, ...staffEntries);
  const saleById = new Map(changed.map((sale) => [sale._id, sale]));
  const records = [...keys].map(([_id, { saleId, bodyHash }]) => {
    return { _id, bodyHash, sale: saleById.get(saleId) as SaleRecord, createdAt: at };
  });
  if (records.length > 0) await insertKeys(collections, records, session);
  return changed;
}

/** @throws Stale when another server used one of the keys after they were read. */
export async function insertKeys(
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

/**
 * The fields are hashed in a fixed order, so that the order in the request body does not matter; first those that the version
 * before knows, whose hash stays the same.
 */
export function hashOfChange({ paused, addStock, opensAt, closesAt, ...more }: SaleChange): string {
  const others = Object.entries(more)
    .filter(([, value]) => value !== undefined)
    .sort(([one], [other]) => (one < other ? -1 : 1));
  const body = JSON.stringify([paused, addStock, opensAt, closesAt, ...(others.length > 0 ? [others] : [])]);
  return createHash('sha256').update(body).digest('base64url');
}
