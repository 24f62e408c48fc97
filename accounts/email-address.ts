import { domainToASCII } from 'node:url';

/** What may stand in a domain, in any script. Anything else `domainToASCII` would drop, decode or cut off. */
const domainCharacters = /^[\p{L}\p{M}\p{N}._\-\u3002\uff0e\uff61]+$/u;

/**
 * An e-mail address in the one form in which addresses are stored and compared: ways to write it that differ only in
 * case, blanks around it, Unicode form or the encoding of the domain are one address. Dots and `+tag` in front of the
 * @ stay, as their meaning is up to each mail provider. Text that is no address comes out as some text, too.
 */
export function normaliseEmail(text: string): string {
  const written = text.trim().normalize('NFC').toLowerCase().normalize('NFC');
  const at = written.lastIndexOf('@');
  const domain = written.slice(at + 1);
  if (at === -1 || !domainCharacters.test(domain)) return written;
  // Empty for a domain that IDNA forbids; nobody has one, and two spellings of it are two addresses.
  return `${written.slice(0, at + 1)}${domainToASCII(domain) || domain}`;
}

/** Every form in which this or an earlier version may have stored what was typed. */
export function storedFormsOf(typed: string): string[] {
  return [...new Set([normaliseEmail(typed), typed.toLowerCase(), typed])];
}
