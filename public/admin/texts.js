/**
 * The control room's own texts in the reader's language; a bundle has only that one instead of this module: see
 * server/pages/bundles.ts.
 */

import { language } from '../shared/language.js';
import { english } from './texts/en.js';

const others = {
  de: async () => (await import('./texts/de.js')).german,
  fr: async () => (await import('./texts/fr.js')).french,
};

/** @type {typeof english} */
export const texts = language === 'en' ? english : await others[language]().catch(() => english);
