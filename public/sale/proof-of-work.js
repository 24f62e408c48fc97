/**
 * Solves the puzzle of a proof of work: finds a nonce for which the SHA-256 begins with enough zero bits. SHA-256 is our own,
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

/** The blocks of a text with SHA-256's padding. @param {string} text of ASCII */
function wordsOf(text) {
  const words = new Int32Array(((text.length + 8) >> 6) * 16 + 16);
  for (let n = 0; n < text.length; n++) setByte(words, n, text.charCodeAt(n));
  setByte(words, text.length, 0x80);
  words[words.length - 1] = text.length * 8;
  return words;
}

/** @param {Int32Array} words @param {number} n @param {number} byte */
function setByte(words, n, byte) {
  const shift = 24 - (n % 4) * 8;
  words[n >> 2] = (at(words, n >> 2) & ~(0xff << shift)) | (byte << shift);
}

/** @param {string} text of ASCII @returns {Int32Array} */
export function sha256(text) {
  const words = wordsOf(text);
  const hash = START.slice();
  for (let start = 0; start < words.length; start += 16) addBlock(hash, words, start);
  return hash;
}

const schedule = new Int32Array(64);

/** @param {Int32Array} hash @param {Int32Array} words @param {number} start of the block in them */
function addBlock(hash, words, start) {
  for (let n = 0; n < 16; n++) schedule[n] = at(words, start + n);
  for (let n = 16; n < 64; n++) {
    const [early, late] = [at(schedule, n - 15), at(schedule, n - 2)];
    const one = turn(early, 7) ^ turn(early, 18) ^ (early >>> 3);
    const two = turn(late, 17) ^ turn(late, 19) ^ (late >>> 10);
    schedule[n] = at(schedule, n - 16) + one + at(schedule, n - 7) + two;
  }
  // Plain variables and no lists: three times as fast.
  let a = at(hash, 0);
  let b = at(hash, 1);
  let c = at(hash, 2);
  let d = at(hash, 3);
  let e = at(hash, 4);
  let f = at(hash, 5);
  let g = at(hash, 6);
  let h = at(hash, 7);
  for (let n = 0; n < 64; n++) {
    const choice = (e & f) ^ (~e & g);
    const one = (h + (turn(e, 6) ^ turn(e, 11) ^ turn(e, 25)) + choice + at(ROUND, n) + at(schedule, n)) | 0;
    const two = ((turn(a, 2) ^ turn(a, 13) ^ turn(a, 22)) + ((a & b) ^ (a & c) ^ (b & c))) | 0;
    h = g;
    g = f;
    f = e;
    e = (d + one) | 0;
    d = c;
    c = b;
    b = a;
    a = (one + two) | 0;
  }
  hash[0] = at(hash, 0) + a;
  hash[1] = at(hash, 1) + b;
  hash[2] = at(hash, 2) + c;
  hash[3] = at(hash, 3) + d;
  hash[4] = at(hash, 4) + e;
  hash[5] = at(hash, 5) + f;
  hash[6] = at(hash, 6) + g;
  hash[7] = at(hash, 7) + h;
}

/** @param {Int32Array} hash */
function zeroBitsOf(hash) {
  let first = 0;
  while (first < 7 && hash[first] === 0) first += 1;
  return first * 32 + Math.clz32(at(hash, first));
}

const DIGITS = 7;

/**
 * Tries nonces until one fits or the time is over.
 * @param {string} challenge @param {number} difficultyBits @param {number} first nonce to try
 * @returns {{ answer: string } | { next: number }}
 */
function solve(challenge, difficultyBits, first) {
  const endsAt = performance.now() + PAUSE_AFTER_MS;
  const text = `${challenge}.`;
  // Only the digits of the nonce change, so nothing else is written again; a puzzle of ours has one block.
  const words = wordsOf(text + '0'.repeat(DIGITS));
  const hash = new Int32Array(8);
  for (let nonce = first; ; nonce++) {
    let rest = nonce;
    for (let n = DIGITS - 1; n >= 0; n--) {
      const digit = rest % 36;
      setByte(words, text.length + n, digit < 10 ? 48 + digit : 87 + digit);
      rest = (rest - digit) / 36;
    }
    hash.set(START);
    for (let start = 0; start < words.length; start += 16) addBlock(hash, words, start);
    if (zeroBitsOf(hash) >= difficultyBits)
      return { answer: text + nonce.toString(36).padStart(DIGITS, '0') };
    if (nonce % 256 === 0 && performance.now() > endsAt) return { next: nonce + 1 };
  }
}

/**
 * Solves in this thread, with pauses in which a page stays responsive.
 * @param {string} challenge @param {number} difficultyBits
 * @returns {Promise<string>} for the header Proof-Of-Work
 */
export async function answerTo(challenge, difficultyBits) {
  for (let first = 0; ; ) {
    const tried = solve(challenge, difficultyBits, first);
    if ('answer' in tried) return tried.answer;
    first = tried.next;
    await new Promise((resolve) => setTimeout(resolve));
  }
}
