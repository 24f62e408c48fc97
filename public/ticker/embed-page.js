/** The example page of the embeddable element: every sale that is on or comes, and the lines to copy. */

/** @import { SaleSnapshot } from '../../sale/contract.ts' */

import { element, part, show } from '../shared/dom.js';

const SHOWN = 4;

const answer = await fetch('/api/sales');
/** @type {SaleSnapshot[]} */
const sales = answer.ok ? (await answer.json()).sales : [];
const shown = sales.filter(({ status }) => status !== 'ended').slice(0, SHOWN);
part('examples').append(
  ...shown.map(({ id }) => {
    const stock = document.createElement('stampede-stock');
    stock.setAttribute('sale', id);
    return element('li', {}, stock);
  }),
);
show(part('empty'), shown.length === 0);
part('code').textContent = `<script type="module" src="${location.origin}/embed.js"></script>
<stampede-stock sale="${shown[0]?.id ?? 'the id of a sale'}"></stampede-stock>`;
