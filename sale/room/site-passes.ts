import { createHmac, hash } from 'node:crypto';
import { readSecret } from '../../accounts/person.ts';
import { readSigningKeys, type SigningKey } from '../../runtime/signing-keys.ts';
import type { Collections } from '../../store/collections.ts';

/**
 * Passes into other sites in front of which a waiting room stands. The site checks them with clients/pass-verifier, or with a
 * few lines of its own: docs/WAITING-ROOM.md has the format.
 *
 *   pass   `1.<kid>.<sale>.<holder>.<end, Unix s>.<HMAC-SHA-256 of all before the last dot, hex>`
 *
 * A sale with a site of its own signs with the key of that site, so that such a site cannot make passes into another one. Passes into
 * the sites of ROOM_SITES are signed with ROOM_PASS_KEYS themselves: these sites hold the secret from which all keys follow, and can make
 * passes into every site.
 */
export interface SitePasses {
  /** `kid:secret,…` of a site that belongs to a sale, the one that signs first; null when there are no ROOM_PASS_KEYS. */
  keysOf(siteUrl: string): string | null;
  /**
   * @param siteUrl of the sale, when it has a site of its own.
   * @returns the address without an earlier pass; null when it is of no site of this shop, or not of this one.
   */
  siteOf(address: string, siteUrl?: string): URL | null;
  /** @returns the address with a pass of this person. */
  addressFor(address: URL, pass: SitePass): Promise<string>;
}

interface SitePass {
  saleId: string;
  personId: string;
  /** The pass ends then. */
  until: Date;
  /** Of the sale, when it has a site of its own. */
  siteUrl?: string | undefined;
}

const parameter = 'room_pass';

/** @param keys and sites are the settings ROOM_PASS_KEYS and ROOM_SITES. */
export function openSitePasses(
  collections: Collections,
  { keys, sites }: { keys: string; sites: readonly string[] },
): SitePasses {
  const signing = keys ? readSigningKeys(keys) : [];
  const allowed = sites.map((site) => new URL(site));
  /** A person is somebody else in each sale, and the same one with every key. */
  async function holderOf(saleId: string, personId: string): Promise<string> {
    const secret = await readSecret(collections, 'room-holders');
    return createHmac('sha256', secret).update(`${saleId}\n${personId}`).digest('hex').slice(0, 32);
  }
  return {
    keysOf(siteUrl) {
      const ofSite = signing.map((key) => siteKeyOf(key, siteUrl));
      return ofSite.map(({ kid, secret }) => `${kid}:${secret}`).join(',') || null;
    },
    siteOf(address, siteUrl) {
      if (!URL.canParse(address)) return null;
      const url = new URL(address);
      const within = siteUrl === undefined ? allowed : [new URL(siteUrl)];
      if (url.username || url.password || !within.some((site) => isWithin(url, site))) return null;
      const others = url.search.slice(1).split('&').filter(isOther);
      url.search = others.join('&');
      return url;
    },
    async addressFor(address, { saleId, personId, until, siteUrl }) {
      const [first] = signing;
      if (!first) throw new Error('A pass into another site needs ROOM_PASS_KEYS');
      const { kid, secret } = siteUrl === undefined ? first : siteKeyOf(first, siteUrl);
      const end = Math.floor(until.getTime() / 1_000);
      const signed = `1.${kid}.${saleId}.${await holderOf(saleId, personId)}.${end}`;
      const signature = createHmac('sha256', secret).update(signed).digest('hex');
      const url = new URL(address);
      url.search = [url.search.slice(1), `${parameter}=${signed}.${signature}`].filter(Boolean).join('&');
      return url.href;
    },
  };
}

/**
 * The key of one site, from which nobody learns the shop's; whoever has the shop's, as the sites of ROOM_SITES, has this one too.
 * Its name says which one it is, and nothing about it.
 */
function siteKeyOf({ secret: shops }: SigningKey, siteUrl: string): SigningKey {
  const secret = createHmac('sha256', shops).update(`room-site\n${siteUrl}`).digest('hex');
  return { kid: hash('sha256', secret).slice(0, 16), secret };
}

const isOther = (part: string) => part !== '' && !part.startsWith(`${parameter}=`);

/** Whether an address begins with that of a site, at the end of a part of the path. */
function isWithin(url: URL, site: URL): boolean {
  if (url.origin !== site.origin) return false;
  const path = site.pathname.replace(/\/$/, '');
  return url.pathname === path || url.pathname.startsWith(`${path}/`);
}
