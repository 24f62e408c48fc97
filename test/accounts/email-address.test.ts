import fc from 'fast-check';
import { expect, test } from 'vitest';
import { emailAddress, mailboxOf, normaliseEmail } from '../../accounts/email-address.ts';

test.each([
  ['Ann@Example.COM', 'ann@example.com'],
  ['  ann@example.com\n', 'ann@example.com'],
  ['ann@bücher.example', 'ann@xn--bcher-kva.example'],
  ['ann@BÜCHER.example', 'ann@xn--bcher-kva.example'],
  ['ann@bu\u0308cher.example', 'ann@xn--bcher-kva.example'],
  ['ann@XN--BCHER-KVA.example', 'ann@xn--bcher-kva.example'],
  ['ann@ｅｘａｍｐｌｅ。com', 'ann@example.com'],
  ['ann@пример.рф', 'ann@xn--e1afmkfd.xn--p1ai'],
  ['jose\u0301@example.com', 'jos\u00e9@example.com'],
])('%j is %s', (written, normal) => {
  expect(normaliseEmail(written)).toBe(normal);
});

test.each([
  ['a tag', 'ann+sale@example.com', 'ann@example.com'],
  ['a dot', 'a.nn@example.com', 'ann@example.com'],
  ['ß, which is not the same as ss', 'ann@faß.de', 'ann@fass.de'],
  ['a path behind the domain', 'ann@example.com/x', 'ann@example.com'],
  ['an encoded letter', 'ann@exa%6dple.com', 'ann@example.com'],
  ['a soft hyphen', 'ann@ex\u00adample.com', 'ann@example.com'],
])('%s makes another address', (_what, one, other) => {
  expect(normaliseEmail(one)).not.toBe(normaliseEmail(other));
});

test.each([
  ['A.nn+sale+2@Gmail.com', ['gmail.com'], 'ann@gmail.com'],
  ['a.nn@googlemail.com', ['gmail.com', 'googlemail.com'], 'ann@gmail.com'],
  ['a.nn+sale@example.com', ['gmail.com'], 'a.nn+sale@example.com'],
  ['a.nn+sale@bücher.example', 'all', 'ann@xn--bcher-kva.example'],
  ['+sale@example.com', 'all', '+sale@example.com'],
  ['no address', 'all', 'no address'],
] as const)('mail to %s, with aliases at %j, goes to %s', (written, domains, mailbox) => {
  expect(mailboxOf(written, domains)).toBe(mailbox);
});

test('normalising a normalised address changes nothing', () => {
  const text = fc.oneof(fc.string({ unit: 'binary' }), fc.string({ unit: 'grapheme' }));
  const address = fc.tuple(text, text).map(([name, domain]) => `${name}@${domain}.example`);
  fc.assert(
    fc.property(fc.oneof(text, address, fc.emailAddress()), (written) => {
      const normal = normaliseEmail(written);
      expect(normaliseEmail(normal)).toBe(normal);
      expect(normaliseEmail(` ${normal} `)).toBe(normal);
    }),
    { numRuns: 2_000 },
  );
});

test('an accepted ASCII address is stored in lower case, as in earlier versions', () => {
  const label = fc.stringMatching(/^[A-Za-z0-9]([A-Za-z0-9-]{0,8}[A-Za-z0-9])?$/);
  const parts = fc.tuple(
    fc.stringMatching(/^[A-Za-z0-9_+'-]{1,12}$/),
    label,
    fc.stringMatching(/^[A-Za-z]{2,6}$/),
  );
  fc.assert(
    fc.property(parts, ([name, host, end]) => {
      const written = `${name}@${host}.${end}`;
      expect(emailAddress.parse(written)).toBe(written.toLowerCase());
    }),
    { numRuns: 2_000 },
  );
});

test.each([
  'ann',
  '@example.com',
  'ann@',
  'ann@example',
  'ann@exa mple.com',
  'ann@ex\u200bample.com',
  'ａｎｎ@example.com',
  `${'a'.repeat(65)}@example.com`,
  `ann@${'ü'.repeat(63)}.example`,
  `a@${'b.'.repeat(126)}com`,
])('%j is no address to sign up with', (written) => {
  const { error } = emailAddress.safeParse(written);
  expect(error?.issues[0]?.message).toMatch(/expected/);
});
