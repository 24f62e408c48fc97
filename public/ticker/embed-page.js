/** The example page of the embeddable element: current and upcoming sales, and the HTML to copy. */

/** @import { SalePage } from '../../sale/contract.ts' */

import { call } from '../shared/api.js';
import { byId, element, setText, show } from '../shared/dom.js';
import { openRetry } from '../shared/retry.js';
import { texts } from '../shared/texts.js';

const SHOWN = 4;
const nothing = byId('empty').textContent ?? '';
const retry = openRetry(() => load());

async function load() {
  try {
    /** @type {SalePage} */
    const { sales } = (await call('GET', '/sales')).body;
    const shown = sales.filter(({ status }) => status !== 'ended').slice(0, SHOWN);
    byId('examples').append(
      ...shown.map(({ id }) => {
        const stock = document.createElement('stampede-stock');
        stock.setAttribute('sale', id);
        return element('li', {}, stock);
      }),
    );
    setText(byId('empty'), nothing);
    show(byId('empty'), shown.length === 0);
    showCode(shown[0]?.id);
  } catch (error) {
    setText(byId('empty'), texts.loadFailed);
    show(byId('empty'), true);
    retry.soon(error);
  }
}

function showCode(saleId = 'the id of a sale') {
  byId('code').textContent = `<script type="module" src="${location.origin}/embed.js"></script>
<stampede-stock sale="${saleId}"></stampede-stock>`;
}

showCode();
load();
