import { setTimeout as delay } from 'node:timers/promises';
import { redisClock } from '../../runtime/clock.ts';
import { isRedisAway } from '../../runtime/databases/connections.ts';
import { readInSnapshot, type Snapshot } from '../../runtime/databases/snapshot-read.ts';
import type { Exclusive } from '../../runtime/mutex.ts';
import type { Collections, SaleRecord } from '../../store/collections.ts';
import { phasesFieldOf } from '../access/access.ts';
import { demandsFieldOf } from '../bots/demands.ts';
import type { Purchase } from '../contract.ts';
import { hasSeveralItems, itemsOf } from '../items.ts';
import { purchaseOf } from '../order.ts';
import { reservedFieldOf } from '../places/reserve.ts';
import { groupBySale } from '../sale.ts';
import { allowanceKey } from '../settlement/decide.ts';
import type { Shard } from '../shard.ts';
import { agreedDrift, driftOf, isDrift, type QueuedPurchase } from './drift.ts';
import { buyersAtOnce, type Gate, type GateDrift, type GateFields, unitsEverOnSale } from './gate.ts';

export interface GateCheck {
  /**
   * Corrects the settings of the gates of the next page of sales.
   * @returns the sales whose gate had other times, limit, pause or revision than MongoDB.
   */
  compareSettings(): Promise<{ updated: string[]; hasMore: boolean }>;
  /** Compares the counts of the next page of sales. @returns the sales whose gate had other counts than MongoDB. */
  compareCounts(): Promise<{ corrected: string[]; hasMore: boolean }>;
  /** Compares the settings of these gates, even of ended sales. @returns the sales whose gate was updated. */
  updateSettings(saleIds: string[]): Promise<string[]>;
  /** Has every gate compared buyer by buyer again, because Redis may have come back with older data. */
  suspectAll(): void;
}

/** Sales compared in one pass. */
const salesAtOnce = 1_000;
/** Sales are compared until their gates have expired, which is a day after the sale's end. */
const comparedAfterEndMs = 25 * 3_600_000;
/** With more queued purchases than this, the comparison of counts is postponed: it would cost more than settling. */
const queuedMaxCompared = 5_000;
/** Comparisons that concurrent commits may invalidate before one runs while settling waits. */
const concurrentAttempts = 2;
/** Maximum time of one pass for comparing the buyers of suspected gates. */
const suspectedMs = 100;

/** A gate and its sale, read at the same state, and their difference. */
interface Comparison {
  sale: SaleRecord;
  gate: GateFields;
  /** Null when commits or a long queue made the comparison impossible. */
  drift: GateDrift | null;
}

/** The progress of comparing a gate's buyers: first the buyers in the gate, then those with an allowance in MongoDB. */
interface BuyerComparison {
  saleId: string;
  part: 'gate' | 'allowances';
  cursor: string;
}

const startBuyerComparison = (saleId: string): BuyerComparison => ({ saleId, part: 'gate', cursor: '0' });

/**
 * Compares gates with MongoDB and repairs them, also while purchases flow. Settings are corrected at once, counts when two
 * comparisons agree on the difference. A comparison is valid if nothing was committed between its first read of MongoDB,
 * the read of Redis and its snapshot of MongoDB, which takes a few milliseconds. A gate that had wrong counts, was rebuilt
 * or may come from an older Redis is compared buyer by buyer soon; of the other gates, one page of buyers in each pass.
 * @param exclusive runs work while no transaction of this process begins or commits.
 * @param recompareAfterMs delay before buyers whose units differ are compared again: a cancellation may be in flight.
 */
