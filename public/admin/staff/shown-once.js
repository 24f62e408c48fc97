/** A secret that the server sends once: shown with a button that copies it. */

import { element } from '../../shared/dom.js';
import { toast } from '../../shared/toast.js';
import { action } from '../components.js';
import { texts } from '../texts.js';

/** @param {string} text says what it is @param {string} secret */
export function shownOnce(text, secret) {
  const code = element('code', { tabindex: '0', 'data-testid': 'secret' }, secret);
  const copy = action(texts.staff.copy, async () => {
    await navigator.clipboard.writeText(secret);
    toast(texts.staff.copied);
  });
  // The Clipboard API is missing on plain http.
  copy.hidden = !navigator.clipboard;
  return element('div', { class: 'card-box shown-once', role: 'status' }, element('p', {}, text), code, copy);
}
