/** The example page of the embeddable element: current and upcoming sales, and the HTML to copy. */

/** @import { SaleSnapshot } from '../../sale/contract.ts' */

import { byId, element, show } from '../shared/dom.js';

const SHOWN = 4;

const answer = await fetch('/api/sales');
/** @type {SaleSnapshot[]} */
const sales = answer.ok ? (await answer.json()).sales : [];
const shown = sales.filter(({ status }) => status !== 'ended').slice(0, SHOWN);
byId('examples').append(
  ...shown.map(({ id }) => {
    const stock = document.createElement('stampede-stock');
    stock.setAttribute('sale', id);
    return element('li', {}, stock);
  }),
);
show(byId('empty'), shown.length === 0);
byId('code').textContent = `<script type="module" src="${location.origin}/embed.js"></script>
<stampede-stock sale="${shown[0]?.id ?? 'the id of a sale'}"></stampede-stock>`;
