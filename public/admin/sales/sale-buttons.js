/** The controls of a sale: pause, resume, add stock, end. */

/** @import { SaleSnapshot } from '../../../sale/contract.ts' */

import { serverNow } from '../../shared/clock.js';
import { element, show } from '../../shared/dom.js';
import { number } from '../../shared/format.js';
import { parseWhole } from '../../shared/money.js';
import { toast } from '../../shared/toast.js';
import { changeSale } from '../api.js';
import { action } from '../components.js';

/** @param {string} saleId @param {() => SaleSnapshot | null} saleOf @param {() => Promise<void>} reload */
export function saleButtons(saleId, saleOf, reload) {
  const change = async (/** @type {object} */ what, /** @type {string} */ done) => {
    await changeSale(saleId, what);
    toast(done);
    await reload();
  };
  const units = element('input', {
    inputmode: 'numeric',
    autocomplete: 'off',
    value: '10',
    'aria-label': 'Units to add',
    'data-testid': 'add-units',
  });
  const pause = action('Pause', () => change({ paused: true }, 'Paused'), { 'data-testid': 'pause' });
  const resume = action('Resume', () => change({ paused: false }, 'Resumed'), { 'data-testid': 'resume' });
  const add = action(
    'Add stock',
    async () => {
      const addStock = parseWhole(units.value);
      await change({ addStock }, `${number(addStock)} added`);
    },
    { 'data-testid': 'add-stock' },
  );
  const end = action(
    'End',
    async () => {
      const sale = saleOf();
      if (!sale || !confirm('End this sale now? Nothing can be bought any more.')) return;
      const now = serverNow();
      // A sale that has not opened is ended by moving its whole window into the past.
      const opensAt = now <= Date.parse(sale.opensAt) ? { opensAt: new Date(now - 1_000).toISOString() } : {};
      await change({ ...opensAt, closesAt: new Date(now).toISOString() }, 'Ended');
    },
    { 'data-testid': 'end', class: 'small danger' },
  );
  const adding = element('span', { class: 'adding' }, units, add);
  return {
    all: [pause, resume, adding, end],
    /** @param {string} status */
    draw(status) {
      show(pause, status !== 'paused' && status !== 'ended');
      show(resume, status === 'paused');
      show(adding, status !== 'ended');
      show(end, status !== 'ended');
    },
  };
}
