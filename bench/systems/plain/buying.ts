import type { Purchase } from '../../../sale/contract.ts';
import {
  type Collections,
  isDuplicateKey,
  type OrderRecord,
  type SaleRecord,
} from '../../../store/collections.ts';

/** The outcome of a plain purchase: 'paid', or why it has no new order. */
export type Bought = 'paid' | 'known' | 'over_limit' | 'sold_out' | 'not_open';

/**
 * Settles one purchase as it is usually written, done well: checks, then one guarded write after the other, where `_id`s
 * serve as unique indexes and a refused write undoes those before it. It uses no transaction, which for single purchases
 * of one hot sale would mostly retry, so a crash between two writes can lose units. Stampede pays for avoiding that;
 * these sides do not.
 */
export async function buyOne(
  collections: Collections,
  sale: SaleRecord,
  purchase: Purchase,
): Promise<Bought> {
  const { sales, orders } = collections;
  const { saleId, quantity } = purchase;
  if (!isOpen(sale)) return 'not_open';
  if (sale.stock < quantity) return 'sold_out';
  if (!(await takeAllowance(collections, sale, purchase))) return 'over_limit';

  const guard = { _id: saleId, stock: { $gte: quantity } };
  const { matchedCount } = await sales.updateOne(guard, { $inc: { stock: -quantity, stockVersion: 1 } });
  if (matchedCount === 0) {
    await giveBackAllowance(collections, purchase);
    return 'sold_out';
  }
  try {
    await orders.insertOne(recordOf(purchase));
    return 'paid';
  } catch (error) {
    await giveBackAllowance(collections, purchase);
    await sales.updateOne({ _id: saleId }, { $inc: { stock: quantity, stockVersion: 1 } });
    if (isDuplicateKey(error)) return 'known';
    throw error;
  }
}

function isOpen({ opensAt, closesAt, paused }: SaleRecord): boolean {
  const now = new Date();
  return opensAt <= now && now < closesAt && !paused;
}

const allowanceOf = ({ saleId, buyerId }: Purchase) => `${saleId}:${buyerId}`;

/** Past the limit the filter matches nothing, and the upsert fails with a duplicate key. */
async function takeAllowance(
  { allowances }: Collections,
  { limitPerBuyer }: SaleRecord,
  purchase: Purchase,
): Promise<boolean> {
  const { quantity } = purchase;
  const filter = { _id: allowanceOf(purchase), units: { $lte: limitPerBuyer - quantity } };
  try {
    await allowances.updateOne(filter, { $inc: { units: quantity } }, { upsert: true });
    return true;
  } catch (error) {
    if (isDuplicateKey(error)) return false;
    throw error;
  }
}

async function giveBackAllowance({ allowances }: Collections, purchase: Purchase): Promise<void> {
  await allowances.updateOne({ _id: allowanceOf(purchase) }, { $inc: { units: -purchase.quantity } });
}

function recordOf({ orderId, createdAt, lines: _, ...purchase }: Purchase): OrderRecord {
  return {
    _id: orderId,
    ...purchase,
    status: 'paid',
    reason: null,
    createdAt: new Date(createdAt),
    settledAt: new Date(),
  };
}
