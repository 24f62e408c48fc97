/** One of the secrets in `JWT_SECRET`: the first signs new tokens, and tokens signed by any of them are valid. */
export interface SigningKey {
  /** The key id in a token's header; empty for a secret without a name. */
  kid: string;
  secret: string;
}

const minBytes = 32;
/** A random secret of 32 bytes has about 28 different characters in base64, and 14 in hex. */
const minVariety = 10;
const examples =
  /change.?me|your[-_ ].*secret|secret[-_]?key|example|password|qwerty|0123456789|abcdefgh|insert/i;

/** Parses `secret` or `kid:secret,kid:secret`. To rotate keys, put the new one in front and remove the old one later. */
export function readSigningKeys(text: string): SigningKey[] {
  return text.split(',').map((part) => {
    const named = /^([\w.-]{1,32}):(.*)$/s.exec(part);
    return named ? { kid: named[1] as string, secret: named[2] as string } : { kid: '', secret: part };
  });
}

/**
 * @param isStrict also rejects secrets that are long enough but guessable.
 * @returns what is wrong with the list, without quoting any secret; null when it is valid.
 */
export function faultOfKeys(text: string, { isStrict }: { isStrict: boolean }): string | null {
  const keys = readSigningKeys(text);
  if (new Set(keys.map(({ kid }) => kid)).size < keys.length) return 'expected each key to have its own name';
  for (const { secret } of keys) {
    if (Buffer.byteLength(secret) < minBytes) {
      return `expected at least ${minBytes} characters: make it with \`openssl rand -base64 32\``;
    }
    if (isStrict && (new Set(secret).size < minVariety || examples.test(secret))) {
      return 'expected a random secret in production: make it with `openssl rand -base64 32`';
    }
  }
  return null;
}
