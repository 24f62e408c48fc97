import { setTimeout as delay } from 'node:timers/promises';
import type { ClientSession } from 'mongoose';
import { redisClock } from '../../runtime/clock.ts';
import { readInSnapshot } from '../../runtime/databases/snapshot-read.ts';
import type { Exclusive } from '../../runtime/mutex.ts';
import type { Collections, SaleRecord } from '../../store/collections.ts';
import type { Purchase } from '../contract.ts';
import { purchaseOf } from '../order.ts';
import { groupBySale } from '../sale.ts';
import { allowanceKey } from '../settlement/decide.ts';
import { agreedDrift, driftOf, isDrift, type QueuedPurchase } from './drift.ts';
import { buyersAtOnce, type Gate, type GateDrift, type GateFields } from './gate.ts';

export interface GateCheck {
  /**
   * Corrects the settings of the gates of the next page of sales.
   * @returns the sales whose gate had other times, limit, pause or revision than MongoDB.
   */
  compareSettings(): Promise<{ told: string[]; hasMore: boolean }>;
  /** Compares the counts of the next page of sales. @returns the sales whose gate had other counts than MongoDB. */
  compareCounts(): Promise<{ corrected: string[]; hasMore: boolean }>;
  /** Compares the settings of these gates, even of ended sales. @returns the sales whose gate was updated. */
  tellSettings(saleIds: string[]): Promise<string[]>;
  /** Has every gate compared buyer by buyer again, because Redis may have come back with older data. */
  suspectAll(): void;
}

/** Sales compared in one pass. */
const salesAtOnce = 1_000;
/** Sales are compared until their gates have expired, a day after the sale's end. */
const lookedAtAfterEndMs = 25 * 3_600_000;
/** With more queued purchases than this, the comparison of counts is postponed: it would cost more than settling. */
const queuedAtMost = 5_000;
/** Reads that concurrent commits may invalidate before one is made while settling waits. */
const freeLooks = 2;
/** Time that one pass may spend on comparing the buyers of suspected gates. */
const suspectsMs = 100;

/** A gate and its sale, read together. */
interface Look {
  sale: SaleRecord;
  gate: GateFields;
  /** Null when commits or a long queue made the comparison impossible. */
  drift: GateDrift | null;
}

/** The progress of comparing a gate's buyers: first the buyers in the gate, then those with an allowance in MongoDB. */
interface BuyersTour {
  saleId: string;
  part: 'gate' | 'allowances';
  cursor: string;
}

const beginTour = (saleId: string): BuyersTour => ({ saleId, part: 'gate', cursor: '0' });

/**
 * Compares gates with MongoDB and repairs them, also while purchases flow. Settings are corrected at once, counts when two
 * comparisons agree on the difference. A comparison is valid if nothing was committed between its first read of MongoDB,
 * the read of Redis and its snapshot of MongoDB, which takes a few milliseconds. A gate that had wrong counts, was rebuilt
 * or may come from an older Redis is compared buyer by buyer soon; of the other gates, one page of buyers in each pass.
 * @param exclusive runs work while no transaction of this process begins or commits.
 * @param secondLookAfterMs delay before buyers whose units differ are compared again: a cancellation may be in flight.
 */
