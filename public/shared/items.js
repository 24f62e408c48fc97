/** A sale's items and an order's lines, as the pages show them. Pure. */

/** @import { Money, Order, SaleItem, SaleSnapshot, StockMessage } from '../../sale/contract.ts' */

/** The number by which an order is spoken of, on the pages and in the mails. @param {string} id */
export const shortNumberOf = (id) => id.slice(0, 8);

/** @param {string} id */
export const addressOfOrder = (id) => `/orders/${encodeURIComponent(id)}`;

/**
 * The only item of a sale has the sale's stock, which is all that a stock message tells of it; a server of the version
 * before sends no items.
 * @param {SaleSnapshot} sale @returns {SaleItem[]}
 */
export function itemsOf(sale) {
  /** @type {{ items?: SaleItem[] }} */
  const { items: [first, ...others] = [] } = sale;
  if (first && others.length > 0) return [first, ...others];
  const { product, price, oldPrice, stock, unitsOnSale } = sale;
  return [
    { id: '1', label: '', limitPerBuyer: null, ...first, product, price, oldPrice, stock, unitsOnSale },
  ];
}

/**
 * The sale with the stock of a message or of a newer snapshot.
 * @param {SaleSnapshot} sale @param {Pick<StockMessage, 'stock' | 'stockVersion' | 'items'>} newer
 * @returns {SaleSnapshot}
 */
export function withStock(sale, { stock, stockVersion, items = [] }) {
  const stocks = new Map(items.map((item) => [item.id, item.stock]));
  const counted = itemsOf(sale).map((item) => ({ ...item, stock: stocks.get(item.id) ?? item.stock }));
  return { ...sale, items: counted, stock, stockVersion };
}

/**
 * The snapshot, with the stock that is known already when that is newer.
 * @param {SaleSnapshot | null} known @param {SaleSnapshot} snapshot
 */
export const withNewestStock = (known, snapshot) =>
  known && snapshot.stockVersion < known.stockVersion ? withStock(snapshot, known) : snapshot;

/** The items' only price, or the lowest of several. @param {SaleSnapshot} sale */
export function lowestPrice(sale) {
  const items = itemsOf(sale);
  const price = items.reduce(
    (lowest, item) => (item.price.amount < lowest.amount ? item.price : lowest),
    sale.price,
  );
  return { price, isOnly: items.every((item) => item.price.amount === price.amount) };
}

/** @param {SaleSnapshot} sale */
export const hasSeveralProducts = (sale) => itemsOf(sale).some((item) => item.product.id !== sale.product.id);

/** The product's name, with the label of the only item. @param {SaleSnapshot} sale */
export function saleName(sale) {
  const [first, ...others] = itemsOf(sale);
  return others.length === 0 && first?.label ? `${sale.product.name} · ${first.label}` : sale.product.name;
}

/** What tells the item from the sale's others. @param {SaleSnapshot} sale @param {SaleItem} item */
export function itemName(sale, { label, product }) {
  if (label === '' || !hasSeveralProducts(sale)) return label || product.name;
  return `${product.name} · ${label}`;
}

/**
 * @typedef {object} Line
 * @property {string} name empty when nothing but the sale tells what it is
 * @property {number} quantity
 * @property {Money | null} money null when it is not known
 * @property {SaleItem | undefined} item
 */

/**
 * The lines of an order or of a purchase that is not one yet, which has no money of its own.
 * @param {Pick<Order, 'quantity'> & Partial<Pick<Order, 'currency' | 'amount'>>
 *   & { lines?: { itemId: string, quantity: number, label?: string | null, amount?: number | null }[] }} order
 * @param {SaleSnapshot | null} sale
 * @returns {Line[]}
 */
export function linesOf({ quantity, amount, currency, lines }, sale) {
  const items = sale ? itemsOf(sale) : [];
  const all = lines ?? [{ itemId: '1', quantity, amount: amount ?? null }];
  return all.map((line) => {
    const item = items.find(({ id }) => id === line.itemId);
    const named = sale && item && items.length > 1 ? itemName(sale, item) : '';
    return {
      name: named || (line.label ?? ''),
      quantity: line.quantity,
      money: moneyOf(line, currency ?? null, item),
      item,
    };
  });
}

/**
 * @param {{ quantity: number, amount?: number | null }} line @param {string | null} currency
 * @param {SaleItem | undefined} item
 * @returns {Money | null}
 */
function moneyOf({ quantity, amount = null }, currency, item) {
  if (amount !== null && currency !== null) return { amount, currency };
  return item ? { ...item.price, amount: item.price.amount * quantity } : null;
}

/**
 * What an order costs: by itself, or by its lines while it is queued or when an earlier version settled it.
 * @param {Partial<Pick<Order, 'currency' | 'amount'>>} order @param {Line[]} lines
 * @returns {Money | null} null when it is not known
 */
export function amountOf({ amount = null, currency = null }, lines) {
  if (amount !== null && currency !== null) return { amount, currency };
  const prices = lines.flatMap(({ money }) => money ?? []);
  const [first] = prices;
  if (!first || prices.length < lines.length) return null;
  return { ...first, amount: prices.reduce((sum, price) => sum + price.amount, 0) };
}
