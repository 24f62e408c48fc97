/** A live table of all sales, which links to their details. */

/** @import { LiveFigures } from '../../../insight/contract.ts' */
/** @import { SaleSnapshot } from '../../../sale/contract.ts' */

import { statusNow } from '../../sale/buy-state.js';
import { serverNow } from '../../shared/clock.js';
import { element } from '../../shared/dom.js';
import { money, number, period } from '../../shared/format.js';
import { itemsOf, lowestPrice, saleName } from '../../shared/items.js';
import { texts as storefront } from '../../shared/texts.js';
import { peopleAt, replaceRows, table } from '../components.js';
import { texts } from '../texts.js';
import { moreSales } from './more-sales-button.js';

export function saleTable() {
  const { root, body } = table('sales', texts.saleColumns);
  const others = moreSales();
  return {
    root: element('div', {}, root, others.root),
    /** @param {Pick<LiveFigures, 'sales' | 'salesNextCursor' | 'people'>} news */
    set(news) {
      const sales = others.addTo(news);
      replaceRows(
        body,
        sales.map((sale) => lineOf(sale, peopleAt(news.people, sale.id))),
      );
    },
  };
}

/** @param {SaleSnapshot} sale @param {number} people */
function lineOf(sale, people) {
  const status = statusNow(sale, serverNow());
  return [
    element('a', { class: 'wraps', href: `#sale/${encodeURIComponent(sale.id)}` }, saleName(sale)),
    element('span', { class: 'chip', 'data-status': status }, storefront.saleStatus[status]),
    sale.site ? element('span', { class: 'muted' }, soldAt(sale.site)) : stockCell(sale),
    number(people),
    sale.site ? '–' : priceText(sale),
    element('span', { class: 'muted wraps' }, period(sale.opensAt, sale.closesAt)),
  ];
}

/** Where the units are that are none of ours. @param {NonNullable<SaleSnapshot['site']>} site */
export const soldAt = ({ url }) => storefront.soldAt(new URL(url).host);

/** @param {SaleSnapshot} sale */
export function priceText(sale) {
  const { price, isOnly } = lowestPrice(sale);
  return isOnly ? money(price) : storefront.from(money(price));
}

/** @param {SaleSnapshot} sale */
function stockCell(sale) {
  const items = itemsOf(sale);
  const left = items.filter(({ stock }) => stock > 0).length;
  const ofItems = items.length > 1 ? ` · ${texts.itemsLeft(number(left), number(items.length))}` : '';
  return element('span', {}, stockMeter(sale), element('span', { class: 'muted' }, ofItems));
}

/** @param {Pick<SaleSnapshot, 'stock' | 'unitsOnSale'>} counts of a sale or of one of its items */
export function stockMeter({ stock, unitsOnSale }) {
  const meter = element('progress', {
    max: String(Math.max(1, unitsOnSale)),
    value: String(stock),
    'aria-label': texts.saleColumns[2],
  });
  return element('span', { class: 'left' }, meter, texts.leftOf(number(stock), number(unitsOnSale)));
}
