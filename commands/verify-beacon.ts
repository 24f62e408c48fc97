// npm run verify-beacon -- FILE: checks with drand's own library that its network has signed the random number of a draw, and that
// nobody knew it when the list was fixed.
import { readFileSync } from 'node:fs';
import { beaconChain, faultOfRound, roundFor, verifyRound } from '../sale/places/beacon.ts';

const [file, ...others] = process.argv.slice(2);
if (!file || others.length > 0) {
  console.error(
    'expected npm run verify-beacon -- FILE, where FILE is what /api/sales/SALE/draw/file answers',
  );
  process.exit(2);
}
const { beacon, ...draw } = JSON.parse(readFileSync(file, 'utf8'));
const chain = beaconChain(process.env.DRAND_CHAIN ?? '');
try {
  if (!beacon) throw new Error('the draw depends on none');
  if (beacon.chain !== chain.hash) throw new Error(`it names the network ${beacon.chain}`);
  await verifyRound(chain, beacon.round, beacon);
  console.log(`yes  round ${beacon.round} is signed by the network`);
  const { round } = beacon;
  const [at, drawAt, frozenAt] = [new Date(beacon.at), new Date(draw.drawAt), new Date(draw.frozenAt)];
  const fault = faultOfRound(chain, { beacon: { round, at }, drawAt, frozenAt });
  if (fault) throw new Error(fault);
  const named = roundFor(chain, drawAt).round;
  if (beacon.round > named)
    console.log(`note it is later than round ${named}, which the sale named: the list was fixed late`);
} catch (error) {
  console.log(`NO   the random number is not proven: ${(error as Error).message}`);
  process.exitCode = 1;
}
