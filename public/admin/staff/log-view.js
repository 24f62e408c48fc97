/** The staff log: who changed what, from where, before and after. */

/** @import { StaffEntry } from '../../../insight/contract.ts' */

import { element, setText, show } from '../../shared/dom.js';
import { dateTime } from '../../shared/format.js';
import { timeZone } from '../../shared/language.js';
import { action, heading, replaceRows, table, technical } from '../components.js';
import { errorText } from '../http.js';
import { instantOf } from '../local-time.js';
import { texts } from '../texts.js';
import { changesInWords } from './log-words.js';
import { roleName } from './roles.js';
import { downloadStaffLog, searchStaffLog } from './staff-api.js';

export function openLogView() {
  const { log: t, words } = texts;
  const input = (/** @type {string} */ name, /** @type {string} */ label, type = 'search') =>
    element('label', { class: 'log-filter' }, label, element('input', { name, type, autocomplete: 'off' }));
  const form = element(
    'form',
    { class: 'filters log-filters', role: 'search' },
    input('actor', t.who),
    input('action', t.action),
    input('subject', t.subject),
    input('from', t.from, 'datetime-local'),
    input('to', t.to, 'datetime-local'),
    element('button', { class: 'small' }, words.search),
  );
  const found = table('staff-log', t.columns);
  const note = element('p', { class: 'muted', role: 'status' });
  /** @type {StaffEntry[]} */
  let entries = [];
  /** @type {string | null} */
  let cursor = null;

  /** @throws {Error} when a time is not valid */
  function query() {
    const given = [...new FormData(form)].map(([name, value]) => [name, String(value).trim()]);
    return Object.fromEntries(
      given
        .filter(([, value]) => value !== '')
        .map(([name, value = '']) => [
          name,
          name === 'from' || name === 'to' ? instantOf(value, timeZone) : value,
        ]),
    );
  }

  /** @param {string | null} after */
  async function load(after) {
    try {
      const page = await searchStaffLog({ ...query(), limit: '50', ...(after && { cursor: after }) });
      entries = after === null ? page.entries : [...entries, ...page.entries];
      cursor = page.nextCursor;
      setText(note, entries.length === 0 ? t.nothing : '');
      replaceRows(found.body, entries.map(lineOf));
      show(more, cursor !== null);
    } catch (error) {
      setText(note, errorText(error));
    }
  }

  const more = action(words.showMore, () => load(cursor));
  const csv = action(words.downloadCsv, () => downloadStaffLog(query()), { 'data-testid': 'log-csv' });
  more.hidden = true;
  form.addEventListener('submit', (event) => {
    event.preventDefault();
    load(null);
  });
  load(null);
  return {
    root: element('div', { class: 'stacked' }, heading(t.title, csv), form, note, found.root, more),
  };
}

/** @param {StaffEntry} entry */
function lineOf({ at, actor, from, requestId, action: done, subject, before, after }) {
  const { kind, id } = subject;
  const what = element('span', {}, technical(kind), ' ', element('code', {}, id));
  const who = element('span', { title: actor.id }, actor.name ?? actor.id);
  const role = actor.role ? roleName(actor.role) : texts.log.actors[actor.kind];
  return [
    dateTime(at),
    element('span', { class: 'two-lines' }, who, element('span', { class: 'muted' }, role)),
    technical(done),
    kind === 'sale' ? element('a', { href: `#sale/${encodeURIComponent(id)}` }, what) : what,
    changesOf(before, after),
    element('span', { title: requestId ?? '' }, from ?? ''),
  ];
}

/** @param {StaffEntry['before']} before @param {StaffEntry['after']} after */
function changesOf(before, after) {
  const lines = changesInWords(before, after).map(({ name, isTechnical, values }) =>
    element(
      'li',
      {},
      element('b', {}, isTechnical ? technical(name) : name),
      // A field without words of its own is shown as programs say it.
      ...[' ', isTechnical ? technical(values.join(' → ')) : values.join(' → ')],
    ),
  );
  return element('ul', { class: 'changes' }, ...lines);
}
