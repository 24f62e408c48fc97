/** The stock of each item of a sale that has several, and what was sold of it. */

/** @import { SaleSnapshot } from '../../../sale/contract.ts' */

import { element, show } from '../../shared/dom.js';
import { money, number } from '../../shared/format.js';
import { itemName, itemsOf } from '../../shared/items.js';
import { replaceRows, table } from '../components.js';
import { stockMeter } from './sale-table.js';

export function itemTable() {
  const { root, body } = table('items', ['Item', 'Left', 'Price', 'Sold']);
  root.classList.add('item-table');
  root.hidden = true;
  return {
    root,
    /** @param {SaleSnapshot} sale */
    set(sale) {
      const items = itemsOf(sale);
      show(root, items.length > 1);
      if (items.length < 2) return;
      replaceRows(
        body,
        items.map((item) => [
          element('strong', {}, itemName(sale, item)),
          stockMeter(item),
          money(item.price),
          number(item.unitsOnSale - item.stock),
        ]),
      );
    },
  };
}
