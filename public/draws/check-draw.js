/** Recomputes a draw from what it published, with the browser's own SHA-256 and HMAC. */

const utf8 = new TextEncoder();
const hexOf = (/** @type {ArrayBuffer} */ bytes) =>
  [...new Uint8Array(bytes)].map((byte) => byte.toString(16).padStart(2, '0')).join('');
const bytesOf = (/** @type {string} */ hex) =>
  Uint8Array.from(hex.match(/../g) ?? [], (byte) => Number.parseInt(byte, 16));
const sha256 = async (/** @type {BufferSource} */ data) => hexOf(await crypto.subtle.digest('SHA-256', data));

/** Hashes computed at once, so that a long list does not hold the page up. */
const atOnce = 500;

/**
 * @param {{ commitment: string, digest: string, seed: string, list: [string, number][] }} draw
 * @returns {Promise<{ seed: boolean, list: boolean, order: boolean }>} which of the claims hold
 */
export async function checkDraw({ commitment, digest, seed, list }) {
  const names = list.map(([pseudonym]) => pseudonym);
  const isSorted = names.every((name, n) => n === 0 || String(names[n - 1]) < name);
  const listed = utf8.encode(names.map((name) => `${name}\n`).join(''));
  const algorithm = { name: 'HMAC', hash: 'SHA-256' };
  const key = await crypto.subtle.importKey('raw', bytesOf(seed), algorithm, false, ['sign']);
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
    order: list.every(([name, number]) => numbers.get(name) === number),
  };
}
