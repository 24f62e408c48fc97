/**
 * The control room's own texts; texts/ has one file for each language. The server makes the room in English always, because most
 * of it has no translation yet and one page does not mix languages. So only the English ones are loaded until then.
 */

import { language } from '../shared/language.js';
import { english } from './texts/en.js';

const others = {
  de: async () => (await import('./texts/de.js')).german,
  fr: async () => (await import('./texts/fr.js')).french,
};

/** @type {typeof english} */
export const texts = language === 'en' ? english : await others[language]().catch(() => english);
