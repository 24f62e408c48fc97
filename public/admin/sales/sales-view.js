/** The list of sales, with a button to create one. */

/** @import { LiveFigures } from '../../../insight/contract.ts' */

import { element } from '../../shared/dom.js';
import { fetchAllProducts } from '../api.js';
import { action, heading } from '../components.js';
import { openSaleForm } from './sale-form.js';
import { saleTable } from './sale-table.js';

export function openSalesView() {
  const sales = saleTable();
  const add = action(
    'New sale',
    async () => {
      const sale = await openSaleForm(await fetchAllProducts());
      if (sale) location.hash = `sale/${sale.id}`;
    },
    { class: 'primary compact', 'data-testid': 'new-sale' },
  );
  return {
    root: element('div', {}, heading('Sales', add), sales.root),
    update: (/** @type {LiveFigures} */ news) => sales.set(news),
  };
}
