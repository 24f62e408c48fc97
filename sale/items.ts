import type {
  ItemCounts,
  ItemRecord,
  OrderLineRecord,
  OrderRecord,
  SaleRecord,
} from '../store/collections.ts';
import type { Purchase, PurchaseLine, StockMessage } from './contract.ts';
import { publicCountsOf } from './places/reserve.ts';

/**
 * A sale's items. Their counts are stored beside the sale's own, which are the sums; the only item of a sale has no counts
 * of its own, so that most sales cost nothing more and processes of the version before, which know no items, sell them too.
 */
export type Item = ItemRecord & ItemCounts;

/** The id of a sale's first item, and the only one that a sale of an earlier version has. */
export const firstItemId = '1';

export type SaleOfItems = Pick<
  SaleRecord,
  'items' | 'itemCounts' | 'productId' | 'price' | 'oldAmount' | keyof ItemCounts
>;

export function itemsOf(sale: SaleOfItems): Item[] {
  const { stock, unitsOnSale, unitsReturned = 0, unitsKept = 0 } = sale;
  const items = itemRecordsOf(sale);
  if (items.length === 1)
    return items.map((item) => ({ ...item, stock, unitsOnSale, unitsReturned, unitsKept }));
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

export const hasSeveralItems = ({ items }: Pick<SaleRecord, 'items'>) => (items?.length ?? 1) > 1;

/** What a purchase asks for. A purchase without lines is for the only item of its sale. */
export const linesOf = (purchase: Lines<PurchaseLine>): PurchaseLine[] => linesWith(purchase, {});

/** The lines of a purchase or an order. @param more what the line of an order without lines has besides. */
export const linesWith = <More extends object>(
  { quantity, lines }: Lines<PurchaseLine & More>,
  more: More,
): (PurchaseLine & More)[] => lines ?? [{ itemId: firstItemId, quantity, ...more }];

type Lines<Line> = Pick<Purchase, 'quantity'> & { lines?: Line[] | undefined };

/** The path of an item's count in MongoDB. */
export const countPath = (itemId: string, count: keyof ItemCounts) => `itemCounts.${itemId}.${count}`;

/**
 * The lines and the money of the order that a purchase becomes, whatever its outcome.
 * @returns none of them when the sale or one of the items does not exist.
 */
export function pricedLinesOf(
  purchase: Purchase,
  sale: Pick<SaleRecord, 'items' | 'productId' | 'price' | 'oldAmount'> | null | undefined,
): Pick<OrderRecord, 'lines' | 'amount' | 'currency'> {
  if (!sale || (hasSeveralItems(sale) && !purchase.lines)) return {};
  const items = new Map(itemRecordsOf(sale).map((item) => [item.id, item]));
  const lines: OrderLineRecord[] = [];
  for (const { itemId, quantity } of linesOf(purchase)) {
    const item = items.get(itemId);
    if (!item) return {};
    lines.push({ itemId, label: item.label, quantity, amount: item.amount * quantity });
  }
  const isPlain = items.size === 1 && lines.every(({ label }) => label === '');
  return {
    ...(!isPlain && { lines }),
    amount: lines.reduce((sum, { amount }) => sum + amount, 0),
    currency: sale.price.currency,
  };
}

/** The message that tells pages the stock of a sale. */
export function stockMessageOf(
  sale: SaleOfItems & Pick<SaleRecord, '_id' | 'stockVersion' | 'reservedItems'>,
  at: Date,
): StockMessage {
  const { _id: saleId, stockVersion } = sale;
  const { stock, items } = publicCountsOf(sale);
  return {
    saleId,
    stock,
    stockVersion,
    ...(hasSeveralItems(sale) && { items: items.map(({ id, stock }) => ({ id, stock })) }),
    at: at.toISOString(),
  };
}

/** An item to put on sale. */
export interface NewItem {
  /** Of an item that the sale has already. */
  id?: string | undefined;
  productId: string;
  label?: string;
  /** In minor units of the sale's currency. */
  amount: number;
  /** The price before. */
  oldAmount?: number | null;
  stock: number;
  limitPerBuyer?: number | null;
}

/**
 * The fields of a sale that its items determine, before anything is sold. Items without an id get one here.
 * @param before the sale whose items these replace.
 */
export function recordOfItems(
  newItems: NewItem[],
  currency: string,
  before: Pick<SaleRecord, 'items' | 'productId' | 'price' | 'oldAmount'> | null = null,
): { items: ItemRecord[] } & Pick<
  SaleRecord,
  'itemCounts' | 'productId' | 'price' | 'oldAmount' | keyof ItemCounts
> {
  let lastId = Math.max(0, ...(before ? itemRecordsOf(before) : []).map(({ id }) => Number(id)));
  const items = newItems.map(
    ({ id, productId, label = '', amount, oldAmount = null, limitPerBuyer = null }): ItemRecord => {
      if (!id) lastId += 1;
      // A purchase without lines, which is for the only item, means this id.
      const own = newItems.length === 1 ? firstItemId : (id ?? String(lastId));
      return { id: own, productId, label, amount, oldAmount, limitPerBuyer };
    },
  );
  const [first] = items;
  if (!first) throw new Error('A sale needs an item');
  const stock = newItems.reduce((units, item) => units + item.stock, 0);
  const counts = newItems.map((item, n): [string, ItemCounts] => [
    items[n]?.id ?? '',
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
