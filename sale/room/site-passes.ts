import { createHmac } from 'node:crypto';
import { readSecret } from '../../accounts/person.ts';
import { readSigningKeys } from '../../runtime/signing-keys.ts';
import type { Collections } from '../../store/collections.ts';

/**
 * Passes into other sites in front of which a waiting room stands. The site checks them with clients/pass-verifier, or with a
 * few lines of its own: docs/WAITING-ROOM.md has the format.
 *
 *   pass   `1.<kid>.<sale>.<holder>.<end, Unix s>.<HMAC-SHA-256 of all before the last dot, hex>`
 */
export interface SitePasses {
  /** @returns the address without an earlier pass; null when it is of no site of this shop. */
  siteOf(address: string): URL | null;
  /** @param until the pass ends then. @returns the site's address with a pass of this person. */
  addressFor(site: URL, saleId: string, personId: string, until: Date): Promise<string>;
}

const parameter = 'room_pass';

/** @param keys and sites are the settings ROOM_PASS_KEYS and ROOM_SITES. */
export function openSitePasses(
  collections: Collections,
  { keys, sites }: { keys: string; sites: readonly string[] },
): SitePasses {
  const [key] = readSigningKeys(keys);
  const allowed = sites.map((site) => new URL(site));
  /** A person is somebody else in each sale, and the same one with every key. */
  async function holderOf(saleId: string, personId: string): Promise<string> {
    const secret = await readSecret(collections, 'room-holders');
    return createHmac('sha256', secret).update(`${saleId}\n${personId}`).digest('hex').slice(0, 32);
  }
  return {
    siteOf(address) {
      if (!URL.canParse(address)) return null;
      const url = new URL(address);
      if (url.username || url.password || !allowed.some((site) => isWithin(url, site))) return null;
      const others = url.search.slice(1).split('&').filter(isOther);
      url.search = others.join('&');
      return url;
    },
    async addressFor(site, saleId, personId, until) {
      const end = Math.floor(until.getTime() / 1_000);
      const signed = `1.${key?.kid}.${saleId}.${await holderOf(saleId, personId)}.${end}`;
      const signature = createHmac('sha256', key?.secret ?? '')
        .update(signed)
        .digest('hex');
      const url = new URL(site);
      url.search = [url.search.slice(1), `${parameter}=${signed}.${signature}`].filter(Boolean).join('&');
      return url.href;
    },
  };
}

const isOther = (part: string) => part !== '' && !part.startsWith(`${parameter}=`);

/** Whether an address begins with that of a site, at the end of a part of the path. */
function isWithin(url: URL, site: URL): boolean {
  if (url.origin !== site.origin) return false;
  const path = site.pathname.replace(/\/$/, '');
  return url.pathname === path || url.pathname.startsWith(`${path}/`);
}
