/** The orders of a sale that are worth a look before they are shipped, those of one group together. */

/** @import { SuspectPage } from '../../../insight/contract.ts' */

import { element, setText, show } from '../../shared/dom.js';
import { dateTime, number } from '../../shared/format.js';
import { toast } from '../../shared/toast.js';
import { action, heading, replaceRows, subheading, table } from '../components.js';
import { errorText } from '../http.js';
import { texts } from '../texts.js';
import { openCancelForm } from './cancel-form.js';
import { cancelSuspects, clearSuspects, fetchSuspects, markSuspects } from './desk-api.js';
import { amountOf, buyerOf, orderLink, outcomeOf, selectBox, sharedBy } from './order-cells.js';

/** @param {string} saleId */
export function openSuspectsView(saleId) {
  const { suspects: t, words } = texts;
  /** @type {SuspectPage['suspects']} */
  let suspects = [];
  /** @type {string | null} */
  let cursor = null;
  let marked = 0;
  /** When the list was read, by the server's clock. */
  let readAt = '';
  /** @type {Set<string>} */
  const selected = new Set();
  const found = table('suspects', t.columns, t.marked);
  const b = texts.bots;
  const networks = table('networks', [b.networkName, b.peopleName, b.refusedName], b.networks);
  const ofNetworks = element(
    'section',
    { class: 'sale-details', hidden: true },
    subheading(b.networks),
    element('p', { class: 'muted' }, b.networksWhy),
    networks.root,
  );
  const note = element('p', { class: 'muted', role: 'status' });
  const least = element('input', { type: 'number', min: '2', max: '1000', value: '3', name: 'minBuyers' });

  /** @param {string | null} after */
  async function load(after) {
    try {
      const page = await fetchSuspects(saleId, after);
      suspects = after === null ? page.suspects : [...suspects, ...page.suspects];
      cursor = page.nextCursor;
      marked = page.marked;
      if (after === null) readAt = page.readAt;
      if (after === null) selected.clear();
      if (after === null) drawNetworks(page.networks ?? []);
    } catch (error) {
      setText(note, errorText(error));
    }
    draw();
  }

  function draw() {
    /** @type {Map<string, number>} */
    const groups = new Map();
    for (const { suspicion } of suspects)
      if (!groups.has(suspicion.group)) groups.set(suspicion.group, groups.size + 1);
    replaceRows(
      found.body,
      suspects.map(({ order, suspicion }) => [
        selectBox(order, selected, drawButtons),
        orderLink(order),
        outcomeOf(order),
        t.group(groups.get(suspicion.group) ?? 0, sharedBy(suspicion)),
        buyerOf(order),
        amountOf(order),
        dateTime(order.createdAt),
      ]),
    );
    show(more, cursor !== null);
    drawButtons();
  }

  /** @param {NonNullable<SuspectPage['networks']>} counted */
  function drawNetworks(counted) {
    show(ofNetworks, counted.length > 0);
    replaceRows(
      networks.body,
      counted.map(({ group, people, refused }) => [group.slice(0, 6), number(people), number(refused)]),
    );
  }

  function drawButtons() {
    clear.disabled = selected.size === 0;
    cancel.disabled = marked === 0;
    setText(cancel, marked === 0 ? t.cancelAll : t.cancelSome(marked));
  }

  const look = action(
    t.look,
    async () => {
      const { looked, marked: now, isWhole } = await markSuspects(saleId, Number(least.value));
      await load(null);
      setText(note, isWhole ? t.found(now, looked) : `${t.found(now, looked)} ${t.notAll}`);
    },
    { class: 'primary compact', 'data-testid': 'look' },
  );
  const clear = action(
    t.fine,
    async () => {
      const { cleared } = await clearSuspects(saleId, [...selected]);
      toast(t.cleared(cleared));
      await load(null);
    },
    { 'data-testid': 'clear' },
  );
  const cancel = action(
    t.cancelAll,
    async () => {
      const before = readAt;
      const done = await openCancelForm(marked, (why) => cancelSuspects(saleId, why, before));
      if (done === null) return;
      toast(done.left ? t.rest(done.cancelled) : texts.orders.cancelled(done.cancelled));
      await load(null);
    },
    { class: 'small danger', 'data-testid': 'cancel-marked' },
  );
  const more = action(words.showMore, () => load(cursor));
  more.hidden = true;

  load(null);
  return {
    root: element(
      'div',
      {},
      heading(words.lookBeforeShipping, clear, cancel),
      element('p', { class: 'muted' }, t.lead),
      element(
        'p',
        { class: 'actions look-for' },
        element('label', {}, `${t.atLeast} `, least),
        look,
        element('a', { class: 'small', href: `#orders/${encodeURIComponent(saleId)}` }, t.allOrders),
      ),
      note,
      found.root,
      more,
      ofNetworks,
    ),
  };
}
