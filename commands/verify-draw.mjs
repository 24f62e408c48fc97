// npm run verify-draw -- FILE: recomputes a draw from the file that the shop publishes, with nothing but SHA-256 and HMAC.
import { createHash, createHmac } from 'node:crypto';
import { readFileSync } from 'node:fs';

const [, , file] = process.argv;
if (!file) throw new Error('expected npm run verify-draw -- FILE, what /api/sales/SALE/draw/file answers');
const draw = JSON.parse(readFileSync(file, 'utf8'));
const { algorithm, state, drawAt, frozenAt, commitment, digest, entries, seed, beacon } = draw;
/** @type {[string, number][]} Each entry: its pseudonym, and the number that it drew. */
const list = draw.list;
const sha256 = (/** @type {string | Buffer} */ data) => createHash('sha256').update(data).digest('hex');
let agrees = true;
function check(/** @type {boolean} */ holds, /** @type {string} */ claim) {
  console.log(`${holds ? 'yes' : 'NO '}  ${claim}`);
  if (!holds) agrees = false;
}

const isLinked = algorithm === 'hmac-sha256-v2';
check(isLinked || algorithm === 'hmac-sha256-v1', 'the algorithm is one that this program knows');
if (!isLinked && beacon) console.log('note the shop went on without the beacon');
check(state === 'drawn', 'the draw was made');
const names = list.map(([pseudonym]) => pseudonym);
const isSorted = names.every((name, n) => n === 0 || String(names[n - 1]) < name);
check(isSorted && names.length === entries, `the list has ${entries} entries, sorted, each pseudonym once`);
// The list could not change after its digest was published, nor the seed after its hash was published with the sale.
check(sha256(names.map((name) => `${name}\n`).join('')) === digest, 'its SHA-256 is the published digest');
const key = Buffer.from(seed ?? '', 'hex');
check(sha256(key) === commitment, 'the SHA-256 of the seed is the commitment published with the sale');
// Nobody knew the beacon's number when the list was closed; npm run verify-beacon checks that the network has signed it.
if (isLinked) {
  const [, , genesis = 0, period = 0] = (process.env.DRAND_CHAIN ?? '::1692803367:3').split(':').map(Number);
  const named = Math.ceil((Date.parse(drawAt) / 1_000 + 60 - genesis) / period) + 1;
  const isAtItsTime = Date.parse(beacon.at) === (genesis + (beacon.round - 1) * period) * 1_000;
  const isLater = isAtItsTime && beacon.round >= named && Date.parse(frozenAt) < Date.parse(beacon.at);
  check(isLater, "the beacon's round is that of the sale or a later one, and later than the list");
  if (beacon.round > named) console.log(`note it is later than round ${named}: the list was closed late`);
  const signature = Buffer.from(beacon.signature ?? '', 'hex');
  check(sha256(signature) === beacon.randomness, 'its number is the SHA-256 of its signature');
}
const hashKey = isLinked ? Buffer.concat([key, Buffer.from(beacon.randomness, 'hex')]) : key;
// Each pseudonym is hashed with the seed; whoever has the lowest hash is first.
const hashOf = (/** @type {string} */ name) => createHmac('sha256', hashKey).update(name).digest('hex');
const hashed = names.map((name) => `${hashOf(name)} ${name}`).sort();
const numbers = new Map(hashed.map((one, n) => [one.split(' ')[1], n + 1]));
const areDrawn = list.every(([name, number]) => numbers.get(name) === number);
check(areDrawn, 'everybody has the number that follows from it');
console.log(agrees ? 'The draw is as it should be.' : 'The draw is NOT as it should be.');
process.exitCode = agrees ? 0 : 1;
