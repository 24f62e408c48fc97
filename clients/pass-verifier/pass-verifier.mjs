import { createHmac, timingSafeEqual } from 'node:crypto';

/**
 * Checks passes of a Stampede waiting room at the site that it stands in front of. docs/WAITING-ROOM.md has the format:
 *
 *   1.<kid>.<sale>.<holder>.<end, Unix s>.<HMAC-SHA-256 of all before the last dot, hex>
 */

/**
 * @typedef {object} Pass
 * @property {string} holder who was let in: the same for each pass of one person in one sale, and nothing else about them
 * @property {Date} until
 */

const format = /^(1\.([\w-]{1,32})\.([\w-]{1,64})\.([\w-]{1,64})\.(\d{1,12}))\.([0-9a-f]{64})$/;
const parameter = 'room_pass';

/** @param {string} keys `kid:secret,kid:secret`, those of the site; all of them verify. */
export function readKeys(keys) {
  const parts = keys.split(',').map((part) => /^([\w-]{1,32}):(.{32,})$/s.exec(part));
  if (parts.includes(null)) throw new Error('Expected kid:secret,… with secrets of at least 32 characters');
  return new Map(parts.map((part) => [part?.[1] ?? '', part?.[2] ?? '']));
}

/**
 * @param {string | null | undefined} pass
 * @param {{ saleId: string, keys: ReadonlyMap<string, string>, now?: Date }} site the sale whose room stands in front of it
 * @returns {Pass | null} null when it is forged, has ended, or is of another sale.
 */
export function verifyPass(pass, { saleId, keys, now = new Date() }) {
  const [, signed = '', kid = '', sale, holder = '', end, signature = ''] = format.exec(pass ?? '') ?? [];
  const secret = keys.get(kid);
  if (!secret || sale !== saleId) return null;
  const expected = createHmac('sha256', secret).update(signed).digest();
  if (!timingSafeEqual(expected, Buffer.from(signature, 'hex'))) return null;
  const until = new Date(Number(end) * 1_000);
  return until > now ? { holder, until } : null;
}

/** The passes of a request, which may be in its address and in its cookies. @param {{ url: string, cookie?: string | undefined }} request */
export function passesIn({ url, cookie = '' }) {
  const [, query = ''] = url.split(/[?#]/);
  const inUrl = new URLSearchParams(query).getAll(parameter);
  const inCookies = cookie.split(/; */).filter((part) => part.startsWith(`${parameter}=`));
  return [...inUrl, ...inCookies.map((part) => part.slice(parameter.length + 1))].slice(0, 4);
}

/** The cookie that keeps a pass until its end. @param {string} pass @param {Pass} verified @param {{ isSecure: boolean }} site */
export function cookieOf(pass, { until }, { isSecure }) {
  const secure = isSecure ? '; Secure' : '';
  return `${parameter}=${pass}; Expires=${until.toUTCString()}; Path=/; HttpOnly; SameSite=Lax${secure}`;
}

/** Where to wait for a pass. @param {{ stampedeUrl: string, saleId: string, returnTo: string }} room */
export function roomUrl({ stampedeUrl, saleId, returnTo }) {
  const url = new URL(`/sales/${encodeURIComponent(saleId)}`, stampedeUrl);
  url.searchParams.set('return', returnTo);
  return url.href;
}
