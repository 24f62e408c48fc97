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
 * The language that the reader chose on the account's page, or else the first preferred one that the pages are translated into.
 * Behind nginx the header has that one already, so that its cache has a page once in each: see `$reader` in nginx.conf.
 */
export function readerOf(
  { headers }: Pick<IncomingMessage, 'headers'>,
  offered: readonly Language[] = languages.options,
): Reader {
  const cookie = parseCookie(headers.cookie ?? '').stampede_language;
  const chosen = offered.find((language) => language === cookie);
  const preferred = (headers['accept-language'] ?? '').split(',').flatMap(readTag);
  const found = preferred.find(({ language }) => (chosen ? language === chosen : offered.includes(language)));
  const language = chosen ?? (offered.includes('en') ? 'en' : (offered[0] ?? 'en'));
  return found ?? { language, locale: language };
}

function readTag(range: string): Reader[] {
  const [, tag = '', region = ''] = /^\s*([a-z]{2})(?:-([a-z]{2}))?\s*(?:;|$)/i.exec(range) ?? [];
  const { data: language } = languages.safeParse(tag.toLowerCase());
  if (!language) return [];
  return [{ language, locale: region ? `${language}-${region.toUpperCase()}` : language }];
}
