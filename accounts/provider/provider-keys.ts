import { createPublicKey, type KeyObject } from 'node:crypto';

/** The identity provider did not answer, so it is not known whether a key is one of its keys. */
export class ProviderAway extends Error {}

interface ProviderKeysOptions {
  /** Finds the URI of the keys (JWKS), for which the provider may have to be asked. */
  findUri: () => Promise<string>;
  timeoutMs: number;
  /** Minimum time between two reads of the keys. */
  intervalMs: number;
}

/** Keys that are older are read again when one of them is used, so that a key that was withdrawn is refused. */
const staleMs = 600_000;

/**
 * The public keys of an identity provider. An unknown key makes it read them again, but at most once an interval whatever
 * tokens come, so that a new key is accepted within that time. While the provider is away, the known keys stay valid.
 * @returns a function that finds a key; null when the provider has no such key.
 */
export function openProviderKeys({
  findUri,
  timeoutMs,
  intervalMs,
}: ProviderKeysOptions): (kid: string) => Promise<KeyObject | null> {
  let known = new Map<string, KeyObject>();
  let readAtMs = Number.NEGATIVE_INFINITY;
  let triedAtMs = Number.NEGATIVE_INFINITY;
  /** The latest read, which is in progress, or has succeeded or failed. */
  let latest: Promise<void> = Promise.resolve();

  async function read(): Promise<void> {
    try {
      // Loaded with the first read, because it takes a tenth of a second, and most shops have no provider.
      const { default: jwksRsa } = await import('jwks-rsa');
      const client = jwksRsa({ jwksUri: await findUri(), cache: false, timeout: timeoutMs });
      const keys = await client.getSigningKeys();
      known = new Map(keys.map((key) => [key.kid, createPublicKey(key.getPublicKey())]));
      readAtMs = performance.now();
    } catch (error) {
      throw new ProviderAway('The keys of the identity provider cannot be read', { cause: error });
    }
  }
  function readUnlessRecent(): void {
    if (performance.now() - triedAtMs < intervalMs) return;
    triedAtMs = performance.now();
    latest = read();
    // Whoever waits for it gets the error.
    latest.catch(() => {});
  }

  return async (kid) => {
    const key = known.get(kid);
    if (!key || performance.now() - readAtMs >= staleMs) readUnlessRecent();
    if (key) return key;
    await latest;
    return known.get(kid) ?? null;
  };
}
