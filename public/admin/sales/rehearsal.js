/** The rehearsal of a sale: its button with a form, and what the last one found. */

/** @import { RehearsalReport, RehearsalStatus } from '../../../insight/contract.ts' */

import { element, show } from '../../shared/dom.js';
import { dateTime } from '../../shared/format.js';
import { parseWhole } from '../../shared/money.js';
import { toast } from '../../shared/toast.js';
import { downloadRehearsal, fetchRehearsals, startRehearsal } from '../api.js';
import { action, factList, subheading, technical } from '../components.js';
import { field, openForm } from '../form.js';
import { errorText } from '../http.js';
import { texts } from '../texts.js';

const LOOK_EVERY_MS = 2_000;

/** @param {string} saleId of a sale or a draft */
export function rehearsalOf(saleId) {
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let again;
  let isClosed = false;
  let isAsked = false;
  const root = element('section', { class: 'rehearsal', 'data-testid': 'rehearsal', hidden: true });
  const download = action(texts.rehearsal.page, () => downloadRehearsal(saleId));
  const head = subheading(texts.rehearsal.title, download);
  const body = element('div', { role: 'status' });
  root.append(head, body);

  async function load() {
    clearTimeout(again);
    try {
      const status = await fetchRehearsals();
      if (isClosed) return;
      draw(status);
      if (status.state === 'running') again = setTimeout(load, LOOK_EVERY_MS);
    } catch (error) {
      if (!isClosed) body.replaceChildren(element('p', { class: 'failure' }, errorText(error)));
    }
  }

  /** @param {RehearsalStatus} status */
  function draw({ state, last, failure }) {
    const own = last?.saleId === saleId ? last : null;
    const lines = [];
    if (state === 'running') lines.push(element('p', {}, texts.rehearsal.running));
    else if (failure)
      lines.push(element('p', { class: 'failure' }, texts.rehearsal.failed, ' ', technical(failure)));
    if (own) lines.push(factList(factsOf(own), 'rehearsal-result'));
    show(download, own !== null);
    show(root, lines.length > 0 && (own !== null || isAsked));
    body.replaceChildren(...lines);
  }

  const button = action(
    texts.rehearsal.rehearse,
    async () => {
      const { maxBuyers } = await fetchRehearsals();
      if (maxBuyers === 0) return toast(texts.rehearsal.off);
      const started = await openForm(
        texts.rehearsal.formTitle,
        formOf(maxBuyers),
        async (read) => {
          const buyers = read.read('buyers', texts.rehearsal.buyers, parseWhole);
          const withinSeconds = read.read('withinSeconds', texts.rehearsal.within, parseWhole);
          read.done();
          await startRehearsal(saleId, {
            ...{ buyers, withinSeconds },
            besideOpenSales: read.textOf('beside') === 'on',
          });
          return true;
        },
        { submit: texts.rehearsal.play },
      );
      if (!started) return;
      isAsked = true;
      toast(texts.rehearsal.begins);
      await load();
    },
    { 'data-testid': 'rehearse', 'data-needs': 'admin' },
  );
  void load();
  return {
    root,
    button,
    close() {
      isClosed = true;
      clearTimeout(again);
    },
  };
}

/** @param {number} maxBuyers */
const formOf = (maxBuyers) => [
  element('p', {}, texts.rehearsal.lead),
  field(
    texts.rehearsal.buyers,
    'buyers',
    { inputmode: 'numeric', autocomplete: 'off', value: String(Math.min(1_000, maxBuyers)) },
    texts.rehearsal.buyersHint(maxBuyers),
  ),
  field(
    texts.rehearsal.within,
    'withinSeconds',
    { inputmode: 'numeric', autocomplete: 'off', value: '5' },
    texts.rehearsal.withinHint,
  ),
  element(
    'label',
    { class: 'question' },
    element('input', { type: 'checkbox', name: 'beside' }),
    texts.rehearsal.beside,
  ),
];

/** @param {RehearsalReport} report @returns {[string, string][]} */
function factsOf({ at, go, buyers, taken, weakest, weakestPart, withinSeconds, signIns }) {
  const { rehearsal: t } = texts;
  // A report of the version before names the part in English alone.
  const gaveWay = weakestPart ? t.parts[weakestPart] : weakest;
  return [
    [t.verdict, go ? t.go(buyers, withinSeconds) : t.noGo(taken, buyers, withinSeconds)],
    [t.weakest, gaveWay ?? t.nothing],
    [t.signIns, signIns.count === 0 ? t.notPlayed : t.aSecond(signIns.perSecond)],
    [t.played, dateTime(at)],
  ];
}
