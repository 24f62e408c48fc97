/** The API keys with which the shop's servers call the API. */

/** @import { ApiKey } from '../../../insight/contract.ts' */

import { element, setText } from '../../shared/dom.js';
import { dateTime, relative } from '../../shared/format.js';
import { toast } from '../../shared/toast.js';
import { action, heading, replaceRows, table } from '../components.js';
import { field, openForm } from '../form.js';
import { errorText } from '../http.js';
import { texts } from '../texts.js';
import { shownOnce } from './shown-once.js';
import { createApiKey, fetchApiKeys, revokeApiKey } from './staff-api.js';

/** @type {Record<ApiKey['scopes'][number], string>} */
const scopeTexts = texts.keys.scopes;

export function openKeysView() {
  const { keys: t, words } = texts;
  const keys = table('api-keys', t.columns);
  const note = element('p', { class: 'muted', role: 'status' });
  const made = element('div');

  async function load() {
    try {
      const { apiKeys } = await fetchApiKeys();
      replaceRows(keys.body, apiKeys.map(lineOf));
      setText(note, apiKeys.length === 0 ? t.none : '');
    } catch (error) {
      setText(note, errorText(error));
    }
  }

  /** @param {ApiKey} key */
  function lineOf({ id, name, prefix, scopes, createdAt, lastUsedAt }) {
    const revoke = action(
      t.revoke,
      async () => {
        if (!confirm(t.revokeConfirm(name))) return;
        await revokeApiKey(id);
        made.replaceChildren();
        toast(t.revoked(name));
        await load();
      },
      { 'aria-label': t.revokeOf(name), class: 'small danger' },
    );
    const used = lastUsedAt ? t.used(relative(lastUsedAt)) : t.neverUsed;
    return [
      name,
      element('code', {}, `${prefix}…`),
      scopes.join(', '),
      t.since(dateTime(createdAt)),
      used,
      revoke,
    ];
  }

  const add = action(
    t.newKey,
    async () => {
      const name = field(words.name, 'name', { required: true, maxlength: '100' }, t.nameHint);
      const boxes = Object.entries(scopeTexts).map(([value, text]) =>
        element(
          'label',
          { class: 'check' },
          element('input', { type: 'checkbox', name: 'scopes', value }),
          text,
        ),
      );
      const scopes = element('fieldset', {}, element('legend', {}, t.itMay), ...boxes);
      const key = await openForm(t.newKey, [name, scopes], ({ textOf }) => {
        const chosen = scopes.querySelectorAll('input:checked');
        return createApiKey({
          name: textOf('name'),
          scopes: [...chosen].map((box) => box.getAttribute('value') ?? ''),
        });
      });
      if (!key) return;
      made.replaceChildren(shownOnce(t.made(key.name), key.key));
      await load();
    },
    { class: 'primary compact', 'data-testid': 'new-key' },
  );
  load();
  return { root: element('div', { class: 'stacked' }, heading(texts.tabs.keys, add), made, note, keys.root) };
}
