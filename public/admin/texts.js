/** The control room's own texts in the reader's language; texts/ has one file for each. */

import { language } from '../shared/language.js';
import { english } from './texts/en.js';

const others = {
  de: async () => (await import('./texts/de.js')).german,
  fr: async () => (await import('./texts/fr.js')).french,
};

/** @type {typeof english} */
export const texts = language === 'en' ? english : await others[language]().catch(() => english);
