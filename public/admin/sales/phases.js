/** The phases in the form of a sale, and in words. */

/** @import { SalePhase, SaleSnapshot } from '../../../sale/contract.ts' */
/** @import { Reader } from '../form.js' */

import { element, show } from '../../shared/dom.js';
import { longDateTime } from '../../shared/format.js';
import { field, fieldOf, row, timeField } from '../form.js';
import { texts } from '../texts.js';

const MAX_PHASES = 5;
const HOUR_MS = 3_600_000;

/** @type {SalePhase['access'][]} */
const accesses = ['list', 'code', 'everybody'];

/** @param {SaleSnapshot | null} sale @param {number} opensAt */
export function phaseFields(sale, opensAt) {
  const t = texts.access;
  const rows = element('div', { class: 'item-rows' });
  const add = element('button', { type: 'button', class: 'small', 'data-testid': 'add-phase' }, t.add);
  const hint = element('p', { class: 'hint' }, t.hint);
  /** Names the fields, which stay as they are when a row before them is removed. */
  let made = 0;

  function update() {
    const all = [...rows.children];
    all.forEach((one, n) => {
      const time = one.querySelector('.field:has([type="datetime-local"])');
      // The first one begins with the sale.
      if (time instanceof HTMLElement) show(time, n > 0);
    });
    show(add, all.length < MAX_PHASES);
    show(hint, all.length === 0);
  }

  /** @param {{ name: string, access: string, at: number }} phase */
  function addRow({ name, access, at }) {
    made += 1;
    const key = `phase-${made}`;
    const options = accesses.map((value) =>
      element('option', { value, selected: value === access }, t.who[value]),
    );
    const remove = element('button', { type: 'button', class: 'small danger remove' }, t.remove);
    const one = element(
      'fieldset',
      { class: 'item-row', 'data-key': key },
      element('legend', {}, t.phase),
      row(
        field(t.name, `${key}.name`, { maxlength: '40', autocomplete: 'off', value: name }),
        fieldOf(t.whoMayBuy, element('select', { name: `${key}.access` }, ...options)),
        timeField(t.begins, `${key}.opensAt`, at),
      ),
      remove,
    );
    remove.addEventListener('click', () => {
      one.remove();
      update();
      add.focus();
    });
    rows.append(one);
    update();
    return one;
  }

  add.addEventListener('click', () => {
    const after = opensAt + rows.children.length * HOUR_MS;
    const first = rows.children.length > 0 ? null : addRow({ name: t.members, access: 'list', at: opensAt });
    const next = addRow({ name: t.all, access: 'everybody', at: first ? opensAt + HOUR_MS : after });
    (first ?? next).querySelector('input')?.focus();
  });
  for (const { name, access, opensAt: at } of sale?.phases ?? [])
    addRow({ name, access, at: Date.parse(at) });
  update();

  return {
    root: element('section', { class: 'phase-fields', 'aria-label': t.title }, hint, rows, add),
    /**
     * @param {Reader} read @param {{ opensAt?: string | undefined, closesAt?: string | undefined }} window
     * @returns {SalePhase[]}
     */
    read(read, { opensAt: opening, closesAt }) {
      let before = opening;
      return [...rows.children].map((one, n) => {
        const key = one.getAttribute('data-key');
        const name = read.textOf(`${key}.name`);
        if (name === '') read.refuse(`${key}.name`, t.nameMissing);
        const at = n === 0 ? opening : read.readTime(`${key}.opensAt`, t.begins);
        if (n > 0 && at && before && at <= before) read.refuse(`${key}.opensAt`, t.afterBefore);
        if (n > 0 && at && closesAt && at >= closesAt) read.refuse(`${key}.opensAt`, t.beforeEnd);
        before = at ?? before;
        const access = /** @type {SalePhase['access']} */ (read.textOf(`${key}.access`));
        return { name, access, opensAt: at ?? '' };
      });
    },
  };
}

/** @param {SaleSnapshot} sale @returns {[name: string, words: string][]} */
export const phasesInWords = ({ phases = [] }) =>
  phases.map(({ name, access, opensAt }) => [
    name,
    texts.access.fromThen(texts.access.who[access], longDateTime(opensAt)),
  ]);
