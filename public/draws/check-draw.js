/** Recomputes a draw from what it published, with the browser's own SHA-256 and HMAC. */

/** @import { Draw } from '../../sale/contract.ts' */

const utf8 = new TextEncoder();
const hexOf = (/** @type {ArrayBuffer} */ bytes) =>
  [...new Uint8Array(bytes)].map((byte) => byte.toString(16).padStart(2, '0')).join('');
const bytesOf = (/** @type {string} */ hex) =>
  Uint8Array.from(hex.match(/../g) ?? [], (byte) => Number.parseInt(byte, 16));
const sha256 = async (/** @type {Uint8Array<ArrayBuffer>} */ data) =>
  hexOf(await crypto.subtle.digest('SHA-256', data));

/** The network of drand whose rounds draws name, and how long after the end of the entries such a round is. */
const quicknet = { genesisSeconds: 1_692_803_367, periodSeconds: 3 };
const DELAY_SECONDS = 60;

/** The round that was named with the sale. @param {string} drawAt */
export function namedRound(drawAt, { genesisSeconds, periodSeconds } = quicknet) {
  return Math.ceil((Date.parse(drawAt) / 1_000 + DELAY_SECONDS - genesisSeconds) / periodSeconds) + 1;
}

/**
 * Whether nobody knew the round when the list was closed.
 * @param {Pick<Draw, 'beacon' | 'drawAt' | 'frozenAt'>} draw
 */
function isLaterThanList({ beacon, drawAt, frozenAt }, network = quicknet) {
  if (!beacon || frozenAt === null) return false;
  const atMs = (network.genesisSeconds + (beacon.round - 1) * network.periodSeconds) * 1_000;
  const isNamed = beacon.round >= namedRound(drawAt, network);
  return Date.parse(beacon.at) === atMs && isNamed && Date.parse(frozenAt) < atMs;
}

/** Hashes computed at once, so that a long list does not hold the page up. */
const atOnce = 500;

/**
 * @param {Draw & { list: [string, number][] }} draw which was made
 * @param {typeof quicknet} [network] whose rounds it names
 * @returns {Promise<Record<string, boolean>>} which of the claims hold
 */
export async function checkDraw(draw, network) {
  const { algorithm: version, commitment, digest, beacon, list } = draw;
  const seed = draw.seed ?? '';
  const names = list.map(([pseudonym]) => pseudonym);
  const isSorted = names.every((name, n) => n === 0 || String(names[n - 1]) < name);
  const listed = utf8.encode(names.map((name) => `${name}\n`).join(''));
  const algorithm = { name: 'HMAC', hash: 'SHA-256' };
  const isLinked = version === 'hmac-sha256-v2';
  const hashKey = bytesOf(seed + (isLinked ? beacon?.randomness : ''));
  const key = await crypto.subtle.importKey('raw', hashKey, algorithm, false, ['sign']);
  /** @type {{ name: string, hash: string }[]} */
  const hashed = [];
  for (let start = 0; start < names.length; start += atOnce) {
    const batch = names.slice(start, start + atOnce).map(async (name) => {
      return { name, hash: hexOf(await crypto.subtle.sign('HMAC', key, utf8.encode(name))) };
    });
    hashed.push(...(await Promise.all(batch)));
  }
  hashed.sort((one, other) => (one.hash < other.hash ? -1 : 1));
  const numbers = new Map(hashed.map(({ name }, n) => [name, n + 1]));
  return {
    seed: (await sha256(bytesOf(seed))) === commitment,
    list: isSorted && (await sha256(listed)) === digest,
    ...(isLinked && {
      beacon:
        (await sha256(bytesOf(beacon?.signature ?? ''))) === beacon?.randomness &&
        isLaterThanList(draw, network),
    }),
    order: list.every(([name, number]) => numbers.get(name) === number),
  };
}
