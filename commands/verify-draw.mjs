// npm run verify-draw -- FILE: recomputes a draw from the file that the shop publishes, with nothing but SHA-256 and HMAC.
import { createHash, createHmac } from 'node:crypto';
import { readFileSync } from 'node:fs';

const [file, ...others] = process.argv.slice(2);
if (!file || others.length > 0) {
  console.error('expected npm run verify-draw -- FILE, where FILE is what /api/sales/SALE/draw/file answers');
  process.exit(2);
}
const { algorithm, state, commitment, digest, entries, seed, beacon, ...rest } = JSON.parse(
  readFileSync(file, 'utf8'),
);
/** @type {[string, number][]} Each entry: its pseudonym, and the number that it drew. */
const list = rest.list;
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
// The beacon was known to nobody when the list was closed; npm run verify-beacon checks that the network has signed it.
const signature = Buffer.from(beacon?.signature ?? '', 'hex');
const isOfRound = !isLinked || (sha256(signature) === beacon.randomness && rest.frozenAt < beacon.at);
check(isOfRound, 'the random number of the beacon, if there is one, is later than the list');
const hashKey = isLinked ? Buffer.concat([key, Buffer.from(beacon.randomness, 'hex')]) : key;
// Each pseudonym is hashed with the seed; whoever has the lowest hash is first.
const hashed = names.map((name) => ({
  name,
  hash: createHmac('sha256', hashKey).update(name).digest('hex'),
}));
hashed.sort((one, other) => (one.hash < other.hash ? -1 : 1));
const numbers = new Map(hashed.map(({ name }, n) => [name, n + 1]));
const areDrawn = list.every(([name, number]) => numbers.get(name) === number);
check(areDrawn, 'everybody has the number that follows from it');
console.log(agrees ? 'The draw is as it should be.' : 'The draw is NOT as it should be.');
process.exitCode = agrees ? 0 : 1;
