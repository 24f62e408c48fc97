/** What the storefront says, in the reader's language: texts/ has one file for each. */

import { english } from '../texts/en.js';
import { language } from './language.js';

/** Only the reader's own is loaded; English is what the pages are written in. */
const others = {
  de: async () => (await import('../texts/de.js')).german,
  fr: async () => (await import('../texts/fr.js')).french,
};

/** @type {typeof english} */
export const texts = language === 'en' ? english : await others[language]().catch(() => english);

/** Fills what the page marked with `data-text`, and the names of what it marked with `data-label`.
 * @param {ParentNode} root */
export function fillTexts(root) {
  const textOf = (/** @type {string | null} */ key) => texts[/** @type {keyof typeof texts} */ (key)];
  for (const node of root.querySelectorAll('[data-text], [data-label]')) {
    const text = textOf(node.getAttribute('data-text'));
    if (typeof text === 'string') node.textContent = text;
    const label = textOf(node.getAttribute('data-label'));
    if (typeof label === 'string') node.setAttribute('aria-label', label);
  }
}
