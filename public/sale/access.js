/** The phases of a sale on its page: who may buy when, the buyer's own time, and the field for a code. */

/** @import { SaleAccess } from '../../sale/contract.ts' */
/** @import { SaleView } from './sale-view.js' */

import { asBuyer, currentSession } from '../account/session.js';
import { call, Problem } from '../shared/api.js';
import { serverNow } from '../shared/clock.js';
import { byId, element, setText, show } from '../shared/dom.js';
import { dateTime } from '../shared/format.js';
import { openRetry } from '../shared/retry.js';
import { texts } from '../shared/texts.js';
import { accessView, mayChange } from './access-view.js';

/** Pages that ask again spread over this time. */
const SPREAD_MS = 2_000;

/** @param {string} saleId @param {{ beforeAsking: () => Promise<void>, onChange: () => void }} page */
export function openAccess(saleId, { beforeAsking, onChange }) {
  const codeKey = `stampede.code.${saleId}`;
  const linked = new URLSearchParams(location.search).get('code')?.trim() ?? '';
  let code = linked || keptCode();
  // The address of the page may be without it later, for instance after a sign-in.
  if (linked) keepCode();
  /** @type {SaleAccess | null} */
  let access = null;
  /** The code that the last answer was about. */
  let checked = '';
  /** Whose answer it is. @type {string | undefined} */
  let owner;
  /** @type {SaleView | null} */
  let view = null;
  let askedAt = Number.NEGATIVE_INFINITY;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let again;
  /** What the server said the answer was for, so that a late answer for another code is dropped. */
  let asked = 0;
  const retry = openRetry(() => isAwaited() && refresh());

  const list = element('ol', { class: 'phases', 'data-testid': 'phases' });
  const text = element('p', { class: 'access-text', role: 'status', 'data-testid': 'access' });
  const input = element('input', {
    ...{ id: 'code', name: 'code', maxlength: '64', autocomplete: 'off', autocapitalize: 'characters' },
    ...{ spellcheck: 'false', value: code, 'data-testid': 'code' },
  });
  const form = element(
    'form',
    { class: 'code-form' },
    element('label', { for: 'code' }, texts.access.codeLabel),
    input,
    element('button', { class: 'quiet', 'data-testid': 'use-code' }, texts.access.useCode),
  );
  const section = element(
    'section',
    { id: 'access', class: 'access', 'aria-label': texts.access.title },
    ...[list, form, text],
  );
  // The server has shown it, without what only the buyer's own time tells.
  const first = document.getElementById('access');
  if (first) first.replaceWith(section);
  else byId('buy').closest('.buying')?.before(section);

  /** Without storage, which a browser may block, the code is lost with a reload. */
  function keptCode() {
    try {
      return sessionStorage.getItem(codeKey) ?? '';
    } catch {
      return '';
    }
  }

  function keepCode() {
    try {
      sessionStorage.setItem(codeKey, code);
    } catch {
      // It is lost with a reload.
    }
  }

  async function refresh() {
    clearTimeout(again);
    retry.hold();
    const buyerId = currentSession()?.user.id;
    if (buyerId !== owner) {
      access = null;
      checked = '';
    }
    owner = buyerId;
    asked += 1;
    askedAt = performance.now();
    const now = asked;
    const asks = code;
    try {
      const body = code ? { code: code.slice(0, 64) } : {};
      const path = `/sales/${encodeURIComponent(saleId)}/access`;
      const answer = await asBuyer((token) => call('POST', path, { token, body }));
      if (now !== asked || currentSession()?.user.id !== buyerId) return;
      access = answer.body;
    } catch (error) {
      if (now !== asked) return;
      // Otherwise there is no answer: what is shown stays until the next one.
      if (!(error instanceof Problem && !error.isPassing) && buyerId) return retry.soon(error);
      access = null;
    }
    retry.done();
    checked = asks;
    onChange();
  }

  function isAwaited() {
    if (!currentSession()) return false;
    if (!view) return true;
    const isOver = view.status === 'ended' || view.status === 'called_off';
    return !isOver && mayChange(view.sale, access, serverNow());
  }

  form.addEventListener('submit', async (event) => {
    event.preventDefault();
    await refresh();
  });
  // Whoever presses Buy right after typing means what is typed.
  input.addEventListener('input', () => {
    code = input.value.trim();
    keepCode();
    onChange();
  });
  input.addEventListener('change', refresh);

  const isUnchecked = () => code !== '' && code !== checked && !form.hidden;

  return {
    refresh,
    access: () => access,

    /** Whether a code is typed that the server was not asked about, or has not answered. */
    isUnchecked,

    /** Asks again when the answer is missing or may have changed, and the last question is older than this. @param {number} maxAgeMs */
    keepUp(maxAgeMs) {
      if (!isAwaited() || performance.now() - askedAt < maxAgeMs) return;
      askedAt = performance.now();
      clearTimeout(again);
      retry.hold();
      again = setTimeout(() => beforeAsking().then(refresh), Math.random() * SPREAD_MS);
    },

    /** What a purchase or a place shows at the door. @returns {{ code?: string }} */
    shown: () => (code && !form.hidden ? { code: code.slice(0, 64) } : {}),

    /** @param {SaleView} latest */
    render(latest) {
      view = latest;
      const { sale, now, status, isSignedIn, isVerified } = latest;
      const seen = accessView(sale, { access, isSignedIn, isVerified, now }, { texts, dateTime });
      const isOver = status === 'ended' || status === 'called_off';
      show(section, seen !== null && !isOver);
      if (!seen) return;
      const lines = seen.phases.map(({ name, who, when, isNow }) =>
        element(
          'li',
          isNow ? { 'data-now': '' } : {},
          element('strong', {}, name),
          ...(who ? [element('span', {}, who)] : []),
          element('span', { class: 'phase-when' }, isNow ? texts.access.now : when),
        ),
      );
      const drawn = element('ol', {}, ...lines);
      if (drawn.innerHTML !== list.innerHTML) list.replaceChildren(...lines);
      setText(text, seen.text);
      show(form, seen.asksCode);
      if (latest.buy === 'not-yet' && isUnchecked()) byId('buy').setAttribute('aria-disabled', 'false');
    },
  };
}
