import type { IncomingMessage } from 'node:http';
import { LRUCache } from 'lru-cache';
import { formatsFor } from '../../public/shared/formats.js';
import { german } from '../../public/texts/de.js';
import { english } from '../../public/texts/en.js';
import { french } from '../../public/texts/fr.js';
import { type Reader, readerOf } from './reader.ts';

const textsIn = { en: english, de: german, fr: french };

/** What a page needs to know of its reader and its shop. */
export interface PageContext {
  reader: Reader;
  texts: typeof english;
  formats: ReturnType<typeof formatsFor>;
  timeZone: string;
  shop: { name: string };
}

const formats = new LRUCache<string, PageContext['formats']>({ max: 100 });

export function contextFor(
  request: Pick<IncomingMessage, 'headers'>,
  { timeZone, shop }: Pick<PageContext, 'timeZone' | 'shop'>,
): PageContext {
  const reader = readerOf(request);
  const key = `${reader.locale} ${timeZone}`;
  const own = formats.get(key) ?? formatsFor({ ...reader, timeZone });
  formats.set(key, own);
  return { reader, texts: textsIn[reader.language], formats: own, timeZone, shop };
}
