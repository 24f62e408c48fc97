import fc from 'fast-check';
import { expect, test } from 'vitest';
import { type Purchase, unitsIn } from '../../sale/contract.ts';
import { linesOf } from '../../sale/items.ts';
import {
  allowanceKey,
  claimsOf,
  codeHolderOf,
  decide,
  holderOf,
  type SaleLimits,
  type SettlementSnapshot,
  sumOf,
} from '../../sale/settlement/decide.ts';

/** The lamp has one item, the chair three; a purchase of a chair may ask for a fourth. */
const itemIds = { lamp: ['1'], chair: ['1', '2', '3'] };
const quantity = fc.integer({ min: 1, max: 6 });
const lines = fc.uniqueArray(fc.record({ itemId: fc.constantFrom('1', '2', '3', '4'), quantity }), {
  selector: ({ itemId }) => itemId,
  minLength: 1,
  maxLength: 3,
});

/** Few sales, persons and ids, so that purchases often share a stock, a limit or an id. */
const purchase: fc.Arbitrary<Purchase> = fc
  .record(
    {
      orderId: fc.integer({ min: 0, max: 30 }).map((n) => `order-${n}`),
      saleId: fc.constantFrom('lamp', 'chair', 'chair', 'no-such-sale'),
      buyerId: fc.constantFrom('ann', 'bob', 'cy'),
      // A person with another account, or with the id of an account that belongs to another person.
      personId: fc.constantFrom('ann', 'bob'),
      quantity,
      lines,
      code: fc.constantFrom('once', 'often', 'no-such-code'),
      idempotencyKey: fc.constant('a-key'),
      createdAt: fc.constant('2026-01-01T00:00:00.000Z'),
    },
    { requiredKeys: ['orderId', 'saleId', 'buyerId', 'quantity', 'idempotencyKey', 'createdAt'] },
  )
  .map((purchase) => ({
    ...purchase,
    quantity: purchase.lines ? unitsIn(purchase.lines) : purchase.quantity,
  }));

const stock = fc.integer({ min: 0, max: 20 });
const limit = fc.integer({ min: 1, max: 8 });
const saleOf = (ids: string[]): fc.Arbitrary<SaleLimits> =>
  fc
    .record({
      items: fc.array(
        fc.record({ stock, limitPerBuyer: fc.option(limit), amount: fc.constantFrom(0, 500) }),
        {
          minLength: ids.length,
          maxLength: ids.length,
        },
      ),
      limitPerBuyer: limit,
      paymentWindowSeconds: fc.constantFrom(0, 600),
      // Fewer than the items have: a process of the version before sold from the whole sale only.
      // A code that was revoked lets in nobody.
      once: fc.constantFrom(0, 1),
      often: fc.integer({ min: 1, max: 4 }),
      missing: fc.option(fc.integer({ min: 1, max: 5 }), { freq: 4 }),
    })
    .map(({ items, limitPerBuyer, paymentWindowSeconds, missing, once, often }) => ({
      stock: Math.max(0, items.reduce((sum, item) => sum + item.stock, 0) - (missing ?? 0)),
      limitPerBuyer,
      paymentWindowSeconds,
      items: new Map(items.map((item, n) => [ids[n] as string, item])),
      codes: new Map([
        ['once', once],
        ['often', often],
      ]),
    }));
const keys = (['lamp', 'chair'] as const).flatMap((saleId) => [
  ...['ann', 'bob', 'cy'].flatMap((id) => [
    allowanceKey(saleId, id),
    ...itemIds[saleId].map((itemId) => allowanceKey(saleId, holderOf(id, itemId))),
  ]),
  ...['once', 'often'].map((code) => allowanceKey(saleId, codeHolderOf(code))),
]);

