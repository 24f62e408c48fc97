/** The rehearsal of a sale: its button with a form, and what the last one found. */

/** @import { RehearsalReport, RehearsalStatus } from '../../../insight/contract.ts' */

import { element, show } from '../../shared/dom.js';
import { dateTime, number } from '../../shared/format.js';
import { parseWhole } from '../../shared/money.js';
import { toast } from '../../shared/toast.js';
import { downloadRehearsal, fetchRehearsals, startRehearsal } from '../api.js';
import { action, factList, subheading } from '../components.js';
import { field, openForm } from '../form.js';
import { errorText } from '../http.js';

const LOOK_EVERY_MS = 2_000;

/** @param {string} saleId of a sale or a draft */
export function rehearsalOf(saleId) {
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let again;
  let isClosed = false;
  let isAsked = false;
  const root = element('section', { class: 'rehearsal', 'data-testid': 'rehearsal', hidden: true });
  const download = action('Page to show', () => downloadRehearsal(saleId));
  const head = subheading('Rehearsal', download);
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
    if (state === 'running') lines.push(element('p', {}, 'Buyers are being played …'));
    else if (failure)
      lines.push(element('p', { class: 'failure' }, `The last one came to no result: ${failure}`));
    if (own) lines.push(factList(factsOf(own), 'rehearsal-result'));
    show(download, own !== null);
    show(root, lines.length > 0 && (own !== null || isAsked));
    body.replaceChildren(...lines);
  }

  const button = action(
    'Rehearse…',
    async () => {
      const { maxBuyers } = await fetchRehearsals();
      if (maxBuyers === 0) throw new Error('Rehearsals are turned off here (REHEARSAL_MAX_BUYERS)');
      const started = await openForm(
        'Rehearse this sale',
        formOf(maxBuyers),
        async (read) => {
          const buyers = read.read('buyers', 'Buyers', parseWhole);
          const withinSeconds = read.read('within', 'All press within', parseWhole);
          read.done();
          await startRehearsal(saleId, {
            ...{ buyers, withinSeconds },
            besideOpenSales: read.textOf('beside') === 'on',
          });
          return true;
        },
        { submit: 'Play' },
      );
      if (!started) return;
      isAsked = true;
      toast('The rehearsal begins');
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
  element(
    'p',
    {},
    'Simulated buyers open a hidden copy of this sale, gather, press Buy at the opening, and pay with the simulated provider. Nobody else sees the copy, and no mail or webhook is sent.',
  ),
  field(
    'Buyers',
    'buyers',
    { inputmode: 'numeric', autocomplete: 'off', value: String(Math.min(1_000, maxBuyers)) },
    `At most ${number(maxBuyers)}, which the operator has set.`,
  ),
  field(
    'All press within',
    'within',
    { inputmode: 'numeric', autocomplete: 'off', value: '5' },
    'Seconds after the opening, 1 to 60',
  ),
  element(
    'label',
    { class: 'question' },
    element('input', { type: 'checkbox', name: 'beside' }),
    'Also while a sale is open or opens within 15 minutes: its buyers would feel it',
  ),
];

/** @param {RehearsalReport} report @returns {[string, string][]} */
function factsOf({ at, go, buyers, taken, weakest, withinSeconds, signIns }) {
  const verdict = go
    ? `Go: it takes ${number(buyers)} buyers who press within ${withinSeconds} s`
    : `No-go: it takes ${number(taken)} of ${number(buyers)} buyers who press within ${withinSeconds} s`;
  return [
    ['Verdict', verdict],
    ['Gave way first', weakest ?? 'nothing'],
    ['Sign-ins', signIns.count === 0 ? 'not played' : `${number(signIns.perSecond)} a second`],
    ['Played', dateTime(at)],
  ];
}
