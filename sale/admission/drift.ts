import type { OrderRecord, SaleRecord } from '../../store/collections.ts';
import type { Purchase } from '../contract.ts';
import { personOf } from '../settlement/decide.ts';
import { settledPurchaseOf } from '../settlement/transaction.ts';
import { type GateDrift, type GateFields, unitsEverOnSale, unitsGivenBack } from './gate.ts';

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
  sale: Pick<SaleRecord, 'stock' | 'unitsOnSale' | 'unitsKept' | 'unitsReturned'>,
  queued: readonly QueuedPurchase[],
  allowances: ReadonlyMap<string, number>,
): GateDrift {
  // Units that were added or returned in MongoDB and are not in the gate yet; they reach it by gate.sync.
  const notSynced = unitsEverOnSale(sale) - gate.units + (sale.unitsReturned ?? 0) - gate.returned;
  let left = sale.stock - notSynced;
  const ofBuyers = new Map([...gate.buyers.keys()].map((buyer) => [buyer, allowances.get(buyer) ?? 0]));
  for (const { purchase, order } of queued) {
    const { quantity } = purchase;
    const personId = personOf(purchase);
    const { ofSale, ofBuyer } = order
      ? unitsGivenBack(settledPurchaseOf(purchase, order))
      : { ofSale: quantity, ofBuyer: quantity };
    left -= ofSale;
    const units = ofBuyers.get(personId);
    if (units !== undefined) ofBuyers.set(personId, units + ofBuyer);
  }
  const buyers = [...ofBuyers].flatMap(([buyer, units]) => {
    const difference = units - (gate.buyers.get(buyer) ?? 0);
    return difference === 0 ? [] : [[buyer, difference] as const];
  });
  return { left: left - gate.left, queued: queued.length - gate.queued, buyers: new Map(buyers) };
}

export const isDrift = ({ left, queued, buyers }: GateDrift) => left !== 0 || queued !== 0 || buyers.size > 0;

/** The drift that two comparisons have in common: a difference caused by an update in flight is gone at the second. */
export function agreedDrift(first: GateDrift, second: GateDrift): GateDrift {
  const isSame = first.left === second.left && first.queued === second.queued;
  return {
    left: isSame ? second.left : 0,
    queued: isSame ? second.queued : 0,
    buyers: new Map([...second.buyers].filter(([buyer, units]) => first.buyers.get(buyer) === units)),
  };
}
