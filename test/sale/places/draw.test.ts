import { createHash } from 'node:crypto';
import { expect, test } from 'vitest';
import { commitmentOf, drawKeyOf, pseudonymOf } from '../../../sale/places/draw.ts';
import { shareOut } from '../../../sale/places/offers.ts';

const seedOf = (n: number) => createHash('sha256').update(`draw ${n}`).digest();
const entrants = (count: number) => {
  return Array.from({ length: count }, (_, n) => pseudonymOf(Buffer.alloc(32, 7), `person ${n}`));
};

/** By what a draw sorts the entrants, the lowest first. */
type KeyOf = (seed: Buffer, pseudonym: string, entrant: number) => string;

/** The entrants' numbers in the order in which they entered, from 0. */
function draw(seed: Buffer, pseudonyms: string[], keyOf: KeyOf = drawKeyOf): number[] {
  const keys = pseudonyms.map((name, n) => ({ n, key: keyOf(seed, name, n) }));
  keys.sort((one, other) => (one.key < other.key ? -1 : 1));
  const numbers: number[] = [];
  for (const [number, { n }] of keys.entries()) numbers[n] = number;
  return numbers;
}

/** Whoever enters first has two lots in every other draw. */
const biased: KeyOf = (seed, pseudonym, entrant) => {
  const key = drawKeyOf(seed, pseudonym);
  const second = drawKeyOf(seed, `${pseudonym} again`);
  return entrant === 0 && (seed[0] ?? 0) < 128 && second < key ? second : key;
};
/** The keys of early entries are a little lower. */
const drifting: KeyOf = (seed, pseudonym, entrant) => {
  const key = Number.parseInt(drawKeyOf(seed, pseudonym).slice(0, 8), 16);
  return (entrant < 200 ? key * 0.9 : key).toFixed(0).padStart(10, '0');
};

function chiSquared(counts: number[], expected: number): number {
  return counts.reduce((sum, count) => sum + (count - expected) ** 2 / expected, 0);
}

/** How far what the first, the last, and all together drew in many draws is from even. */
function unevennessOf(keyOf: KeyOf, draws: number): { first: number; last: number; orders: number } {
  const eight = entrants(8);
  const ofFirst = Array.from({ length: 8 }, () => 0);
  const ofLast = Array.from({ length: 8 }, () => 0);
  const orders = new Map<string, number>();
  for (let n = 0; n < draws; n++) {
    const numbers = draw(seedOf(n), eight, keyOf);
    for (const [counts, entrant] of [
      [ofFirst, 0],
      [ofLast, 7],
    ] as const) {
      const number = numbers[entrant] ?? 0;
      counts[number] = (counts[number] ?? 0) + 1;
    }
    const order = draw(seedOf(n), eight.slice(0, 5), keyOf).join();
    orders.set(order, (orders.get(order) ?? 0) + 1);
  }
  expect(orders.size).toBe(120);
  return {
    first: chiSquared(ofFirst, draws / 8),
    last: chiSquared(ofLast, draws / 8),
    orders: chiSquared([...orders.values()], draws / 120),
  };
}

/** The bounds are exceeded by a fair draw with a probability below 1e-6: 42 with 7 degrees of freedom, 209 with 119. */
test('everybody has the same chance of every number, and every order is as likely as any other', () => {
  const { first, last, orders } = unevennessOf(drawKeyOf, 24_000);
  expect([first < 42, last < 42, orders < 209]).toEqual([true, true, true]);
  expect(unevennessOf(biased, 6_000).first).toBeGreaterThan(42);
});

test('in a large draw, an early entry is drawn neither sooner nor later: Kolmogorov and Smirnov agree', () => {
  const crowd = entrants(2_000);
  const distanceOf = (keyOf: KeyOf) => {
    const early: number[] = [];
    for (let n = 0; n < 40; n++) early.push(...draw(seedOf(n), crowd, keyOf).slice(0, 200));
    early.sort((one, other) => one - other);
    const distances = early.map((number, n) => Math.abs((n + 0.5) / early.length - (number + 0.5) / 2_000));
    // Exceeded with a probability below 1e-6: the square root of ln(2 / 1e-6) / (2 n).
    return Math.max(...distances) / Math.sqrt(Math.log(2e6) / (2 * early.length));
  };
  expect(distanceOf(drawKeyOf)).toBeLessThan(1);
  expect(distanceOf(drifting)).toBeGreaterThan(1);
});

test('the arithmetic is plain SHA-256 and HMAC', () => {
  const seed = Buffer.from(`${'00'.repeat(31)}01`, 'hex');
  expect(commitmentOf(seed)).toBe('ec4916dd28fc4c10d78e287ca5d9cc51ee1ae73cbfde08c6b37324cbfaac8bc5');
  // RFC 4231, test case 2.
  expect(drawKeyOf(Buffer.from('Jefe'), 'what do ya want for nothing?')).toBe(
    '5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843',
  );
});

test('each gets what is left of what they ask for, in order, and nobody behind gets it first', () => {
  const asking = (name: string, ...lines: [string, number][]) => {
    return { name, lines: lines.map(([itemId, quantity]) => ({ itemId, quantity })) };
  };
  const left = new Map([
    ['1', 3],
    ['2', 1],
  ]);
  const shares = shareOut(
    [asking('a', ['1', 2]), asking('b', ['1', 2], ['2', 2]), asking('c', ['2', 1]), asking('d', ['3', 1])],
    left,
  );
  expect(shares.map(({ place, given }) => [place.name, given])).toEqual([
    ['a', [{ itemId: '1', quantity: 2 }]],
    [
      'b',
      [
        { itemId: '1', quantity: 1 },
        { itemId: '2', quantity: 1 },
      ],
    ],
  ]);
});

test('nobody gets more than their limits still allow, and those behind get it instead', () => {
  const asking = (room: number, ofItem: number, units: number) => {
    return {
      room: { units: room, items: new Map([['1', ofItem]]) },
      lines: [{ itemId: '1', quantity: units }],
    };
  };
  const places = [asking(2, 1, 2), asking(0, 1, 1), asking(3, 3, 3), asking(3, 3, 1)];
  const shares = shareOut(places, new Map([['1', 4]]), ({ room }) => room);
  expect(shares.map(({ place, given }) => [places.indexOf(place), given[0]?.quantity])).toEqual([
    [0, 1],
    [2, 3],
  ]);
});
