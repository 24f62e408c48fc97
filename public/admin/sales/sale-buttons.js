/** The controls of a published sale: pause, stock, window and limit, duplicate, end, call off. */

/** @import { SaleSnapshot } from '../../../sale/contract.ts' */

import { serverNow } from '../../shared/clock.js';
import { element, show } from '../../shared/dom.js';
import { parseWhole } from '../../shared/money.js';
import { toast } from '../../shared/toast.js';
import { callOffSale, changeSale, fetchAllProducts } from '../api.js';
import { action } from '../components.js';
import { openForm } from '../form.js';
import { texts } from '../texts.js';
import { duplicateButton } from './draft-view.js';
import { openSaleForm } from './sale-form.js';
import { nameOf } from './sale-words.js';

/**
 * @param {string} saleId @param {() => SaleSnapshot | null} saleOf @param {() => Promise<void>} reload
 * @param {HTMLElement} rehearse the button of its rehearsal
 */
export function saleButtons(saleId, saleOf, reload, rehearse) {
  const { saleDetails: t } = texts;
  const change = async (/** @type {object} */ what, /** @type {string} */ done) => {
    await changeSale(saleId, what);
    toast(done);
    await reload();
  };
  const pause = action(t.pause, () => change({ paused: true }, t.paused), { 'data-testid': 'pause' });
  const resume = action(t.resume, () => change({ paused: false }, t.resumed), { 'data-testid': 'resume' });
  const stock = stockButtons(change);
  const edit = action(
    texts.words.edit,
    async () => {
      const sale = saleOf();
      if (sale && (await openSaleForm(await fetchAllProducts(), sale))) await reload();
    },
    { 'data-testid': 'edit' },
  );
  const end = action(
    t.end,
    async () => {
      const sale = saleOf();
      if (!sale || !confirm(t.endConfirm)) return;
      const now = serverNow();
      // A sale that has not opened is ended by moving its whole window into the past.
      const opensAt = now <= Date.parse(sale.opensAt) ? { opensAt: new Date(now - 1_000).toISOString() } : {};
      await change({ ...opensAt, closesAt: new Date(now).toISOString() }, t.endedNow);
    },
    { 'data-testid': 'end', class: 'small danger' },
  );
  const callOff = action(
    t.callOff,
    async () => {
      const sale = saleOf();
      if (!sale) return;
      const sold = sale.unitsOnSale - sale.stock;
      // In front of another site there are no orders to cancel.
      const words = (sale.site ? t.callOffLines(sold).slice(0, 1) : t.callOffLines(sold)).map((line) =>
        element('p', {}, line),
      );
      if (await openForm(t.callOffTitle, words, () => callOffSale(saleId), { submit: t.callOffNow })) {
        toast(t.callOffDone);
        await reload();
      }
    },
    { 'data-testid': 'call-off', class: 'small danger' },
  );
  const all = [pause, resume, stock.root, edit, duplicateButton(saleId), rehearse, end, callOff];
  for (const node of all) node.dataset.needs = 'admin';
  return {
    all,
    /** @param {SaleSnapshot} sale @param {string} status */
    draw(sale, status) {
      const isOver = status === 'ended' || status === 'called_off';
      stock.draw(sale);
      show(pause, status !== 'paused' && !isOver);
      show(resume, status === 'paused');
      show(stock.root, !isOver && !sale.site);
      show(edit, status !== 'called_off');
      show(rehearse, !isOver);
      show(end, !isOver);
      show(callOff, status !== 'called_off');
    },
  };
}

/** @param {(what: object, done: string) => Promise<void>} change */
function stockButtons(change) {
  const { saleDetails: t } = texts;
  const item = element('select', { 'aria-label': t.ofWhichItem, 'data-testid': 'stock-item' });
  const units = element('input', {
    inputmode: 'numeric',
    autocomplete: 'off',
    value: '10',
    'aria-label': t.unitsToMove,
    'data-testid': 'add-units',
  });
  const itemId = () => (item.options.length > 1 ? { itemId: item.value } : {});
  const add = action(
    t.addStock,
    async () => {
      const addStock = parseWhole(units.value);
      await change({ addStock, ...itemId() }, t.added(addStock));
    },
    { 'data-testid': 'add-stock' },
  );
  const withdraw = action(
    t.withdraw,
    async () => {
      const withdrawStock = parseWhole(units.value);
      await change({ withdrawStock, ...itemId() }, t.withdrawn(withdrawStock));
    },
    { 'data-testid': 'withdraw-stock' },
  );
  return {
    root: element('span', { class: 'adding' }, item, units, add, withdraw),
    /** @param {SaleSnapshot} sale */
    draw({ items }) {
      show(item, items.length > 1);
      const options = items.map((one) => element('option', { value: one.id }, nameOf(one)));
      const isSame = options.every((option, n) => option.isEqualNode(item.options[n] ?? null));
      if (!isSame || item.options.length !== options.length) item.replaceChildren(...options);
    },
  };
}
