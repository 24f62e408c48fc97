import type { IncomingMessage } from 'node:http';
import { parseCookie } from 'cookie';
import { type Language, language as languages } from '../../sale/contract.ts';

/** Who reads a page. */
export interface Reader {
  language: Language;
  /** The language, with the reader's region when the browser tells it, e.g. `de-AT`. */
  locale: string;
}

/**
 * The language that the reader chose on the account's page, or else the first preferred one of those that the shop offers, or
 * else the first that it offers. nginx, whose cache has a page once for each reader, has decided already: its `X-Reader` has the
 * first two of our languages in the reader's order, of which there are three (see `$reader` in nginx.conf).
 */
export function readerOf(
  { headers }: Pick<IncomingMessage, 'headers'>,
  offered: readonly Language[] = languages.options,
): Reader {
  const decided = headers['x-reader'];
  const chosen = decided === undefined ? parseCookie(headers.cookie ?? '').stampede_language : undefined;
  const preferred = String(decided ?? headers['accept-language'] ?? '')
    .split(',')
    .flatMap(readTag);
  const first = preferred.find(({ language }) => language === chosen) ?? readTag(chosen ?? '')[0];
  const found = [first, ...preferred].find((reader) => reader && offered.includes(reader.language));
  const language = offered[0] ?? 'en';
  return found ?? { language, locale: language };
}

function readTag(range: string): Reader[] {
  const [, tag = '', region = ''] = /^\s*([a-z]{2})(?:-([a-z]{2}))?\s*(?:;|$)/i.exec(range) ?? [];
  const { data: language } = languages.safeParse(tag.toLowerCase());
  if (!language) return [];
  return [{ language, locale: region ? `${language}-${region.toUpperCase()}` : language }];
}
