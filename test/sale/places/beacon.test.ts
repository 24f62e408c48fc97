import { expect, test } from 'vitest';
import {
  type BeaconChain,
  beaconChain,
  faultOfRound,
  isLate,
  notHere,
  roundFor,
  verifyRound,
} from '../../../sale/places/beacon.ts';
import { recordedChain, recordedChainText, recordedRound } from '../../support/recorded-beacon.ts';

test('the round of a draw is a minute after the end of the entries, or up to one period more', () => {
  const chain: BeaconChain = { ...recordedChain, genesisSeconds: 1_000, periodSeconds: 3 };
  // Round 1 is at the genesis.
  expect(roundFor(chain, new Date(1_000_000))).toEqual({
    chain: chain.hash,
    round: 21,
    at: new Date(1_060_000),
  });
  expect(roundFor(chain, new Date(1_000_001))).toMatchObject({ round: 22, at: new Date(1_063_000) });
  const inAYear = new Date(Date.now() + 31_536_000_000);
  const { round, at } = roundFor(beaconChain(''), inAYear);
  expect(at.getTime() - inAYear.getTime()).toBeGreaterThanOrEqual(60_000);
  expect(at.getTime() - inAYear.getTime()).toBeLessThanOrEqual(63_000);
  expect(round).toBeGreaterThan(30_000_000);
});

test('another chain is given as a text', () => {
  expect(beaconChain(recordedChainText)).toEqual(recordedChain);
});

test('a recorded round is verified, and one with anything changed is not', async () => {
  const { round, randomness, signature } = recordedRound;
  await expect(verifyRound(recordedChain, round, recordedRound)).resolves.toEqual(recordedRound);
  const flip = (hex: string) => hex.replace(/^./, (digit) => (digit === '9' ? '8' : '9'));
  for (const [wanted, forged] of [
    [round + 1, recordedRound],
    [round + 1, { ...recordedRound, round: round + 1 }],
    [round, { ...recordedRound, randomness: flip(randomness) }],
    [round, { ...recordedRound, signature: flip(signature) }],
    [round, {} as typeof recordedRound],
    // Another spelling of the same number would be other bytes in the draw's key.
    [round, { ...recordedRound, randomness: randomness.toUpperCase() }],
    [round, { ...recordedRound, signature: `${signature}zz` }],
  ] as const)
    await expect(verifyRound(recordedChain, wanted, forged)).rejects.toThrow();
  await expect(verifyRound(beaconChain(''), round, recordedRound)).rejects.toThrow();
});

test('a round counts that is the named one or later, at its own time, and later than the list', () => {
  const chain: BeaconChain = { ...recordedChain, genesisSeconds: 1_000, periodSeconds: 3 };
  const drawAt = new Date(1_000_000);
  const draw = { drawAt, frozenAt: new Date(1_001_000), beacon: roundFor(chain, drawAt) };
  expect(faultOfRound(chain, draw)).toBeNull();
  expect(faultOfRound(chain, { ...draw, beacon: roundFor(chain, new Date(1_100_000)) })).toBeNull();
  const known = { ...draw.beacon, round: 5 };
  expect(faultOfRound(chain, { ...draw, beacon: known })).toContain('round 5 is of');
  const earlier = { ...draw.beacon, round: 20, at: new Date(1_057_000) };
  expect(faultOfRound(chain, { ...draw, beacon: earlier })).toContain('earlier than round 21');
  expect(faultOfRound(chain, { ...draw, frozenAt: draw.beacon.at })).toContain('the list was fixed after');
});

test('a round is late half a minute after its time, unless it is here or given up', () => {
  const at = new Date(1_000_000);
  const late = new Date(1_030_000);
  expect(isLate({ ...notHere, at }, new Date(1_029_999))).toBe(false);
  expect(isLate({ ...notHere, at }, late)).toBe(true);
  expect(isLate({ ...notHere, at, randomness: 'ab' }, late)).toBe(false);
  expect(isLate({ ...notHere, at, waivedAt: at }, late)).toBe(false);
});
