import type { OrderRecord, SaleRecord } from '../../store/collections.ts';
import type { Purchase } from '../contract.ts';
import { personOf } from '../settlement/decide.ts';
import { endingOf } from '../settlement/transaction.ts';
import { type GateDrift, type GateFields, givenBackOf } from './gate.ts';

/** A queued purchase, and the order that exists under its id: it is settled, and not yet taken off the queue. */
export interface QueuedPurchase {
  purchase: Purchase;
  order: OrderRecord | null;
}

/**
 * What a gate would have to count more: MongoDB's stock and allowances, less what is still on its way. Pure.
 * @param queued those of the sale, as they were when the gate was read.
 * @param allowances of the gate's buyers, by buyer.
 */
export function driftOf(
  gate: GateFields,
  sale: Pick<SaleRecord, 'stock' | 'unitsOnSale' | 'unitsReturned'>,
  queued: readonly QueuedPurchase[],
  allowances: ReadonlyMap<string, number>,
): GateDrift {
  // Units that were put on sale or back, and that the gate was not yet told of.
  const untold = sale.unitsOnSale - gate.units + (sale.unitsReturned ?? 0) - gate.returned;
  let left = sale.stock - untold;
  const ofBuyers = new Map([...gate.buyers.keys()].map((buyer) => [buyer, allowances.get(buyer) ?? 0]));
  for (const { purchase, order } of queued) {
    const { quantity } = purchase;
    const personId = personOf(purchase);
    const { ofSale, ofBuyer } = order
      ? givenBackOf(endingOf(purchase, order))
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

/** What two looks agree on: a difference that was only on its way is gone at the second. */
export function agreedDrift(first: GateDrift, second: GateDrift): GateDrift {
  const isSame = first.left === second.left && first.queued === second.queued;
  return {
    left: isSame ? second.left : 0,
    queued: isSame ? second.queued : 0,
    buyers: new Map([...second.buyers].filter(([buyer, units]) => first.buyers.get(buyer) === units)),
  };
}