export function openGateCheck({
  collections,
  gate,
  exclusive,
  recompareAfterMs = 100,
}: {
  collections: Collections;
  gate: Gate;
  exclusive: Exclusive;
  recompareAfterMs?: number;
}): GateCheck {
  const { sales, orders, allowances, connection } = collections;
  const settingsPages = openPages(sales);
  const countsPages = openPages(sales);
  /** The last drift seen, by sale. */
  const drifts = new Map<string, GateDrift>();
  /** Unfinished buyer comparisons of suspected gates, by sale. */
  const buyerComparisons = new Map<string, BuyerComparison>();
  /** Sales whose gate was suspected at least once since the start or the last `suspectAll`. */
  const suspectedBefore = new Set<string>();
  /** The buyer comparison of a gate that is not suspected. */
  let routine: BuyerComparison | null = null;
  let lastRoutineSale = '';

  /**
   * Compares gates, and these buyers in them. Sales without a gate are left out.
   * @param exclusively runs the reads between which nothing may be committed; the others use the same snapshot.
   */
  function compare(saleIds: string[], buyers: string[] = [], exclusively: Exclusive = (reads) => reads()) {
    return readInSnapshot(connection, async (snapshot): Promise<Comparison[]> => {
      const { before, gates, queued, after } = await exclusively(async () => {
        const projection = { eventSeq: 1, 'items.id': 1 };
        // At local, so that what is committed and not yet in the snapshot shows as a change.
        const readConcern = { level: 'local' as const };
        const before = await sales.find({ _id: { $in: saleIds } }, { projection, readConcern }).toArray();
        const { gates, queued } = await gate.read(saleIds, {
          buyers,
          queuedMax: queuedMaxCompared,
          items: itemIdsOf(before),
        });
        // The snapshot is taken here: when a sale's eventSeq did not change since the first read, nothing was committed
        // for it in between.
        const after = await sales.find({ _id: { $in: [...gates.keys()] } }, snapshot).toArray();
        return { before, gates, queued, after };
      });
      const seqs = new Map(before.map(({ _id, eventSeq }) => [_id, eventSeq]));
      const isUnchanged = (sale: SaleRecord) => seqs.get(sale._id) === sale.eventSeq;
      const canCompare = queued !== null && after.some(isUnchanged);
      const queuedPurchases = await readQueued(canCompare ? queued : new Map(), snapshot);
      const keys = saleIds.flatMap((saleId) => buyers.map((buyer) => allowanceKey(saleId, buyer)));
      const counted =
        canCompare && keys.length > 0
          ? await allowances.find({ _id: { $in: keys } }, snapshot).toArray()
          : [];
      const units = new Map(counted.map((allowance) => [allowance._id, allowance.units]));
      return after.flatMap((sale): Comparison[] => {
        const fields = gates.get(sale._id);
        if (!fields) return [];
        const ofSale = queuedPurchases.bySale.get(sale._id) ?? [];
        // An expired purchase may belong to this sale if the gate counts more queued purchases than were found.
        const isQueueKnown =
          queued !== null && (queuedPurchases.unknown === 0 || fields.queued <= ofSale.length);
        if (!isQueueKnown || !isUnchanged(sale)) return [{ sale, gate: fields, drift: null }];
        const ofBuyers = new Map(
          buyers.map((buyer) => [buyer, units.get(allowanceKey(sale._id, buyer)) ?? 0]),
        );
        return [{ sale, gate: fields, drift: driftOf(fields, sale, ofSale, ofBuyers) }];
      });
    });
  }

  /** Repeats comparisons that commits invalidated; the last attempt runs while this process commits nothing. */
  async function compareUntilValid(saleIds: string[], buyers: string[] = []): Promise<Comparison[]> {
    const valid: Comparison[] = [];
    let left = saleIds;
    for (let n = 0; n < concurrentAttempts; n++) {
      const comparisons = await compare(left, buyers);
      valid.push(...comparisons.filter(({ drift }) => drift));
      left = comparisons.flatMap(({ drift, sale }) => (drift ? [] : [sale._id]));
      if (left.length === 0) return valid;
    }
    return [...valid, ...(await compare(left, buyers, exclusive))];
  }

  async function readQueued(queued: ReadonlyMap<Shard, string[]>, snapshot: Snapshot) {
    const orderIds = [...queued.values()].flat();
    if (orderIds.length === 0) return { bySale: new Map<string, QueuedPurchase[]>(), unknown: 0 };
    const found = await Promise.all([...queued].map(([shard, ids]) => gate.findPurchases(shard, ids)));
    const purchases = new Map(found.flatMap((ofShard) => [...ofShard]));
    const settled = await orders.find({ _id: { $in: orderIds } }, snapshot).toArray();
    const orderById = new Map(settled.map((order) => [order._id, order]));
    const known = orderIds.flatMap((orderId) => {
      const order = orderById.get(orderId) ?? null;
      const purchase: Purchase | null = purchases.get(orderId) ?? (order && purchaseOf(order));
      return purchase ? [{ saleId: purchase.saleId, purchase, order }] : [];
    });
    return { bySale: groupBySale(known), unknown: orderIds.length - known.length };
  }

  async function updateSettings(saleIds: string[]): Promise<string[]> {
    const updated: string[] = [];
    const several = await sales
      .find({ _id: { $in: saleIds }, 'items.1': { $exists: true } }, { projection: { 'items.id': 1 } })
      .toArray();
    const { gates } = await gate.read(saleIds, { queuedMax: 0, items: itemIdsOf(several) });
    const records = await sales.find({ _id: { $in: [...gates.keys()] } }).toArray();
    for (const sale of records) {
      const fields = gates.get(sale._id) as GateFields;
      if (hasOtherSettings(fields, sale)) {
        const isNewer = sale.revision > Number(fields.revision);
        await gate.sync(sale, isNewer ? '' : fields.revision);
        updated.push(sale._id);
      } else if (lacksReturnedUnits(fields, sale)) await gate.sync(sale);
    }
    return updated;
  }

  /** Corrects the counts whose drift is the same in this comparison and the previous one. */
  async function correctCounts({ sale, gate: fields, drift }: Comparison): Promise<boolean> {
    if (!drift) return false;
    const before = drifts.get(sale._id);
    drifts.delete(sale._id);
    if (!isDrift(drift)) return false;
    drifts.set(sale._id, drift);
    const agreed = before && agreedDrift(before, drift);
    if (!agreed || !isDrift(agreed) || !(await gate.correct(sale._id, fields, agreed))) return false;
    drifts.delete(sale._id);
    return true;
  }

  async function suspect(saleId: string): Promise<void> {
    // The mark is lost when the gate is rebuilt, so the next pass suspects it again.
    await gate.mark(saleId);
    suspectedBefore.add(saleId);
    buyerComparisons.set(saleId, startBuyerComparison(saleId));
  }

  /** Compares the next page of buyers, and repeats a page until it has no differences. */
  async function compareNextPage(
    progress: BuyerComparison,
  ): Promise<'done' | 'more' | 'corrected' | 'blocked'> {
    const { buyers, next } = await pageOfBuyers(progress);
    const first = await compareBuyersOf(progress.saleId, buyers);
    if (first === 'gone') return 'done';
    if (first === 'blocked') return first;
    if (first.drift.buyers.size > 0) {
      await delay(recompareAfterMs);
      const second = await compareBuyersOf(progress.saleId, [...first.drift.buyers.keys()]);
      if (second === 'gone') return 'done';
      if (second === 'blocked') return second;
      const agreed = {
        ...agreedDrift(first.drift, second.drift),
        left: 0,
        queued: 0,
        items: new Map<string, number>(),
      };
      const isCorrected = isDrift(agreed) && (await gate.correct(progress.saleId, second.gate, agreed));
      return isCorrected ? 'corrected' : 'blocked';
    }
    if (!next) return 'done';
    Object.assign(progress, next);
    return 'more';
  }

  async function compareBuyersOf(saleId: string, buyers: string[]) {
    const [seen] = await compareUntilValid([saleId], buyers);
    if (!seen) return 'gone';
    return seen.drift ? { gate: seen.gate, drift: seen.drift } : 'blocked';
  }

  async function pageOfBuyers({ saleId, part, cursor }: BuyerComparison) {
    if (part === 'gate') {
      const page = await gate.scanBuyers(saleId, cursor);
      const isLast = page.cursor === '0';
      const next = isLast ? { part: 'allowances', cursor: '' } : { part, cursor: page.cursor };
      return { buyers: page.buyers, next };
    }
    const prefix = allowanceKey(saleId, '');
    const page = await allowances
      .find({ _id: { $gt: prefix + cursor, $lt: `${prefix}\u{10ffff}` } }, { projection: { _id: 1 } })
      .sort({ _id: 1 })
      .limit(buyersAtOnce)
      .toArray();
    const buyers = page.map(({ _id }) => _id.slice(prefix.length));
    const next = { part, cursor: buyers.at(-1) ?? '' };
    return { buyers, next: buyers.length < buyersAtOnce ? null : next };
  }

  /** @returns the sales of which a buyer's count was corrected. */
  async function continueBuyerComparisons(saleIds: string[]): Promise<string[]> {
    const corrected: string[] = [];
    const endsAt = performance.now() + suspectedMs;
    for (const progress of [...buyerComparisons.values()]) {
      let result: Awaited<ReturnType<typeof compareNextPage>> | 'away' = 'more';
      while ((result === 'more' || result === 'corrected') && performance.now() < endsAt) {
        result = await compareNextPage(progress).catch(awayOr);
        if (result === 'corrected') corrected.push(progress.saleId);
      }
      // An unfinished comparison moves to the end, so that the others get their turn.
      buyerComparisons.delete(progress.saleId);
      if (result !== 'done') buyerComparisons.set(progress.saleId, progress);
    }
    const nextId = saleIds.find((saleId) => saleId > lastRoutineSale) ?? saleIds[0];
    routine ??= nextId ? startBuyerComparison(nextId) : null;
    if (!routine) return corrected;
    // suspectAll can replace it during the comparison.
    const current = routine;
    const result = await compareNextPage(current).catch(awayOr);
    if (result === 'corrected') corrected.push(current.saleId);
    lastRoutineSale = current.saleId;
    if ((result === 'done' || result === 'away') && routine === current) routine = null;
    return corrected;
  }

  return {
    async compareSettings() {
      const { saleIds, hasMore } = await settingsPages.next();
      return { updated: await updateSettings(saleIds), hasMore };
    },

    async compareCounts() {
      const { saleIds, hasMore } = await countsPages.next();
      if (saleIds.length === 0) return { corrected: [], hasMore };
      const comparisons = await compareUntilValid(saleIds);
      const corrected: string[] = [];
      const seen = new Map(comparisons.map((one) => [one.sale._id, one]));
      for (const saleId of saleIds) if (!seen.has(saleId)) drifts.delete(saleId);
      const now = redisClock.now();
      const sellable = comparisons.filter(({ sale }) => sale.closesAt > now).map(({ sale }) => sale._id);
      for (const saleId of sellable)
        if (seen.get(saleId)?.gate.checked === '' || !suspectedBefore.has(saleId)) await suspect(saleId);
      for (const one of comparisons) {
        if (!(await correctCounts(one))) continue;
        corrected.push(one.sale._id);
        await suspect(one.sale._id);
      }
      corrected.push(...(await continueBuyerComparisons(sellable)));
      return { corrected, hasMore: hasMore || drifts.size > 0 || buyerComparisons.size > 0 };
    },

    updateSettings,

    suspectAll() {
      settingsPages.restart();
      countsPages.restart();
      drifts.clear();
      buyerComparisons.clear();
      suspectedBefore.clear();
      routine = null;
    },
  };
}

