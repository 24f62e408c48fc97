import { describe, expect, test } from 'vitest';
import { isUnderWay, moneyOutcome, refundedOf, spokenSeconds } from '../../public/orders/order-story.js';
import { buyState, remainingFor, statusNow } from '../../public/sale/buy-state.js';
import { openShownStock } from '../../public/sale/shown-stock.js';
import { amountOf, itemName, itemsOf, linesOf, lowestPrice, withStock } from '../../public/shared/items.js';
import type { Order, OrderPayment, SaleItem, SaleSnapshot } from '../../sale/contract.ts';

const now = Date.parse('2030-05-01T12:00:00Z');
const product = { id: 'lamp', name: 'A lamp', description: '', image: '', images: [] };
const euros = (amount: number) => ({ amount, currency: 'EUR' });

const item = (id: string, stock: number, more: Partial<SaleItem> = {}): SaleItem => {
  const label = `Size ${id}`;
  return {
    id,
    product,
    label,
    price: euros(4_900),
    oldPrice: null,
    stock,
    unitsOnSale: 9,
    limitPerBuyer: null,
    ...more,
  };
};

/** With the fields that buying needs. */
function saleOf(...items: SaleItem[]): SaleSnapshot {
  const sale: Partial<SaleSnapshot> = {
    id: 'a-sale',
    product,
    price: items[0]?.price ?? euros(0),
    oldPrice: null,
    items,
    status: 'open',
    opensAt: '2030-05-01T11:00:00Z',
    closesAt: '2030-05-01T13:00:00Z',
    stock: items.reduce((sum, { stock }) => sum + stock, 0),
    stockVersion: 1,
    unitsOnSale: 9 * items.length,
    limitPerBuyer: 3,
    serverTime: '2030-05-01T12:00:00Z',
  };
  return sale as SaleSnapshot;
}

const paid = (...lines: Order['lines']): Order => ({
  id: 'an-order',
  saleId: 'a-sale',
  quantity: lines.reduce((sum, { quantity }) => sum + quantity, 0),
  lines,
  amount: lines.reduce((sum, { amount }) => sum + (amount ?? 0), 0),
  currency: 'EUR',
  status: 'paid',
  reason: null,
  createdAt: '2030-05-01T11:30:00Z',
  settledAt: '2030-05-01T11:30:00Z',
  holdExpiresAt: null,
});
const line = (itemId: string, quantity: number) => ({
  itemId,
  label: `Size ${itemId}`,
  quantity,
  amount: 4_900 * quantity,
});

describe('the button of a sale with several items', () => {
  const stateOf = (sale: SaleSnapshot, chosen: string | null, orders: Order[] = []) =>
    buyState({
      sale,
      choice: itemsOf(sale).find(({ id }) => id === chosen) ?? null,
      now,
      isReachable: true,
      isSignedIn: true,
      progress: null,
      orders,
      wantsMore: true,
    });

  test('waits for a choice, and asks for another when the chosen item is sold out', () => {
    const sale = saleOf(item('1', 2), item('2', 0));
    expect(stateOf(sale, null)).toBe('choose');
    expect(stateOf(sale, '1')).toBe('buy');
    expect(stateOf(sale, '2')).toBe('choose-another');
    expect(stateOf(saleOf(item('1', 0), item('2', 0)), '2')).toBe('sold-out');
  });

  test('keeps the limit of the item and that of the sale', () => {
    const sale = saleOf(item('1', 5, { limitPerBuyer: 1 }), item('2', 5));
    const orders = [paid(line('1', 1))];
    expect(itemsOf(sale).map((one) => remainingFor(sale, orders, one))).toEqual([0, 2]);
    expect(stateOf(sale, '1', orders)).toBe('over-limit');
    expect(stateOf(sale, '2', orders)).toBe('buy');
    expect(stateOf(sale, '2', [paid(line('1', 1), line('2', 2))])).toBe('over-limit');
  });
});

test('a sale without units left is sold out, but not in front of another site, where nothing is sold', () => {
  const soldOut = saleOf(item('1', 0));
  const inFront = {
    ...soldOut,
    mode: 'room' as const,
    site: { url: 'https://shop.example/drop', inside: 9 },
  };
  expect([soldOut, inFront].map((sale) => statusNow(sale, now))).toEqual(['sold_out', 'open']);
  const circumstances = {
    now,
    isReachable: true,
    isSignedIn: false,
    progress: null,
    orders: [],
    wantsMore: false,
  };
  const [choice = null] = itemsOf(inFront);
  expect(buyState({ ...circumstances, sale: inFront, choice })).toBe('sign-in');
});

test('the button of a held order leads to its payment until the buyer wants more', () => {
  const sale = saleOf(item('1', 5));
  const held: Order = { ...paid(line('1', 1)), status: 'held', holdExpiresAt: '2030-05-01T12:10:00Z' };
  const around = {
    sale,
    choice: sale.items[0] ?? null,
    now,
    isReachable: true,
    isSignedIn: true,
    progress: null,
  };
  expect(buyState({ ...around, orders: [held], wantsMore: false })).toBe('held');
  expect(buyState({ ...around, orders: [held], wantsMore: true })).toBe('buy');
});

