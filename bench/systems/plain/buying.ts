import { trusted } from 'mongoose';
import type { Purchase } from '../../../sale/contract.ts';
import {
  type Collections,
  isDuplicateKey,
  type OrderRecord,
  type SaleRecord,
} from '../../../store/collections.ts';

/** What the plain way makes of one purchase: an order, or why there is none. */
export type Bought = 'paid' | 'known' | 'over_limit' | 'sold_out' | 'not_open';

/**
 * Buys one purchase the way it is mostly written, done well: check, then one guarded write after the other, where the
 * `_id`s do what unique indexes would. A write that is refused takes back those before it. Without a transaction,
 * which for single purchases of one hot sale would mostly retry: so a crash between two writes can lose units.
 * Stampede does not allow itself that, and these sides are spared the price of it.
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

  const guard = { _id: saleId, stock: trusted({ $gte: quantity }) };
  const { matchedCount } = await sales.updateOne(guard, { $inc: { stock: -quantity, stockVersion: 1 } });
  if (matchedCount === 0) {
    await giveBackAllowance(collections, purchase);
    return 'sold_out';
  }
  try {
    await orders.create(recordOf(purchase));
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

/** Past the limit the filter matches nothing, and the upsert runs into the `_id` that is there. */
async function takeAllowance(
  { allowances }: Collections,
  { limitPerBuyer }: SaleRecord,
  purchase: Purchase,
): Promise<boolean> {
  const { quantity } = purchase;
  const filter = { _id: allowanceOf(purchase), units: trusted({ $lte: limitPerBuyer - quantity }) };
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

function recordOf({ orderId, createdAt, ...purchase }: Purchase): OrderRecord {
  return {
    _id: orderId,
    ...purchase,
    status: 'paid',
    reason: null,
    createdAt: new Date(createdAt),
    settledAt: new Date(),
  };
}
