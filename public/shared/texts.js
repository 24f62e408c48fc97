/** The storefront's texts in the reader's language, with the name that the shop has. */

import { ownTexts } from './own-texts.js';

export const texts = { ...ownTexts, brand: document.documentElement.dataset.shop ?? ownTexts.brand };
