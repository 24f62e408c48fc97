/** The API keys with which the shop's servers call the API. */

/** @import { ApiKey } from '../../../insight/contract.ts' */

import { element, setText } from '../../shared/dom.js';
import { dateTime, relative } from '../../shared/format.js';
import { toast } from '../../shared/toast.js';
import { action, heading, replaceRows, table } from '../components.js';
import { field, openForm } from '../form.js';
import { errorText } from '../http.js';
import { shownOnce } from './shown-once.js';
import { createApiKey, fetchApiKeys, revokeApiKey } from './staff-api.js';

/** @type {Record<ApiKey['scopes'][number], string>} */
const scopeTexts = {
  'sales:read': 'Read sales, products and their figures',
  'sales:write': 'Make and change sales and products',
  'orders:read': 'Read orders, with names and addresses',
  'orders:write': 'Change orders and send their mails again',
  'payments:write': 'Say what was paid and given back in your own checkout',
  'refunds:write': 'Give money of orders back, and see these with names and addresses',
};

export function openKeysView() {
  const keys = table('api-keys', ['Name', 'Key', 'May', 'Since', 'Last used', 'Actions']);
  const note = element('p', { class: 'muted', role: 'status' });
  const made = element('div');

  async function load() {
    try {
      const { apiKeys } = await fetchApiKeys();
      replaceRows(keys.body, apiKeys.map(lineOf));
      setText(note, apiKeys.length === 0 ? 'No keys. A server of yours needs one to call the API.' : '');
    } catch (error) {
      setText(note, errorText(error));
    }
  }

  /** @param {ApiKey} key */
  function lineOf({ id, name, prefix, scopes, createdAt, lastUsedAt }) {
    const revoke = action(
      'Revoke',
      async () => {
        if (!confirm(`Revoke the key of ${name}? Its next request is refused.`)) return;
        await revokeApiKey(id);
        made.replaceChildren();
        toast(`The key of ${name} is revoked`);
        await load();
      },
      { 'aria-label': `Revoke the key of ${name}`, class: 'small danger' },
    );
    const used = lastUsedAt ? `used ${relative(lastUsedAt)}` : 'never used';
    return [
      name,
      element('code', {}, `${prefix}…`),
      scopes.join(', '),
      `since ${dateTime(createdAt)}`,
      used,
      revoke,
    ];
  }

  const add = action(
    'New key',
    async () => {
      const name = field('Name', 'name', { required: true, maxlength: '100' }, 'Which server uses it');
      const boxes = Object.entries(scopeTexts).map(([value, text]) =>
        element(
          'label',
          { class: 'check' },
          element('input', { type: 'checkbox', name: 'scopes', value }),
          text,
        ),
      );
      const scopes = element('fieldset', {}, element('legend', {}, 'It may'), ...boxes);
      const key = await openForm('New key', [name, scopes], ({ textOf }) => {
        const chosen = scopes.querySelectorAll('input:checked');
        return createApiKey({
          name: textOf('name'),
          scopes: [...chosen].map((box) => box.getAttribute('value') ?? ''),
        });
      });
      if (!key) return;
      made.replaceChildren(shownOnce(`The key of ${key.name}. Copy it now: it is not shown again.`, key.key));
      await load();
    },
    { class: 'primary compact', 'data-testid': 'new-key' },
  );
  load();
  return { root: element('div', { class: 'stacked' }, heading('Keys', add), made, note, keys.root) };
}