const snapshot: fc.Arbitrary<SettlementSnapshot> = fc
  .record({
    lamp: saleOf(itemIds.lamp),
    chair: saleOf(itemIds.chair),
    units: fc.array(fc.integer({ min: 0, max: 8 }), { minLength: keys.length, maxLength: keys.length }),
    used: fc.constantFrom(0, 0, 1),
    settled: fc.uniqueArray(fc.integer({ min: 0, max: 30 }), { maxLength: 5 }),
  })
  .map(({ lamp, chair, units, used, settled }) => ({
    sales: new Map([
      ['lamp', lamp],
      ['chair', chair],
    ]),
    allowances: new Map(
      keys.map((key, index) => [key, key.includes(codeHolderOf('')) ? used : (units[index] ?? 0)]),
    ),
    settledOrderIds: new Set(settled.map((n) => `order-${n}`)),
  }));

const crowd = fc.array(purchase, { maxLength: 60 });
const check = (holds: (purchases: Purchase[], snapshot: SettlementSnapshot) => void) =>
  fc.assert(fc.property(crowd, snapshot, holds), { numRuns: 500 });

const sum = (numbers: Iterable<number>) => [...numbers].reduce((total, number) => total + number, 0);

test('never sells more units than there are, and counts what it sells', () => {
  check((purchases, snapshot) => {
    const { outcomes, sold } = decide(purchases, snapshot);
    for (const [saleId, { stock, items }] of snapshot.sales) {
      const paid = outcomes.filter(
        ({ purchase, status }) => status !== 'rejected' && purchase.saleId === saleId,
      );
      const units = sum(paid.map(({ purchase }) => purchase.quantity));
      expect(units).toBeLessThanOrEqual(stock);
      expect(sumOf(sold.get(saleId) ?? new Map())).toBe(units);
      for (const [itemId, item] of items) {
        const asked = paid
          .flatMap(({ purchase }) => linesOf(purchase))
          .filter((line) => line.itemId === itemId);
        expect(unitsIn(asked)).toBeLessThanOrEqual(item.stock);
        expect(sold.get(saleId)?.get(itemId) ?? 0).toBe(unitsIn(asked));
      }
    }
    expect([...sold.values()].every((units) => sumOf(units) > 0)).toBe(true);
  });
});

test('never lets a person or a code past the limit, over all accounts, and counts what each one takes', () => {
  check((purchases, snapshot) => {
    const { outcomes, taken } = decide(purchases, snapshot);
    const paid = new Map<string, number>();
    for (const { purchase, status } of outcomes) {
      const sale = snapshot.sales.get(purchase.saleId);
      for (const { holder, units } of sale && status !== 'rejected' ? claimsOf(purchase, sale) : []) {
        const key = allowanceKey(purchase.saleId, holder);
        paid.set(key, (paid.get(key) ?? 0) + units);
      }
    }
    expect(taken).toEqual(paid);
    for (const [key, units] of taken) {
      const [saleId = '', holder = '', part = ''] = key.split(':');
      const sale = snapshot.sales.get(saleId);
      const ofCode = holder === 'code' ? sale?.codes?.get(part) : undefined;
      const limit =
        holder === 'code' ? ofCode : part ? sale?.items.get(part)?.limitPerBuyer : sale?.limitPerBuyer;
      expect((snapshot.allowances.get(key) ?? 0) + units).toBeLessThanOrEqual(limit ?? 0);
    }
  });
});

