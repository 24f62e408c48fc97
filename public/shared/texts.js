/** The storefront's texts in the reader's language; texts/ has one file for each. */

import { english } from '../texts/en.js';
import { language } from './language.js';

/** Only the reader's language is loaded; the pages themselves are written in English. */
const others = {
  de: async () => (await import('../texts/de.js')).german,
  fr: async () => (await import('../texts/fr.js')).french,
};

/** @type {typeof english} */
export const texts = language === 'en' ? english : await others[language]().catch(() => english);

/** Sets the text of elements with `data-text`, and the `aria-label` of those with `data-label`.
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
