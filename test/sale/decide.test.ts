import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { Purchase } from '../../sale/contract.ts';
import { allowanceKey, decide, personOf, type SettlementSnapshot } from '../../sale/settlement/decide.ts';

/** Few sales, persons and ids, so that purchases often share a stock, a limit or an id. */
const purchase: fc.Arbitrary<Purchase> = fc.record(
  {
    orderId: fc.integer({ min: 0, max: 30 }).map((n) => `order-${n}`),
    saleId: fc.constantFrom('lamp', 'chair', 'no-such-sale'),
    buyerId: fc.constantFrom('ann', 'bob', 'cy'),
    // A person with another account, or with the id of an account that belongs to another person.
    personId: fc.constantFrom('ann', 'bob'),
    quantity: fc.integer({ min: 1, max: 6 }),
    idempotencyKey: fc.constant('a-key'),
    createdAt: fc.constant('2026-01-01T00:00:00.000Z'),
  },
  { requiredKeys: ['orderId', 'saleId', 'buyerId', 'quantity', 'idempotencyKey', 'createdAt'] },
);
const sale = fc.record({
  stock: fc.integer({ min: 0, max: 20 }),
  limitPerBuyer: fc.integer({ min: 1, max: 8 }),
});
const keys = ['lamp', 'chair'].flatMap((saleId) =>
  ['ann', 'bob', 'cy'].map((id) => allowanceKey(saleId, id)),
);

const snapshot: fc.Arbitrary<SettlementSnapshot> = fc
  .record({
    lamp: sale,
    chair: sale,
    units: fc.array(fc.integer({ min: 0, max: 8 }), { minLength: keys.length, maxLength: keys.length }),
    settled: fc.uniqueArray(fc.integer({ min: 0, max: 30 }), { maxLength: 5 }),
  })
  .map(({ lamp, chair, units, settled }) => ({
    sales: new Map([
      ['lamp', lamp],
      ['chair', chair],
    ]),
    allowances: new Map(keys.map((key, index) => [key, units[index] ?? 0])),
    settledOrderIds: new Set(settled.map((n) => `order-${n}`)),
  }));

const crowd = fc.array(purchase, { maxLength: 60 });
const check = (holds: (purchases: Purchase[], snapshot: SettlementSnapshot) => void) =>
  fc.assert(fc.property(crowd, snapshot, holds), { numRuns: 500 });

const sum = (numbers: Iterable<number>) => [...numbers].reduce((total, number) => total + number, 0);

test('never sells more units than there are, and counts what it sells', () => {
  check((purchases, snapshot) => {
    const { outcomes, sold } = decide(purchases, snapshot);
    for (const [saleId, { stock }] of snapshot.sales) {
      const paid = outcomes.filter(({ purchase, status }) => status === 'paid' && purchase.saleId === saleId);
      const units = sum(paid.map(({ purchase }) => purchase.quantity));
      expect(units).toBeLessThanOrEqual(stock);
      expect(sold.get(saleId) ?? 0).toBe(units);
    }
    expect([...sold.values()].every((units) => units > 0)).toBe(true);
  });
});

test('never lets a person past the limit, over all accounts, and counts what each one takes', () => {
  check((purchases, snapshot) => {
    const { outcomes, taken } = decide(purchases, snapshot);
    const paid = new Map<string, number>();
    for (const { purchase, status } of outcomes) {
      const key = allowanceKey(purchase.saleId, personOf(purchase));
      if (status === 'paid') paid.set(key, (paid.get(key) ?? 0) + purchase.quantity);
    }
    expect(taken).toEqual(paid);
    for (const [key, units] of taken) {
      const limit = snapshot.sales.get(key.split(':')[0] ?? '')?.limitPerBuyer ?? 0;
      expect((snapshot.allowances.get(key) ?? 0) + units).toBeLessThanOrEqual(limit);
    }
  });
});

test('gives each unsettled purchase exactly one outcome, in the order of arrival', () => {
  check((purchases, snapshot) => {
    const { outcomes } = decide(purchases, snapshot);
    const fresh = purchases.map(({ orderId }) => orderId).filter((id) => !snapshot.settledOrderIds.has(id));
    expect(outcomes.map(({ purchase }) => purchase.orderId)).toEqual([...new Set(fresh)]);
    for (const { status, reason } of outcomes) expect(reason === null).toBe(status === 'paid');
  });
});

test('decides each purchase by those before it, never by later ones', () => {
  check((purchases, snapshot) => {
    const all = decide(purchases, snapshot).outcomes;
    const first = decide(purchases.slice(0, Math.ceil(purchases.length / 2)), snapshot).outcomes;
    expect(all.slice(0, first.length)).toEqual(first);
  });
});

test('refuses only for a reason that is true at its turn, and never fulfils a purchase in part', () => {
  check((purchases, snapshot) => {
    const left = new Map([...snapshot.sales].map(([saleId, { stock }]) => [saleId, stock]));
    const has = new Map(snapshot.allowances);
    for (const { purchase, reason } of decide(purchases, snapshot).outcomes) {
      const { saleId, quantity } = purchase;
      const key = allowanceKey(saleId, personOf(purchase));
      const limit = snapshot.sales.get(saleId)?.limitPerBuyer ?? 0;
      const truth = !snapshot.sales.has(saleId)
        ? 'unknown_sale'
        : (has.get(key) ?? 0) + quantity > limit
          ? 'over_limit'
          : quantity > (left.get(saleId) ?? 0)
            ? 'sold_out'
            : null;
      expect(reason).toBe(truth);
      if (truth) continue;
      left.set(saleId, (left.get(saleId) ?? 0) - quantity);
      has.set(key, (has.get(key) ?? 0) + quantity);
    }
  });
});

test('decides nothing for a batch that was settled before', () => {
  check((purchases, snapshot) => {
    const { outcomes, sold, taken } = decide(purchases, snapshot);
    const settledOrderIds = new Set([
      ...snapshot.settledOrderIds,
      ...outcomes.map(({ purchase }) => purchase.orderId),
    ]);
    const sales = new Map(
      [...snapshot.sales].map(([id, { stock, limitPerBuyer }]) => [
        id,
        { stock: stock - (sold.get(id) ?? 0), limitPerBuyer },
      ]),
    );
    const allowances = new Map([...snapshot.allowances].map(([key, n]) => [key, n + (taken.get(key) ?? 0)]));
    const again = decide(purchases, { sales, allowances, settledOrderIds });
    expect(again).toEqual({ outcomes: [], sold: new Map(), taken: new Map() });
  });
});

test('sells the last unit to the first buyer who asks for one, and skips one who asks for too many', () => {
  const ask = (orderId: string, buyerId: string, quantity: number): Purchase => {
    return { orderId, saleId: 'lamp', buyerId, quantity, idempotencyKey: 'k', createdAt: '' };
  };
  const sales = new Map([['lamp', { stock: 3, limitPerBuyer: 5 }]]);
  const crowd = [ask('1', 'ann', 2), ask('2', 'bob', 2), ask('3', 'cy', 1), ask('4', 'dee', 1)];
  const { outcomes } = decide(crowd, { sales, allowances: new Map(), settledOrderIds: new Set() });
  expect(outcomes.map(({ purchase, status, reason }) => [purchase.orderId, status, reason])).toEqual([
    ['1', 'paid', null],
    ['2', 'rejected', 'sold_out'],
    ['3', 'paid', null],
    ['4', 'rejected', 'sold_out'],
  ]);
});