test('gives each unsettled purchase exactly one outcome, in the order of arrival', () => {
  check((purchases, snapshot) => {
    const { outcomes } = decide(purchases, snapshot);
    const fresh = purchases.map(({ orderId }) => orderId).filter((id) => !snapshot.settledOrderIds.has(id));
    expect(outcomes.map(({ purchase }) => purchase.orderId)).toEqual([...new Set(fresh)]);
    for (const { status, reason } of outcomes) expect(reason === null).toBe(status !== 'rejected');
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
    const sold = new Map<string, number>();
    const soldOf = (saleId: string, itemId: string) => sold.get(`${saleId}:${itemId}`) ?? 0;
    for (const { purchase, reason } of decide(purchases, snapshot).outcomes) {
      const { saleId, quantity } = purchase;
      const [sale, lines] = [snapshot.sales.get(saleId), linesOf(purchase)];
      const claims = sale ? claimsOf(purchase, sale) : [];
      const keyOf = ({ holder }: { holder: string }) => allowanceKey(saleId, holder);
      const over = claims.find((claim) => (has.get(keyOf(claim)) ?? 0) + claim.units > claim.limit);
      const isOfCode = over?.holder === codeHolderOf(purchase.code ?? '');
      const isClear = purchase.lines || sale?.items.size === 1;
      const areFew = (line: { itemId: string; quantity: number }) =>
        line.quantity > (sale?.items.get(line.itemId)?.stock ?? 0) - soldOf(saleId, line.itemId);
      const truth = !sale
        ? 'unknown_sale'
        : !isClear || lines.some(({ itemId }) => !sale.items.has(itemId))
          ? 'unknown_item'
          : over
            ? isOfCode
              ? 'code_used'
              : 'over_limit'
            : quantity > (left.get(saleId) ?? 0) || lines.some(areFew)
              ? 'sold_out'
              : null;
      expect(reason).toBe(truth);
      if (truth) continue;
      left.set(saleId, (left.get(saleId) ?? 0) - quantity);
      for (const claim of claims) has.set(keyOf(claim), (has.get(keyOf(claim)) ?? 0) + claim.units);
      for (const { itemId, quantity } of lines)
        sold.set(`${saleId}:${itemId}`, soldOf(saleId, itemId) + quantity);
    }
  });
});

test('holds what is to be paid within a window, and nothing else', () => {
  check((purchases, snapshot) => {
    for (const { purchase, status } of decide(purchases, snapshot).outcomes) {
      const sale = snapshot.sales.get(purchase.saleId);
      if (!sale || status === 'rejected') continue;
      const costs = linesOf(purchase).some(({ itemId }) => sale.items.get(itemId)?.amount !== 0);
      expect(status).toBe(sale.paymentWindowSeconds > 0 && costs ? 'held' : 'paid');
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
      [...snapshot.sales].map(([id, { stock, items, ...sale }]) => {
        const ofSale = sold.get(id) ?? new Map<string, number>();
        const left = [...items].map(([itemId, item]) => {
          return [itemId, { ...item, stock: item.stock - (ofSale.get(itemId) ?? 0) }] as const;
        });
        return [id, { ...sale, stock: stock - sumOf(ofSale), items: new Map(left) }];
      }),
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
  const items = new Map([['1', { stock: 3, limitPerBuyer: null, amount: 500 }]]);
  const sales = new Map([['lamp', { stock: 3, limitPerBuyer: 5, paymentWindowSeconds: 0, items }]]);
  const crowd = [ask('1', 'ann', 2), ask('2', 'bob', 2), ask('3', 'cy', 1), ask('4', 'dee', 1)];
  const { outcomes } = decide(crowd, { sales, allowances: new Map(), settledOrderIds: new Set() });
  expect(outcomes.map(({ purchase, status, reason }) => [purchase.orderId, status, reason])).toEqual([
    ['1', 'paid', null],
    ['2', 'rejected', 'sold_out'],
    ['3', 'paid', null],
    ['4', 'rejected', 'sold_out'],
  ]);
});

test('sells in a sale with a waiting room only to people who were called, by any of their accounts', () => {
  const items = new Map([['1', { stock: 9, limitPerBuyer: null, amount: 500 }]]);
  const terms = { stock: 9, limitPerBuyer: 5, paymentWindowSeconds: 0, items };
  const sales = new Map([['lamp', { ...terms, called: new Set(['ann']) }]]);
  const ask = (orderId: string, buyer: Pick<Purchase, 'buyerId' | 'personId'>): Purchase => {
    return { orderId, saleId: 'lamp', ...buyer, quantity: 1, idempotencyKey: 'k', createdAt: '' };
  };
  const ann2 = { buyerId: 'ann-2', personId: 'ann' };
  const crowd = [ask('1', { buyerId: 'ann' }), ask('2', { buyerId: 'bob' }), ask('3', ann2)];
  const { outcomes } = decide(crowd, { sales, allowances: new Map(), settledOrderIds: new Set() });
  expect(outcomes.map(({ reason }) => reason)).toEqual([null, 'sold_out', null]);
});