describe('the money of an order', () => {
  const payment: OrderPayment = {
    paymentId: 'an-order.1',
    provider: 'simulated',
    state: 'voided',
    amount: 4_900,
    currency: 'EUR',
    capturedAmount: 0,
    returnedAmount: 0,
    capturedAt: null,
  };
  const taken = { ...payment, state: 'captured' as const, capturedAmount: 4_900 };

  test('was never asked for, is released, is on its way back, or went back', () => {
    expect(moneyOutcome([])).toEqual({ kind: 'none' });
    expect(moneyOutcome([payment])).toEqual({ kind: 'released' });
    expect(moneyOutcome([taken, payment])).toEqual({ kind: 'returning', money: euros(4_900) });
    expect(moneyOutcome([{ ...taken, state: 'refunded' }])).toEqual({
      kind: 'returned',
      money: euros(4_900),
    });
  });

  test('counts what went back of a paid order once, whoever says it first', () => {
    const order = paid(line('1', 1));
    expect(refundedOf(order, [{ ...taken, returnedAmount: 1_000 }])).toBe(1_000);
    expect(refundedOf({ ...order, refundedAmount: 1_000 }, [{ ...taken, returnedAmount: 1_000 }])).toBe(
      1_000,
    );
    expect(refundedOf({ ...order, refundedAmount: 500 }, [taken])).toBe(500);
  });

  test('is under way while the provider works on it', () => {
    expect(isUnderWay([{ ...payment, state: 'started', isProcessing: true }])).toBe(true);
    expect(isUnderWay([{ ...payment, state: 'authorised' }])).toBe(true);
    expect(isUnderWay([{ ...payment, state: 'failed' }])).toBe(false);
    expect(isUnderWay([])).toBe(false);
  });

  test('is spoken of rarely while its time runs', () => {
    const spoken = Array.from({ length: 600 }, (_, second) => spokenSeconds((600 - second) * 1_000));
    expect([...new Set(spoken)]).toEqual([600, 300, 120, 60, 30, 10]);
  });
});

describe('the stock that a page shows', () => {
  test('is no more than a refusal said, until it is settled', () => {
    const sale = saleOf(item('1', 216), item('2', 4));
    const stock = openShownStock();
    stock.limit('1', 0, now);
    expect(stock.of(sale, now)).toMatchObject({ stock: 4, items: [{ stock: 0 }, { stock: 4 }] });
    const settled = withStock(sale, { stock: 104, stockVersion: 2, items: [{ id: '1', stock: 100 }] });
    stock.update(sale, settled, now + 4_000);
    expect(stock.of(settled, now + 8_000).stock).toBe(4);
    expect(stock.of(settled, now + 9_001).stock).toBe(104);
  });

  test('shows units that came back at once, and not those that others have bought and that are not settled', () => {
    const sale = saleOf(item('1', 3));
    const stock = openShownStock();
    stock.limit('1', 1, now);
    expect(stock.of(sale, now).stock).toBe(1);
    const more = { ...sale, stock: 4 };
    stock.update(sale, more, now);
    expect(stock.of(more, now).stock).toBe(2);
    const settled = { ...sale, stock: 2 };
    stock.update(more, settled, now);
    expect(stock.of({ ...settled, stock: 4 }, now).stock).toBe(4);
  });

  test('makes a sale sold out whose every item was refused', () => {
    const sale = saleOf(item('1', 216));
    const stock = openShownStock();
    stock.limit('1', 0, now);
    expect(statusNow(stock.of(sale, now), now)).toBe('sold_out');
  });
});

describe('items and lines', () => {
  test('a stock message tells the stock of each item, and of the only one by the sale’s', () => {
    const several = withStock(saleOf(item('1', 5), item('2', 5)), {
      stock: 7,
      stockVersion: 2,
      items: [{ id: '2', stock: 2 }],
    });
    expect(several).toMatchObject({ stock: 7, stockVersion: 2 });
    expect(itemsOf(several).map(({ stock }) => stock)).toEqual([5, 2]);
    expect(itemsOf(withStock(saleOf(item('1', 5)), { stock: 4, stockVersion: 2 }))).toMatchObject([
      { stock: 4 },
    ]);
  });

  test('a snapshot and an order of the version before have one item and one line', () => {
    const { items: _, ...before } = saleOf(item('1', 5));
    const sale = before as SaleSnapshot;
    expect(itemsOf(sale)).toMatchObject([{ id: '1', label: '', stock: 5, price: euros(4_900) }]);
    const lines = linesOf({ quantity: 2 }, sale);
    expect(lines).toMatchObject([{ name: '', quantity: 2, money: euros(9_800) }]);
    expect(amountOf({}, lines)).toEqual(euros(9_800));
  });

  test('an order shows what it cost, whatever the items cost now', () => {
    const sale = saleOf(item('1', 5, { price: euros(1) }), item('2', 5));
    const order = paid(line('1', 2), line('2', 1));
    const lines = linesOf(order, sale);
    expect(lines).toMatchObject([
      { name: 'Size 1', quantity: 2, money: euros(9_800) },
      { name: 'Size 2', quantity: 1, money: euros(4_900) },
    ]);
    expect(amountOf(order, lines)).toEqual(euros(14_700));
    expect(linesOf(order, null)).toMatchObject([{ name: 'Size 1' }, { name: 'Size 2' }]);
    expect(lowestPrice(sale)).toEqual({ price: euros(1), isOnly: false });
  });

  test('items of several products are named by both', () => {
    const radio = { id: 'radio', name: 'A radio', image: '' };
    const sale = saleOf(item('1', 5), item('2', 5, { product: radio, label: '' }));
    expect(itemsOf(sale).map((one) => itemName(sale, one))).toEqual(['A lamp · Size 1', 'A radio']);
  });
});
