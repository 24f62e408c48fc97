/** Fetches more sales page by page on demand, because the figures contain only the first ones: those that are open, and those to come. */

/** @import { LiveFigures } from '../../../insight/contract.ts' */
/** @import { SaleSnapshot } from '../../../sale/contract.ts' */

import { element, setText, show } from '../../shared/dom.js';
import { fetchMoreSales } from '../api.js';
import { action } from '../components.js';
import { texts } from '../texts.js';

export function moreSales() {
  /** @type {Map<string, SaleSnapshot>} */
  const others = new Map();
  /** @type {string | null | undefined} undefined until a page was fetched; then `salesNextCursor` of the figures is used */
  let cursor;
  /** @type {Pick<LiveFigures, 'sales' | 'salesNextCursor'>} */
  let latest = { sales: [], salesNextCursor: null };

  const note = element('span', { class: 'muted', role: 'status' });
  const more = action(texts.salesView.more, async () => {
    const from = nextOf(latest);
    if (from === null) return;
    const page = await fetchMoreSales(from);
    for (const sale of page.sales) others.set(sale.id, sale);
    cursor = page.nextCursor ?? null;
  });
  /** A server of the previous version sends no cursor. @param {Partial<LiveFigures>} news */
  const nextOf = ({ salesNextCursor = null }) => (cursor === undefined ? salesNextCursor : cursor);
  const root = element('p', { class: 'actions', 'data-testid': 'more-sales' }, note, more);
  root.hidden = true;

  return {
    root,
    /** The sales of the figures and the others fetched so far. @param {Pick<LiveFigures, 'sales' | 'salesNextCursor'>} news */
    addTo(news) {
      latest = news;
      const fresh = new Set(news.sales.map(({ id }) => id));
      const sales = [...news.sales, ...[...others.values()].filter(({ id }) => !fresh.has(id))];
      setText(note, texts.salesView.first(sales.length));
      show(root, nextOf(news) !== null);
      return sales;
    },
  };
}
