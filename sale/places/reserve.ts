import type { SaleRecord } from '../../store/collections.ts';
import { type Item, itemsOf, type SaleOfItems } from '../items.ts';

/**
 * Units of a reserved item go only to people with a place, in the order of their positions: the gate refuses purchases of it,
 * settlement rejects those that the gate had admitted before, and pages show that none are left. All items of a draw are
 * reserved. In another sale an item is reserved from the first person who waits for it until units are left that nobody
 * waits for. In a sale with a waiting room everything is reserved for whoever shows a pass, and in front of another site for nobody.
 */
export type Reserving = Pick<SaleRecord, 'mode' | 'site' | 'reservedItems'>;

/**
 * What a gate knows of it: `*` for a draw and for a room in front of another site, otherwise the items' ids between commas, empty when
 * nothing is reserved. That a sale has a waiting room is in a field of its own; all its items are reserved besides for a server that
 * knows no passes.
 */
export function reservedFieldOf(sale: Reserving & SaleOfItems): string {
  const { mode, site, reservedItems = [] } = sale;
  if (mode === 'draw' || site) return '*';
  if (mode === 'room') return `,${itemsOf(sale).map(({ id }) => id)},`;
  return reservedItems.length === 0 ? '' : `,${reservedItems.join(',')},`;
}

/** The ids of the reserved items. */
export function reservedItemsOf(sale: Reserving & SaleOfItems): string[] {
  if (sale.mode === 'draw' || sale.site) return itemsOf(sale).map(({ id }) => id);
  return sale.reservedItems ?? [];
}

/** The items and the stock as pages show them. Units on offer in a draw are no secret: nobody can press for them. */
export function publicCountsOf(sale: SaleOfItems & Pick<SaleRecord, 'reservedItems'>): {
  stock: number;
  items: Item[];
} {
  const items = itemsOf(sale);
  const { reservedItems = [], stock } = sale;
  if (reservedItems.length === 0) return { stock, items };
  const shown = items.map((item) => (reservedItems.includes(item.id) ? { ...item, stock: 0 } : item));
  return { stock: shown.reduce((sum, item) => sum + item.stock, 0), items: shown };
}
