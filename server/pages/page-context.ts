import type { IncomingMessage } from 'node:http';
import { LRUCache } from 'lru-cache';
import type { Theme } from '../../catalogue/theme.ts';
import { formatsFor } from '../../public/shared/formats.js';
import { german } from '../../public/texts/de.js';
import { english } from '../../public/texts/en.js';
import { french } from '../../public/texts/fr.js';
import type { Language } from '../../sale/contract.ts';
import { type Reader, readerOf } from './reader.ts';

const textsIn = { en: english, de: german, fr: french };

/** What a page needs to know of its reader and its shop. */
export interface PageContext {
  reader: Reader;
  texts: typeof english;
  formats: ReturnType<typeof formatsFor>;
  timeZone: string;
  shop: { name: string; theme: Theme };
}

const formats = new LRUCache<string, PageContext['formats']>({ max: 100 });

export function contextFor(
  request: Pick<IncomingMessage, 'headers'>,
  { timeZone, shop }: Pick<PageContext, 'timeZone' | 'shop'>,
): PageContext {
  const reader = readerOf(request, shop.theme.languages);
  const key = `${reader.locale} ${timeZone}`;
  const own = formats.get(key) ?? formatsFor({ ...reader, timeZone });
  formats.set(key, own);
  return { reader, texts: textsOf(reader.language, shop.theme), formats: own, timeZone, shop };
}

/** Our texts, with the shop's own in their places. */
function textsOf(language: Language, { texts }: Theme): typeof english {
  const { title, lead } = texts[language];
  const ours = textsIn[language];
  return { ...ours, salesTitle: title || ours.salesTitle, salesLead: lead || ours.salesLead };
}
