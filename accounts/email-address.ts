import { domainToASCII } from 'node:url';
import { z } from 'zod';

/** Characters allowed in a domain, in any script. `domainToASCII` would drop, decode or cut off at others. */
const domainCharacters = /^[\p{L}\p{M}\p{N}._\-\u3002\uff0e\uff61]+$/u;

/**
 * Normalises an e-mail address for storage and comparison: spellings that differ only in case, surrounding blanks, Unicode
 * form or the encoding of the domain are the same address. Dots and `+tag` before the @ are kept, because their meaning
 * depends on the mail provider. Text that is not an address is normalised as text.
 */
export function normaliseEmail(text: string): string {
  const written = text.trim().normalize('NFC').toLowerCase().normalize('NFC');
  const at = written.lastIndexOf('@');
  const domain = written.slice(at + 1);
  if (at === -1 || !domainCharacters.test(domain)) return written;
  // domainToASCII returns an empty string for a domain that IDNA forbids; it is then kept as it is.
  return `${written.slice(0, at + 1)}${domainToASCII(domain) || domain}`;
}

/** Domains at which a `+tag` and dots before the @ lead to the same mailbox; `all`: taken as given at every domain. */
export type AliasDomains = 'all' | readonly string[];

/** Domains that deliver to the mailboxes of another one. */
const sameMailboxes: Record<string, string> = { 'googlemail.com': 'gmail.com' };

/** The address of the mailbox to which mail to this address goes, as far as the domain is among these. */
export function mailboxOf(address: string, domains: AliasDomains): string {
  const email = normaliseEmail(address);
  const at = email.lastIndexOf('@');
  const domain = email.slice(at + 1);
  if (at === -1 || (domains !== 'all' && !domains.includes(domain))) return email;
  const name = email.slice(0, at).replace(/\+.*$/s, '').replaceAll('.', '');
  return name === '' ? email : `${name}@${sameMailboxes[domain] ?? domain}`;
}

/** Stricter than the library's: RFC 5321 also bounds the parts of an address, and no host's name ends with a hyphen. */
const pattern =
  /^(?=[^@]{1,64}@)[A-Za-z0-9_'+-]+(?:\.[A-Za-z0-9_'+-]+)*@(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)+(?:[A-Za-z]{2,63}|[Xx][Nn]--[A-Za-z0-9-]{0,58}[A-Za-z0-9])$/;

const described = {
  format: 'email',
  pattern: pattern.source,
  description: 'The domain may also be written in Unicode; addresses that are the same after IDNA are one',
};
const expected = 'expected an address like ann@example.com';

/** Read into its normal form, so a domain may come in any script: what is in front of the @ is ASCII. */
export const emailAddress = z
  .string()
  .max(254)
  .meta(described)
  .transform(normaliseEmail)
  .pipe(z.email({ pattern, error: expected }).max(254));

/** An address as it was typed, because an earlier version may have stored it in this spelling. */
export const spelledAddress = z
  .string()
  .max(254)
  .refine((text) => emailAddress.safeParse(text).success, expected)
  .meta(described);

/** All forms in which this or an earlier version may have stored an address that was typed like this. */
export function storedFormsOf(typed: string): string[] {
  return [...new Set([normaliseEmail(typed), typed.toLowerCase(), typed])];
}