/** One node of a cluster that is away does not hold up the sales of the others. @throws any other fault. */
function awayOr(error: unknown): 'away' {
  if (isRedisAway(error)) return 'away';
  throw error;
}

/** Pages through the sales whose gates have not expired, over and over. */
function openPages(sales: Collections['sales']) {
  /** The last sale of the previous page. */
  let after = '';
  return {
    async next(): Promise<{ saleIds: string[]; hasMore: boolean }> {
      const endsAfter = new Date(redisClock.now().getTime() - comparedAfterEndMs);
      const page = await sales
        .find({ closesAt: { $gt: endsAfter }, _id: { $gt: after } }, { projection: { _id: 1 } })
        .sort({ _id: 1 })
        .limit(salesAtOnce)
        .toArray();
      const hasMore = page.length === salesAtOnce;
      after = hasMore ? (page.at(-1)?._id ?? '') : '';
      return { saleIds: page.map(({ _id }) => _id), hasMore };
    },
    restart() {
      after = '';
    },
  };
}

/** The ids of the items of the sales that have several, by sale id. */
const itemIdsOf = (sales: Pick<SaleRecord, '_id' | 'items'>[]) =>
  new Map(sales.filter(hasSeveralItems).map(({ _id, items = [] }) => [_id, items.map(({ id }) => id)]));

