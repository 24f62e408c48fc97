import { createHash } from 'node:crypto';
import type { SendMailOptions } from 'nodemailer';
import type { Language } from '../../sale/contract.ts';
import { german } from './texts/de.ts';
import { english, type MailTexts } from './texts/en.ts';
import { french } from './texts/fr.ts';

/** What every mail of the shop says about it. */
export interface Shop {
  name: string;
  /** The sender, as in `MAIL_FROM`. */
  from: string;
  /** The shop's URL without a trailing slash. */
  url: string;
  /** In which mails say times. */
  timeZone: string;
}

const languages: Record<Language, MailTexts> = { en: english, de: german, fr: french };

export const textsIn = (language: Language | undefined): MailTexts => languages[language ?? 'en'];

interface Content {
  to: string;
  subject: string;
  paragraphs: string[];
  link: { url: string; label: string };
  /** Small print, e.g. the order's number. */
  notes: string[];
}

/**
 * Writes a mail as text and HTML. It greets nobody by name, because whoever signed up with a foreign address chose the name,
 * and it would carry their message.
 * @param id of the mail, from which its Message-ID is derived, so that a mail sent twice has one.
 */
export function layOut(
  id: string,
  { to, subject, paragraphs, link, notes }: Content,
  texts: MailTexts,
  { from, name }: Shop,
): SendMailOptions {
  const lines = [texts.hello, ...paragraphs];
  const end = [...notes, name];
  return {
    from,
    to,
    subject,
    text: `${[...lines, `${link.label}: ${link.url}`, ...end].join('\n\n')}\n`,
    html: [
      '<!doctype html>',
      `<html lang="${texts.language}"><body style="font-family: sans-serif; line-height: 1.5">`,
      ...lines.map((line) => `<p>${escapeHtml(line)}</p>`),
      `<p><a href="${escapeHtml(link.url)}">${escapeHtml(link.label)}</a></p>`,
      ...end.map((line) => `<p style="color: #666"><small>${escapeHtml(line)}</small></p>`),
      '</body></html>',
    ].join('\n'),
    messageId: messageIdOf(id, from),
    headers: { 'Auto-Submitted': 'auto-generated' },
  };
}

function messageIdOf(id: string, from: string): string {
  const host = /@([\w.-]+)/.exec(from)?.[1] ?? 'localhost';
  return `<${createHash('sha256').update(id).digest('hex').slice(0, 32)}@${host}>`;
}

const entities: Record<string, string> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};

/** Product names are plain text, so markup in them is escaped. */
function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (character) => entities[character] ?? character);
}