export function openGateCheck({
  collections,
  gate,
  exclusive,
  secondLookAfterMs = 100,
}: {
  collections: Collections;
  gate: Gate;
  exclusive: Exclusive;
  secondLookAfterMs?: number;
}): GateCheck {
  const { sales, orders, allowances, connection } = collections;
  const settingsPages = openPages(sales);
  const countsPages = openPages(sales);
  /** The last drift seen, by sale. */
  const drifts = new Map<string, GateDrift>();
  /** Buyer comparisons of suspected gates, by sale. */
  const tours = new Map<string, BuyersTour>();
  /** Sales whose gate was suspected at least once. */
  const met = new Set<string>();
  let routine: BuyersTour | null = null;
  let routineAfter = '';

  /**
   * Compares gates, and these buyers in them. Sales without a gate are left out.
   * @param exclusively runs the reads between which nothing may be committed; the others use the same snapshot.
   */
  function look(saleIds: string[], buyers: string[] = [], exclusively: Exclusive = (reads) => reads()) {
    return readInSnapshot(connection, async (session): Promise<Look[]> => {
      const { before, gates, queued, after } = await exclusively(async () => {
        const before = await sales.find({ _id: { $in: saleIds } }, { projection: { eventSeq: 1 } }).toArray();
        const { gates, queued } = await gate.read(saleIds, { buyers, queuedMax: queuedAtMost });
        // The snapshot is taken here: when a sale's eventSeq did not change since the first read, nothing was committed
        // for it in between.
        const after = await sales.find({ _id: { $in: [...gates.keys()] } }, { session }).toArray();
        return { before, gates, queued, after };
      });
      const seqs = new Map(before.map(({ _id, eventSeq }) => [_id, eventSeq]));
      const isStill = (sale: SaleRecord) => seqs.get(sale._id) === sale.eventSeq;
      const isTelling = queued !== null && after.some(isStill);
      const waiting = await readQueued(isTelling ? queued : [], session);
      const keys = saleIds.flatMap((saleId) => buyers.map((buyer) => allowanceKey(saleId, buyer)));
      const counted =
        isTelling && keys.length > 0
          ? await allowances.find({ _id: { $in: keys } }, { session }).toArray()
          : [];
      const units = new Map(counted.map((allowance) => [allowance._id, allowance.units]));
      return after.flatMap((sale): Look[] => {
        const fields = gates.get(sale._id);
        if (!fields) return [];
        const ofSale = waiting.bySale.get(sale._id) ?? [];
        // An expired purchase may belong to this sale if the gate counts more queued purchases than were found.
        const isKnown = queued !== null && (waiting.unknown === 0 || fields.queued <= ofSale.length);
        if (!isKnown || !isStill(sale)) return [{ sale, gate: fields, drift: null }];
        const ofBuyers = new Map(
          buyers.map((buyer) => [buyer, units.get(allowanceKey(sale._id, buyer)) ?? 0]),
        );
        return [{ sale, gate: fields, drift: driftOf(fields, sale, ofSale, ofBuyers) }];
      });
    });
  }

  /** Repeats comparisons that commits invalidated, at last while this process commits nothing. */
  async function lookRepeatedly(saleIds: string[], buyers: string[] = []): Promise<Look[]> {
    for (let n = 0; n < freeLooks; n++) {
      const looks = await look(saleIds, buyers);
      if (looks.every(({ drift }) => drift)) return looks;
    }
    return await look(saleIds, buyers, exclusive);
  }

  async function readQueued(orderIds: string[], session: ClientSession) {
    if (orderIds.length === 0) return { bySale: new Map<string, QueuedPurchase[]>(), unknown: 0 };
    const purchases = await gate.findPurchases(orderIds);
    const settled = await orders.find({ _id: { $in: orderIds } }, { session }).toArray();
    const orderById = new Map(settled.map((order) => [order._id, order]));
    const known = orderIds.flatMap((orderId) => {
      const order = orderById.get(orderId) ?? null;
      const purchase: Purchase | null = purchases.get(orderId) ?? (order && purchaseOf(order));
      return purchase ? [{ saleId: purchase.saleId, purchase, order }] : [];
    });
    return { bySale: groupBySale(known), unknown: orderIds.length - known.length };
  }

  async function takeOverSettings(saleIds: string[]): Promise<string[]> {
    const told: string[] = [];
    const { gates } = await gate.read(saleIds, { queuedMax: 0 });
    const records = await sales.find({ _id: { $in: [...gates.keys()] } }).toArray();
    for (const sale of records) {
      const fields = gates.get(sale._id) as GateFields;
      if (isOther(fields, sale)) {
        const isNewer = sale.revision > Number(fields.revision);
        await gate.sync(sale, isNewer ? '' : fields.revision);
        told.push(sale._id);
      } else if (fields.returned < (sale.unitsReturned ?? 0)) await gate.sync(sale);
    }
    return told;
  }

  /** Corrects the counts whose drift is the same in this comparison and the previous one. */
  async function correctCounts({ sale, gate: fields, drift }: Look): Promise<boolean> {
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
    met.add(saleId);
    tours.set(saleId, beginTour(saleId));
  }

  /** Compares the next page of buyers, and repeats a page until it has no differences. */
  async function goOn(tour: BuyersTour): Promise<'over' | 'on' | 'corrected' | 'blocked'> {
    const { buyers, next } = await pageOfBuyers(tour);
    const first = await lookAtBuyers(tour.saleId, buyers);
    if (first === 'gone') return 'over';
    if (first === 'blocked') return first;
    if (first.drift.buyers.size > 0) {
      await delay(secondLookAfterMs);
      const second = await lookAtBuyers(tour.saleId, [...first.drift.buyers.keys()]);
      if (second === 'gone') return 'over';
      if (second === 'blocked') return second;
      const agreed = { ...agreedDrift(first.drift, second.drift), left: 0, queued: 0 };
      const isCorrected = isDrift(agreed) && (await gate.correct(tour.saleId, second.gate, agreed));
      return isCorrected ? 'corrected' : 'blocked';
    }
    if (!next) return 'over';
    Object.assign(tour, next);
    return 'on';
  }

  async function lookAtBuyers(saleId: string, buyers: string[]) {
    const [seen] = await lookRepeatedly([saleId], buyers);
    if (!seen) return 'gone';
    return seen.drift ? { gate: seen.gate, drift: seen.drift } : 'blocked';
  }

  async function pageOfBuyers({ saleId, part, cursor }: BuyersTour) {
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
  async function compareBuyers(saleIds: string[]): Promise<string[]> {
    const corrected: string[] = [];
    const endsAt = performance.now() + suspectsMs;
    for (const tour of [...tours.values()]) {
      let came: Awaited<ReturnType<typeof goOn>> = 'on';
      while (came !== 'over' && came !== 'blocked' && performance.now() < endsAt) {
        came = await goOn(tour);
        if (came === 'corrected') corrected.push(tour.saleId);
      }
      // An unfinished comparison moves to the end, so that the others get their turn.
      tours.delete(tour.saleId);
      if (came !== 'over') tours.set(tour.saleId, tour);
    }
    const nextId = saleIds.find((saleId) => saleId > routineAfter) ?? saleIds[0];
    routine ??= nextId ? beginTour(nextId) : null;
    if (!routine) return corrected;
    const came = await goOn(routine);
    if (came === 'corrected') corrected.push(routine.saleId);
    routineAfter = routine.saleId;
    if (came === 'over') routine = null;
    return corrected;
  }

  return {
    async compareSettings() {
      const { saleIds, hasMore } = await settingsPages.next();
      return { told: await takeOverSettings(saleIds), hasMore };
    },

    async compareCounts() {
      const { saleIds, hasMore } = await countsPages.next();
      if (saleIds.length === 0) return { corrected: [], hasMore };
      const looks = await lookRepeatedly(saleIds);
      const corrected: string[] = [];
      const seen = new Map(looks.map((one) => [one.sale._id, one]));
      for (const saleId of saleIds) if (!seen.has(saleId)) drifts.delete(saleId);
      const now = redisClock.now();
      const sellable = looks.filter(({ sale }) => sale.closesAt > now).map(({ sale }) => sale._id);
      for (const saleId of sellable)
        if (seen.get(saleId)?.gate.checked === '' || !met.has(saleId)) await suspect(saleId);
      for (const one of looks) {
        if (!(await correctCounts(one))) continue;
        corrected.push(one.sale._id);
        await suspect(one.sale._id);
      }
      corrected.push(...(await compareBuyers(sellable)));
      return { corrected, hasMore: hasMore || drifts.size > 0 || tours.size > 0 };
    },

    tellSettings: takeOverSettings,

    suspectAll() {
      settingsPages.restart();
      countsPages.restart();
      drifts.clear();
      tours.clear();
      met.clear();
      routine = null;
    },
  };
}

/** Pages through the sales whose gates have not expired, over and over. */
function openPages(sales: Collections['sales']) {
  /** The last sale of the previous page. */
  let after = '';
  return {
    async next(): Promise<{ saleIds: string[]; hasMore: boolean }> {
      const endsAfter = new Date(redisClock.now().getTime() - lookedAtAfterEndMs);
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

/** Whether the gate's settings differ from MongoDB's. Returned units that have not reached the gate yet do not count. */
function isOther(gate: GateFields, sale: SaleRecord): boolean {
  return (
    gate.returned > (sale.unitsReturned ?? 0) ||
    gate.revision !== String(sale.revision) ||
    gate.units !== sale.unitsOnSale ||
    gate.limit !== sale.limitPerBuyer ||
    gate.opensAtMs !== sale.opensAt.getTime() ||
    gate.closesAtMs !== sale.closesAt.getTime() ||
    gate.isPaused !== sale.paused
  );
}
