import { isDeepStrictEqual } from 'node:util';
import type { OrderRecord, SaleRecord } from '../../store/collections.ts';
import type { Purchase } from '../contract.ts';
import { hasSeveralItems, itemsOf } from '../items.ts';
import { claimsOf, limitsOf } from '../settlement/decide.ts';
import { settledPurchaseOf } from '../settlement/transaction.ts';
import { type GateDrift, type GateFields, type GateItem, unitsEverOnSale, unitsGivenBack } from './gate.ts';

type Counts = Pick<SaleRecord, 'unitsOnSale' | 'unitsKept' | 'unitsReturned'>;

/** A queued purchase, and its order if it has been settled but not yet removed from the queued set. */
export interface QueuedPurchase {
  purchase: Purchase;
  order: OrderRecord | null;
}

/**
 * The differences between a gate's counts and what they should be: MongoDB's stock and allowances, less the units of
 * queued purchases. Pure.
 * @param queued the sale's queued purchases when the gate was read.
 * @param allowances units of the gate's buyers, by buyer.
 */
export function driftOf(
  gate: GateFields,
  sale: SaleRecord,
  queued: readonly QueuedPurchase[],
  allowances: ReadonlyMap<string, number>,
): GateDrift {
  // Units that were added or returned in MongoDB and are not in the gate yet; they reach it by gate.sync.
  const notSynced = (of: Counts, known: Pick<GateItem, 'units' | 'returned'>) =>
    unitsEverOnSale(of) - known.units + (of.unitsReturned ?? 0) - known.returned;
  let left = sale.stock - notSynced(sale, gate);
  const leftOfItems = new Map<string, number>();
  for (const item of hasSeveralItems(sale) ? itemsOf(sale) : []) {
    const known = gate.items.get(item.id);
    if (known) leftOfItems.set(item.id, item.stock - notSynced(item, known));
  }
  const limits = limitsOf(sale);
  const ofBuyers = new Map([...gate.buyers.keys()].map((buyer) => [buyer, allowances.get(buyer) ?? 0]));
  for (const { purchase, order } of queued) {
    const { quantity, lines = [] } = purchase;
    const { ofSale, ofBuyer } = order
      ? unitsGivenBack(settledPurchaseOf(purchase, order))
      : { ofSale: quantity, ofBuyer: quantity };
    left -= ofSale;
    for (const { itemId, quantity } of ofSale > 0 ? lines : []) {
      const ofItem = leftOfItems.get(itemId);
      if (ofItem !== undefined) leftOfItems.set(itemId, ofItem - quantity);
    }
    for (const claim of ofBuyer > 0 ? claimsOf(purchase, limits) : []) {
      const units = ofBuyers.get(claim.holder);
      if (units !== undefined) ofBuyers.set(claim.holder, units + claim.units);
    }
  }
  const buyers = [...ofBuyers].flatMap(([buyer, units]) => {
    const difference = units - (gate.buyers.get(buyer) ?? 0);
    return difference === 0 ? [] : [[buyer, difference] as const];
  });
  const items = [...leftOfItems].flatMap(([itemId, ofItem]) => {
    const difference = ofItem - (gate.items.get(itemId)?.left ?? 0);
    return difference === 0 ? [] : [[itemId, difference] as const];
  });
  return {
    left: left - gate.left,
    queued: queued.length - gate.queued,
    buyers: new Map(buyers),
    items: new Map(items),
  };
}

export const isDrift = ({ left, queued, buyers, items }: GateDrift) =>
  left !== 0 || queued !== 0 || buyers.size > 0 || items.size > 0;

/** The drift that two comparisons have in common: a difference caused by an update in flight is gone at the second. */
export function agreedDrift(first: GateDrift, second: GateDrift): GateDrift {
  const isSame =
    first.left === second.left &&
    first.queued === second.queued &&
    isDeepStrictEqual(first.items, second.items);
  return {
    left: isSame ? second.left : 0,
    queued: isSame ? second.queued : 0,
    items: isSame ? second.items : new Map(),
    buyers: new Map([...second.buyers].filter(([buyer, units]) => first.buyers.get(buyer) === units)),
  };
}
