/** The list and the codes of a sale with phases in the control room. */

/** @import { CodeBatch, SaleSnapshot } from '../../../sale/contract.ts' */

import { element, setText, show } from '../../shared/dom.js';
import { dateTime } from '../../shared/format.js';
import { parseWhole } from '../../shared/money.js';
import { toast } from '../../shared/toast.js';
import {
  createCodes,
  fetchCodeBatches,
  fetchListed,
  replaceList,
  revokeCode,
  revokeCodeBatch,
} from '../api.js';
import { action, replaceRows, subheading, table } from '../components.js';
import { field, fieldOf, openForm, row } from '../form.js';
import { download } from '../http.js';
import { texts } from '../texts.js';

/** What changes here is mostly the uses of codes. */
const LOAD_EVERY_MS = 10_000;

/** @param {string} saleId */
export function accessPanel(saleId) {
  const t = texts.access;
  let loadedAt = Number.NEGATIVE_INFINITY;
  const people = element('p', { 'data-testid': 'listed' });
  const list = element('div', {}, subheading(t.list, forAdmins(action(t.upload, upload))), people);
  const batches = table('codes', t.columns, t.codes);
  const once = element('div');
  const buttons = [action(t.make, make, { 'data-testid': 'make-codes' }), action(t.revokeOne, revokeOne)];
  const codes = element('div', {}, subheading(t.codes, ...buttons.map(forAdmins)), once, batches.root);
  const root = element('section', { class: 'sale-access', hidden: true }, list, codes);

  async function upload() {
    const pasted = element('textarea', { name: 'list', rows: '8', 'data-testid': 'list-text' });
    const file = element('input', { type: 'file', name: 'file', accept: '.csv,.txt,text/csv,text/plain' });
    const lines = [
      element('p', { class: 'hint' }, t.uploadHint),
      fieldOf(t.addresses, pasted),
      fieldOf(t.orFile, file),
    ];
    const done = await openForm(t.uploadTitle, lines, async (read) => {
      const text = (await file.files?.[0]?.text()) ?? pasted.value;
      if (text.trim() === '') read.refuse('list', t.noAddresses);
      read.done();
      return replaceList(saleId, text);
    });
    if (!done) return;
    toast(t.listed(done.people));
    await load();
  }

  async function make() {
    const whole = { inputmode: 'numeric', autocomplete: 'off' };
    const lines = [
      field(t.batchName, 'name', { maxlength: '60', autocomplete: 'off' }, t.batchHint),
      row(
        field(t.count, 'codes', { ...whole, value: '100' }, t.countHint),
        field(t.uses, 'uses', { ...whole, value: '1' }, t.usesHint),
      ),
    ];
    const made = await openForm(
      t.makeTitle,
      lines,
      (read) => {
        const body = {
          name: read.textOf('name'),
          codes: read.read('codes', t.count, parseWhole),
          uses: read.read('uses', t.uses, parseWhole),
        };
        read.done();
        return createCodes(saleId, body);
      },
      { submit: t.makeNow },
    );
    if (!made) return;
    showOnce(made);
    await load();
  }

  /** The codes are only in this answer, so they stay on the page until it is left. @param {{ batch: CodeBatch, codes: string[] }} made */
  function showOnce({ batch, codes: all }) {
    const page = `${location.origin}/sales/${encodeURIComponent(saleId)}?code=`;
    const lines = [t.csvHead, ...all.map((code) => `${code},${page}${code}`)];
    const save = () => {
      const blob = new Blob([`${lines.join('\r\n')}\r\n`], { type: 'text/csv' });
      download(blob, `codes-${saleId}-${batch.id.slice(0, 6)}.csv`);
    };
    save();
    const [only, ...others] = all;
    const link = others.length === 0 && element('code', { tabindex: '0' }, `${page}${only}`);
    once.replaceChildren(
      element(
        'div',
        { class: 'card-box shown-once', role: 'status', 'data-testid': 'new-codes' },
        element('p', {}, t.once(all.length)),
        ...(link ? [link] : []),
        action(t.saveAgain, async () => save()),
      ),
    );
  }

  async function revokeOne() {
    const lines = [field(t.code, 'code', { maxlength: '64', autocomplete: 'off' }, t.revokeHint)];
    const submit = { submit: t.revoke };
    const revoked = await openForm(
      t.revokeTitle,
      lines,
      (read) => revokeCode(saleId, read.textOf('code')),
      submit,
    );
    if (!revoked) return;
    toast(t.revokedAfter(revoked.used));
    await load();
  }

  /** @param {CodeBatch} batch */
  function rowOf({ id, name, codes: count, uses, used, createdAt, revokedAt }) {
    const revoke = action(
      t.revoke,
      async () => {
        if (!confirm(t.revokeConfirm(count))) return;
        await revokeCodeBatch(saleId, id);
        await load();
      },
      { class: 'small danger', 'data-needs': 'admin' },
    );
    return [
      name || '–',
      String(count),
      String(uses),
      String(used),
      dateTime(createdAt),
      revokedAt ? t.revokedAt(dateTime(revokedAt)) : revoke,
    ];
  }

  async function load() {
    loadedAt = performance.now();
    const [listed, { batches: all }] = await Promise.all([fetchListed(saleId), fetchCodeBatches(saleId)]);
    setText(people, t.listed(listed.people));
    replaceRows(batches.body, all.map(rowOf));
    show(batches.root, all.length > 0);
  }

  return {
    root,
    /** @param {SaleSnapshot} sale */
    async load({ phases = [] }) {
      const has = (/** @type {string} */ access) => phases.some((phase) => phase.access === access);
      show(list, has('list'));
      show(codes, has('code'));
      show(root, has('list') || has('code'));
      if (!root.hidden && performance.now() - loadedAt > LOAD_EVERY_MS) await load();
    },
  };
}

/** @param {HTMLElement} button */
function forAdmins(button) {
  button.dataset.needs = 'admin';
  return button;
}
