/**
 * Solves a proof-of-work challenge: finds a nonce for which the SHA-256 begins with enough zero bits. SHA-256 is our own,
 * because `crypto.subtle` is missing on plain http and needs a promise for each hash.
 */

const PAUSE_AFTER_MS = 12;

/** The first 32 bits of the fractional parts of the roots of the first primes. @param {number} power @param {number} count */
function rootsOfPrimes(power, count) {
  const roots = [];
  for (let n = 2; roots.length < count; n++) {
    let isPrime = true;
    for (let d = 2; d * d <= n; d++) if (n % d === 0) isPrime = false;
    if (isPrime) roots.push(((n ** power % 1) * 2 ** 32) | 0);
  }
  return Int32Array.from(roots);
}

const START = rootsOfPrimes(1 / 2, 8);
const ROUND = rootsOfPrimes(1 / 3, 64);
const at = (/** @type {Int32Array} */ words, /** @type {number} */ n) => /** @type {number} */ (words[n]);
const turn = (/** @type {number} */ word, /** @type {number} */ by) => (word >>> by) | (word << (32 - by));

/** @param {string} text of ASCII @returns {Int32Array} */
export function sha256(text) {
  const words = new Int32Array(((text.length + 8) >> 6) * 16 + 16);
  for (let n = 0; n < text.length; n++)
    words[n >> 2] = at(words, n >> 2) | (text.charCodeAt(n) << (24 - (n % 4) * 8));
  words[text.length >> 2] = at(words, text.length >> 2) | (0x80 << (24 - (text.length % 4) * 8));
  words[words.length - 1] = text.length * 8;
  const hash = START.slice();
  for (let block = 0; block < words.length; block += 16) addBlock(hash, words.subarray(block, block + 16));
  return hash;
}

const schedule = new Int32Array(64);

/** @param {Int32Array} hash @param {Int32Array} block */
function addBlock(hash, block) {
  schedule.set(block);
  for (let n = 16; n < 64; n++) {
    const [early, late] = [at(schedule, n - 15), at(schedule, n - 2)];
    const one = turn(early, 7) ^ turn(early, 18) ^ (early >>> 3);
    const two = turn(late, 17) ^ turn(late, 19) ^ (late >>> 10);
    schedule[n] = at(schedule, n - 16) + one + at(schedule, n - 7) + two;
  }
  let [a = 0, b = 0, c = 0, d = 0, e = 0, f = 0, g = 0, h = 0] = hash;
  for (let n = 0; n < 64; n++) {
    const choice = (e & f) ^ (~e & g);
    const one = (h + (turn(e, 6) ^ turn(e, 11) ^ turn(e, 25)) + choice + at(ROUND, n) + at(schedule, n)) | 0;
    const two = ((turn(a, 2) ^ turn(a, 13) ^ turn(a, 22)) + ((a & b) ^ (a & c) ^ (b & c))) | 0;
    [h, g, f, e, d, c, b, a] = [g, f, e, (d + one) | 0, c, b, a, (one + two) | 0];
  }
  for (const [n, word] of [a, b, c, d, e, f, g, h].entries()) hash[n] = at(hash, n) + word;
}

/** @param {Int32Array} hash */
function zeroBitsOf(hash) {
  const first = hash.findIndex((word) => word !== 0);
  return first * 32 + Math.clz32(at(hash, first));
}

/**
 * @param {string} challenge @param {number} difficultyBits
 * @returns {Promise<string>} for the header Proof-Of-Work
 */
export async function answerTo(challenge, difficultyBits) {
  let pausedAt = performance.now();
  for (let nonce = 0; ; nonce++) {
    const answer = `${challenge}.${nonce.toString(36)}`;
    if (zeroBitsOf(sha256(answer)) >= difficultyBits) return answer;
    if (nonce % 64 === 0 && performance.now() - pausedAt > PAUSE_AFTER_MS) {
      // Yields to the event loop, so that the page stays responsive.
      await new Promise((resolve) => setTimeout(resolve));
      pausedAt = performance.now();
    }
  }
}
