/** The list of sales, the drafts above it, and a button to make one. */

/** @import { LiveFigures } from '../../../insight/contract.ts' */
/** @import { SaleSnapshot } from '../../../sale/contract.ts' */

import { element, setText, show } from '../../shared/dom.js';
import { money, number, period } from '../../shared/format.js';
import { fetchAllProducts, fetchDrafts } from '../api.js';
import { action, heading, replaceRows, subheading, table } from '../components.js';
import { errorText } from '../http.js';
import { texts } from '../texts.js';
import { openSaleForm } from './sale-form.js';
import { saleTable, soldAt } from './sale-table.js';

export function openSalesView() {
  const sales = saleTable();
  const drafts = draftTable();
  const add = action(
    texts.salesView.newSale,
    async () => {
      const draft = await openSaleForm(await fetchAllProducts(), null);
      if (draft) location.hash = `draft/${encodeURIComponent(draft.id)}`;
    },
    { class: 'primary compact', 'data-testid': 'new-sale', 'data-needs': 'admin' },
  );
  return {
    root: element('div', {}, heading(texts.sales, add), drafts, sales.root),
    update: (/** @type {LiveFigures} */ news) => sales.set(news),
  };
}

/** The drafts, which nobody else changes often: they are read once. */
function draftTable() {
  const { root, body } = table('drafts', texts.salesView.draftColumns);
  const note = element('p', { class: 'muted', role: 'status' });
  const box = element('section', { class: 'drafts' }, subheading(texts.salesView.drafts), root, note);
  box.hidden = true;
  fetchDrafts().then(
    ({ sales, nextCursor }) => {
      replaceRows(body, sales.map(lineOf));
      setText(note, nextCursor === null ? '' : texts.salesView.newestDrafts(sales.length));
      show(box, sales.length > 0);
    },
    (error) => {
      setText(note, errorText(error));
      show(box, true);
    },
  );
  return box;
}

/** @param {SaleSnapshot} draft */
const lineOf = ({ id, product, unitsOnSale, price, site, opensAt, closesAt }) => [
  element('a', { href: `#draft/${encodeURIComponent(id)}` }, product.name),
  site ? soldAt(site) : number(unitsOnSale),
  site ? '–' : money(price),
  element('span', { class: 'muted wraps' }, period(opensAt, closesAt)),
];
