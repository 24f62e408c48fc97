import { domainToASCII } from 'node:url';

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

/** All forms in which this or an earlier version may have stored an address that was typed like this. */
export function storedFormsOf(typed: string): string[] {
  return [...new Set([normaliseEmail(typed), typed.toLowerCase(), typed])];
}
