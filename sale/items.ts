import type { ItemCounts, ItemRecord, SaleRecord } from '../store/collections.ts';

/**
 * A sale's items. Their counts are stored beside the sale's own, which are the sums; the only item of a sale has no counts
 * of its own, so that most sales cost nothing more and processes of the version before, which know no items, sell them too.
 */
export type Item = ItemRecord & ItemCounts;

/** The id of a sale's first item, and the only one that a sale of an earlier version has. */
export const firstItemId = '1';

type SaleOfItems = Pick<
  SaleRecord,
  'items' | 'itemCounts' | 'productId' | 'price' | 'oldAmount' | 'stock' | 'unitsOnSale' | 'unitsReturned'
>;

export function itemsOf(sale: SaleOfItems): Item[] {
  const { stock, unitsOnSale, unitsReturned = 0 } = sale;
  const items = itemRecordsOf(sale);
  if (items.length === 1) return items.map((item) => ({ ...item, stock, unitsOnSale, unitsReturned }));
  return items.map((item) => ({ ...item, ...(sale.itemCounts?.[item.id] ?? noCounts) }));
}

const noCounts: ItemCounts = { stock: 0, unitsOnSale: 0, unitsReturned: 0 };

/** A sale's items without their counts. */
export function itemRecordsOf({
  items,
  productId,
  price,
  oldAmount = null,
}: Pick<SaleRecord, 'items' | 'productId' | 'price' | 'oldAmount'>): ItemRecord[] {
  if (items) return items;
  return [{ id: firstItemId, productId, label: '', amount: price.amount, oldAmount, limitPerBuyer: null }];
}

/** An item to put on sale. */
export interface NewItem {
  productId: string;
  label?: string;
  /** In minor units of the sale's currency. */
  amount: number;
  /** The price before. */
  oldAmount?: number | null;
  stock: number;
  limitPerBuyer?: number | null;
}

/** The fields of a new sale that its items determine. They get their ids here, so they may be replaced in a draft only. */
export function recordOfItems(
  newItems: NewItem[],
  currency: string,
): { items: ItemRecord[] } & Pick<
  SaleRecord,
  'itemCounts' | 'productId' | 'price' | 'oldAmount' | keyof ItemCounts
> {
  const items = newItems.map(
    ({ productId, label = '', amount, oldAmount = null, limitPerBuyer = null }, n): ItemRecord => {
      return { id: String(n + 1), productId, label, amount, oldAmount, limitPerBuyer };
    },
  );
  const [first] = items;
  if (!first) throw new Error('A sale needs an item');
  const stock = newItems.reduce((units, item) => units + item.stock, 0);
  const counts = newItems.map((item, n): [string, ItemCounts] => [
    String(n + 1),
    { stock: item.stock, unitsOnSale: item.stock, unitsReturned: 0 },
  ]);
  return {
    items,
    ...(items.length > 1 && { itemCounts: Object.fromEntries(counts) }),
    productId: first.productId,
    price: { amount: first.amount, currency },
    oldAmount: first.oldAmount,
    stock,
    unitsOnSale: stock,
    unitsReturned: 0,
  };
}
