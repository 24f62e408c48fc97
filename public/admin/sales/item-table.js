/** The stock of each item of a sale that has several, and what was sold of it. */

/** @import { SaleReport } from '../../../insight/contract.ts' */
/** @import { SaleSnapshot } from '../../../sale/contract.ts' */

import { element, show } from '../../shared/dom.js';
import { dateTime, money, number } from '../../shared/format.js';
import { itemName, itemsOf } from '../../shared/items.js';
import { replaceRows, table } from '../components.js';
import { texts } from '../texts.js';
import { stockMeter } from './sale-table.js';

export function itemTable() {
  const { root, body } = table('items', texts.saleDetails.itemColumns);
  root.classList.add('item-table');
  root.hidden = true;
  return {
    root,
    /** @param {SaleSnapshot} sale @param {SaleReport | null} report */
    set(sale, report) {
      const items = itemsOf(sale);
      const isShown = items.length > 1 && !sale.site;
      show(root, isShown);
      if (!isShown) return;
      // A server of the version before reports no items.
      const reported = new Map(report?.items?.map((one) => [one.itemId, one]));
      replaceRows(
        body,
        items.map((item) => {
          const { soldOutAt: at, amount } = reported.get(item.id) ?? {};
          return [
            element('strong', {}, itemName(sale, item)),
            stockMeter(item),
            money(item.price),
            number(item.unitsOnSale - item.stock),
            amount === undefined ? '–' : money({ ...item.price, amount }),
            at ? dateTime(at) : '–',
          ];
        }),
      );
    },
  };
}
