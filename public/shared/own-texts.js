/** The texts in the reader's language. A bundle has only that one instead of this module: see server/pages/bundles.ts. */

import { english } from '../texts/en.js';
import { language } from './language.js';

const others = {
  de: async () => (await import('../texts/de.js')).german,
  fr: async () => (await import('../texts/fr.js')).french,
};

/** @type {typeof english} */
export const ownTexts = language === 'en' ? english : await others[language]().catch(() => english);