function lacksReturnedUnits(gate: GateFields, sale: SaleRecord): boolean {
  return (
    gate.returned < (sale.unitsReturned ?? 0) ||
    itemsOf(sale).some(({ id, unitsReturned }) => {
      const known = gate.items.get(id);
      return known !== undefined && known.returned < unitsReturned;
    })
  );
}

/** Whether the gate's items differ from MongoDB's. A version before makes a gate that knows no items. */
function hasOtherItems(gate: GateFields, sale: SaleRecord): boolean {
  if (!hasSeveralItems(sale)) return false;
  return itemsOf(sale).some((item) => {
    const known = gate.items.get(item.id);
    return (
      !known ||
      known.units !== unitsEverOnSale(item) ||
      known.limit !== item.limitPerBuyer ||
      known.returned > item.unitsReturned
    );
  });
}

/** Whether the gate's settings differ from MongoDB's. Returned units that have not reached the gate yet do not count. */
function hasOtherSettings(gate: GateFields, sale: SaleRecord): boolean {
  return (
    gate.returned > (sale.unitsReturned ?? 0) ||
    gate.revision !== String(sale.revision) ||
    gate.units !== unitsEverOnSale(sale) ||
    gate.limit !== sale.limitPerBuyer ||
    gate.opensAtMs !== sale.opensAt.getTime() ||
    gate.closesAtMs !== sale.closesAt.getTime() ||
    gate.isPaused !== sale.paused ||
    gate.requiresVerifiedEmail !== (sale.requiresVerifiedEmail ?? false) ||
    gate.reserved !== reservedFieldOf(sale) ||
    gate.phases !== phasesFieldOf(sale) ||
    gate.demands !== demandsFieldOf(sale) ||
    hasOtherItems(gate, sale)
  );
}
