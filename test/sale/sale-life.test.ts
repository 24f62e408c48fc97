import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { waitUntil } from '../../ops/local/processes/process.mjs';
import type { Product, SaleItem, SalePage, SaleSnapshot } from '../../sale/contract.ts';
import { startSystem, type TestSystem } from '../support/harness.ts';

let system: TestSystem;
let product: Product;
beforeAll(async () => {
  system = await startSystem({ nginx: false });
  product = (await system.api('POST', '/api/products', asAdmin({ name: 'A lamp' }))).body;
});
afterAll(() => system.close());

const hourMs = 3_600_000;
const inHours = (hours: number) => new Date(Date.now() + hours * hourMs).toISOString();
const asAdmin = (body?: unknown, headers = {}) => ({ token: system.adminToken, body, headers });

const newDraft = (more: object = {}) => ({
  ...{ draft: true, productId: product.id, price: { amount: 4_900, currency: 'EUR' }, stock: 10 },
  ...{ limitPerBuyer: 2, opensAt: inHours(-1), closesAt: inHours(1), ...more },
});
async function createDraft(more: object = {}): Promise<SaleSnapshot> {
  const { status, body } = await system.api('POST', '/api/sales', asAdmin(newDraft(more)));
  expect([status, body.status], JSON.stringify(body)).toEqual([201, 'draft']);
  return body;
}
const publish = (id: string, headers = {}) =>
  system.api('POST', `/api/sales/${id}/publication`, asAdmin(undefined, headers));
const patch = (id: string, body: object, headers = {}) =>
  system.api('PATCH', `/api/sales/${id}`, asAdmin(body, headers));
const read = async (id: string) => (await system.api<SaleSnapshot>('GET', `/api/sales/${id}`)).body;
const buy = (id: string, quantity = 1, token = system.buyerToken()) => system.buy(id, token, { quantity });
const problem = (status: number, type: string, field?: string) => ({
  ...{ status, body: { type: `/problems/${type}`, ...(field && { errors: [{ field }] }) } },
});

describe('a draft', () => {
  test('is seen by staff alone, and cannot be bought, listed or watched', async () => {
    const { id } = await createDraft();
    const path = `/api/sales/${id}`;
    expect(await system.api('GET', path)).toMatchObject(problem(404, 'not-found'));
    expect(await system.api('GET', path, { token: system.buyerToken() })).toMatchObject({ status: 404 });
    const shown = await system.api('GET', path, asAdmin());
    expect(shown).toMatchObject({ status: 200, body: { status: 'draft', stock: 10 } });
    expect(await buy(id)).toMatchObject(problem(404, 'not-found'));
    const { body: list } = await system.api<SalePage>('GET', '/api/sales');
    expect(list.sales.map((sale) => sale.id)).not.toContain(id);
    const { body: drafts } = await system.api<SalePage>('GET', '/api/admin/drafts', asAdmin());
    expect(drafts.sales.map((sale) => sale.id)).toContain(id);
    expect(await system.store.redis.exists(system.store.gate.keyOf(id))).toBe(0);
    for (const [method, at] of [
      ['POST', `${path}/publication`],
      ['POST', `${path}/duplicates`],
      ['POST', `${path}/call-off`],
      ['DELETE', path],
      ['GET', '/api/admin/drafts'],
    ] as const) {
      expect(await system.api(method, at, { token: system.buyerToken() })).toMatchObject({ status: 403 });
    }
  });

  test('is made once with an Idempotency-Key, also when it was published meanwhile', async () => {
    const make = (stock: number) =>
      system.api('POST', '/api/sales', asAdmin(body(stock), { 'Idempotency-Key': 'one' }));
    const window = { opensAt: inHours(-1), closesAt: inHours(1) };
    const body = (stock: number) => newDraft({ stock, ...window });
    const [first, again] = [await make(5), await make(5)];
    expect([again.status, again.body.id]).toEqual([201, first.body.id]);
    expect(await make(6)).toMatchObject(problem(422, 'key-reused'));
    await publish(first.body.id);
    expect(await make(5)).toMatchObject({ status: 201, body: { id: first.body.id, status: 'open' } });
  });

  test('can be mended in everything, published once and then bought', async () => {
    const { id } = await createDraft({ stock: 1, limitPerBuyer: 1 });
    const items = ['S', 'L'].map((label, n) => ({
      ...{ productId: product.id, label, price: { amount: 100 * (n + 1), currency: 'CHF' }, stock: 3 },
    }));
    const mended = await patch(id, { items, limitPerBuyer: 4, closesAt: inHours(5) });
    expect(mended).toMatchObject({
      ...{ status: 200 },
      body: { status: 'draft', unitsOnSale: 6, limitPerBuyer: 4, items: [{ id: '1' }, { id: '2' }] },
    });
    const cheaper = await patch(id, { itemId: '2', price: { amount: 150, currency: 'CHF' }, oldAmount: 200 });
    expect(cheaper.body.items[1]).toMatchObject({ price: { amount: 150 }, oldPrice: { amount: 200 } });
    const times = await Promise.all([publish(id), publish(id), publish(id)]);
    expect(times.map(({ status, body }) => [status, body.status])).toEqual(Array(3).fill([200, 'open']));
    const log = await system.store.collections.events.find({ saleId: id }).toArray();
    expect(log.flatMap(({ changes }) => changes.map(({ type }) => type))).toEqual([
      'sale.created',
      'sale.opened',
    ]);
    expect(await system.api('DELETE', `/api/sales/${id}`, asAdmin())).toMatchObject(
      problem(409, 'already-published'),
    );
    expect((await read(id)).items.map((item) => item.label)).toEqual(['S', 'L']);
  });

  test('is not published when it has changed since it was confirmed, or would be over', async () => {
    const { id } = await createDraft();
    const { headers } = await system.api('GET', `/api/sales/${id}`, asAdmin());
    const seen = { 'If-Match': headers.get('etag') ?? '' };
    await patch(id, { price: { amount: 5_900, currency: 'EUR' } });
    expect(await publish(id, seen)).toMatchObject(problem(412, 'precondition-failed'));
    const now = await system.api('GET', `/api/sales/${id}`, asAdmin());
    // A proxy that compresses marks an ETag as weak.
    const weak = { 'If-Match': `W/${now.headers.get('etag')}` };
    expect(await publish(id, weak)).toMatchObject({ status: 200, body: { price: { amount: 5_900 } } });
    const late = await createDraft({ closesAt: inHours(-0.5) });
    expect(await publish(late.id)).toMatchObject(problem(400, 'invalid-input', 'closesAt'));
    expect(await publish('no-such-sale')).toMatchObject(problem(404, 'not-found'));
  });

  test('is deleted without a trace', async () => {
    const { id } = await createDraft();
    expect(await system.api('DELETE', `/api/sales/${id}`, asAdmin())).toMatchObject({ status: 204 });
    expect(await system.api('DELETE', `/api/sales/${id}`, asAdmin())).toMatchObject({ status: 404 });
    expect(await publish(id)).toMatchObject({ status: 404 });
  });

  test.each([
    ['price.amount', { price: { amount: 0, currency: 'EUR' } }],
    ['oldAmount', { oldAmount: 4_900 }],
    ['limitPerBuyer', { limitPerBuyer: 11 }],
    ['closesAt', { closesAt: '2020-01-01T00:00:00Z' }],
    ['closesAt', { closesAt: '2030-01-01T00:00:00' }],
    ['price.currency', { price: { amount: 1, currency: 'EUX' } }],
    ['draft', { draft: 'yes' }],
  ])('with a bad %s is refused by name: %j', async (field, more) => {
    const answer = await system.api('POST', '/api/sales', asAdmin(newDraft(more)));
    expect(answer).toMatchObject(problem(400, 'invalid-input', field));
  });

  test('may give things away if that is confirmed', async () => {
    const price = { amount: 0, currency: 'EUR' };
    const { id } = await createDraft({ price, free: true });
    expect((await read((await publish(id)).body.id)).price).toEqual(price);
    const paid = await createDraft();
    expect(await patch(paid.id, { price })).toMatchObject(problem(400, 'invalid-input', 'price.amount'));
    expect((await patch(paid.id, { price, free: true })).body.price).toEqual(price);
  });

  test('takes a change once with an Idempotency-Key, and knows no pause', async () => {
    const { id } = await createDraft();
    const key = { 'Idempotency-Key': 'more' };
    await Promise.all([1, 2, 3].map(() => patch(id, { addStock: 5 }, key)));
    expect((await patch(id, { addStock: 5 }, key)).body).toMatchObject({ stock: 15, unitsOnSale: 15 });
    expect(await patch(id, { addStock: 6 }, key)).toMatchObject(problem(422, 'key-reused'));
    expect(await patch(id, { paused: true })).toMatchObject(problem(400, 'invalid-input', 'paused'));
  });
});

describe('a published sale', () => {
  test('is mended until its opening, with what it says in the log', async () => {
    const { id } = await createDraft({ opensAt: inHours(1), closesAt: inHours(2) });
    await publish(id);
    expect(await buy(id)).toMatchObject(problem(409, 'not-open'));
    const [kept] = (await read(id)).items;
    const item = { productId: product.id, price: { amount: 3_900, currency: 'EUR' }, stock: 4 };
    const items = [
      { ...item, id: kept?.id, label: 'S' },
      { ...item, label: 'L' },
    ];
    const mended = await patch(id, { items, limitPerBuyer: 1 });
    expect(mended.body).toMatchObject({ unitsOnSale: 8, limitPerBuyer: 1, status: 'scheduled' });
    expect(mended.body.items.map((one: SaleItem) => [one.id, one.label])).toEqual([
      ['1', 'S'],
      ['2', 'L'],
    ]);
    expect(await patch(id, { items: [{ ...item, id: '7' }] })).toMatchObject(
      problem(400, 'invalid-input', 'itemId'),
    );
    const one = await patch(id, { items: [{ ...item, id: '1' }], opensAt: inHours(-1) });
    expect(one.body).toMatchObject({ unitsOnSale: 4, price: { amount: 3_900 }, status: 'open' });
    const token = system.buyerToken();
    expect((await buy(id, 1, token)).status).toBe(202);
    expect(await buy(id, 1, token)).toMatchObject(problem(409, 'over-limit'));
    await system.quiet();
    expect(await system.audit()).toMatchObject({ ok: true });
  });

  test('keeps its price, its items and its limit after the opening, and says why', async () => {
    const sale = await system.createSale({ stock: 10, limitPerBuyer: 2 });
    const price = { amount: 1, currency: 'EUR' };
    for (const [field, change] of [
      ['price', { price }],
      ['price', { oldAmount: 9_900 }],
      ['price', { price, addStock: 5 }],
      ['items', { items: [{ productId: product.id, price, stock: 1 }] }],
      ['limitPerBuyer', { limitPerBuyer: 1 }],
    ] as const) {
      const answer = await patch(sale.id, change);
      expect(answer).toMatchObject(problem(409, 'already-open', field));
      expect(answer.body.detail).toContain('people buy what they saw');
    }
    expect(await patch(sale.id, { limitPerBuyer: 11 })).toMatchObject(problem(400, 'invalid-input'));
    expect(await read(sale.id)).toEqual({ ...sale, serverTime: expect.any(String) });
    expect((await patch(sale.id, { limitPerBuyer: 3 })).body.limitPerBuyer).toBe(3);
    const token = system.buyerToken();
    expect((await buy(sale.id, 3, token)).status).toBe(202);
    expect(await buy(sale.id, 1, token)).toMatchObject(problem(409, 'over-limit'));
  });

  test('gives up units that are left, never those that are sold', async () => {
    const sale = await system.createSale({ stock: 10, limitPerBuyer: 5 });
    expect((await buy(sale.id, 4)).status).toBe(202);
    await system.quiet();
    expect(await patch(sale.id, { withdrawStock: 7 })).toMatchObject(
      problem(409, 'too-few-left', 'withdrawStock'),
    );
    expect((await patch(sale.id, { withdrawStock: 5 })).body).toMatchObject({ stock: 1, unitsOnSale: 5 });
    expect(await buy(sale.id, 2)).toMatchObject({ status: 409, body: { left: 1 } });
    expect((await buy(sale.id)).status).toBe(202);
    await system.quiet();
    // Of twenty requests for two units each, as many succeed as there are units.
    await patch(sale.id, { addStock: 9 });
    const answers = await Promise.all(Array.from({ length: 20 }, () => patch(sale.id, { withdrawStock: 2 })));
    expect(answers.filter(({ status }) => status === 200)).toHaveLength(4);
    expect(await read(sale.id)).toMatchObject({ stock: 1, unitsOnSale: 6 });
    const reports = await system.api('GET', `/api/admin/sales/${sale.id}/report`, asAdmin());
    expect(reports.body).toMatchObject({ units: 6, stock: 1 });
    expect(await system.audit()).toMatchObject({ ok: true });
  });

  test('is duplicated as a draft with its values', async () => {
    const sale = await system.createSale({ stock: 3 });
    await buy(sale.id);
    await system.quiet();
    const copy = () => system.api('POST', `/api/sales/${sale.id}/duplicates`, asAdmin(undefined, key));
    const key = { 'Idempotency-Key': 'copy' };
    const [{ status, body }, again] = [await copy(), await copy()];
    expect([status, again.body.id]).toEqual([201, body.id]);
    const { product: of, price, limitPerBuyer, opensAt, closesAt } = sale;
    const same = { product: of, price, limitPerBuyer, opensAt, closesAt };
    expect(body).toMatchObject({ ...same, status: 'draft', stock: 3, unitsOnSale: 3 });
    const third = await system.api('POST', `/api/sales/${body.id}/duplicates`, asAdmin());
    expect(third).toMatchObject({ status: 201, body: { status: 'draft', stock: 3 } });
    expect(await system.api('POST', '/api/sales/no-such-sale/duplicates', asAdmin())).toMatchObject({
      status: 404,
    });
  });
});

describe('a sale that is called off', () => {
  const callOff = (id: string) => system.api('POST', `/api/sales/${id}/call-off`, asAdmin());

  test('sells nothing more, and all its orders are cancelled', async () => {
    const sale = await system.createSale({ stock: 50, limitPerBuyer: 2 });
    const tokens = Array.from({ length: 30 }, () => system.buyerToken());
    const bought = await Promise.all(tokens.map((token) => buy(sale.id, 1, token)));
    const own = await system.settled(bought[0]?.body.orderId ?? '', tokens[0] ?? '');
    await system.api('DELETE', `/api/orders/${own.id}`, { token: tokens[0] ?? '' });
    // Some are still queued.
    const late = await Promise.all(tokens.map((token) => buy(sale.id, 1, token)));
    const answers = await Promise.all([callOff(sale.id), callOff(sale.id)]);
    expect(answers).toMatchObject(Array(2).fill({ status: 200, body: { status: 'called_off' } }));
    expect(await buy(sale.id)).toMatchObject(problem(409, 'ended'));
    const outcomes = await waitUntil(
      async () => {
        const orders = await ordersOf([...bought, ...late].map(({ body }) => body.orderId));
        return orders.every(({ status }) => status === 'cancelled' || status === 'rejected') ? orders : null;
      },
      { deadlineMs: 20_000, what: 'orders of the called-off sale remain' },
    );
    for (const { status, reason, cancelReason, cancelledBy } of outcomes) {
      if (status === 'rejected') expect(reason).toBe('called_off');
      else if (cancelledBy === 'staff') expect(cancelReason).toBe('called_off');
    }
    expect(outcomes.filter(({ cancelledBy }) => cancelledBy === 'buyer')).toHaveLength(1);
    expect(await read(sale.id)).toMatchObject({ status: 'called_off', stock: 50, unitsOnSale: 50 });
    await system.quiet();
    await waitUntil(async () => (await stored(sale.id))?.cancelledUpToSeq === undefined, {
      ...{ deadlineMs: 20_000, what: 'the sale is not done' },
    });
    for (const change of [{ paused: false }, { addStock: 1 }, { closesAt: inHours(3) }]) {
      expect(await patch(sale.id, change)).toMatchObject(problem(409, 'called-off'));
    }
    expect(await system.audit()).toMatchObject({ ok: true });
  });

  test('may not have opened yet; a draft cannot be called off', async () => {
    const sale = await system.createSale({ opensAt: new Date(inHours(1)), closesAt: new Date(inHours(2)) });
    expect(await callOff(sale.id)).toMatchObject({ status: 200, body: { status: 'called_off' } });
    expect(await buy(sale.id)).toMatchObject(problem(409, 'ended'));
    expect(await callOff((await createDraft()).id)).toMatchObject(problem(404, 'not-found'));
    expect(await system.audit()).toMatchObject({ ok: true });
  });

  const stored = (id: string) => system.store.collections.sales.findOne({ _id: id });
  const ordersOf = (ids: string[]) => system.store.collections.orders.find({ _id: { $in: ids } }).toArray();
});

describe('the terms of a sale', () => {
  const terms = { requiresVerifiedEmail: true, language: 'de', paymentWindowSeconds: 600 };

  test('change until the opening, in the draft, the sale and the gate', async () => {
    const draft = await createDraft({ opensAt: inHours(1), closesAt: inHours(2) });
    expect(await patch(draft.id, terms)).toMatchObject({ status: 200, body: { status: 'draft', ...terms } });
    await publish(draft.id);
    expect(await read(draft.id)).toMatchObject(terms);
    const gate = () => system.store.redis.hget(system.store.gate.keyOf(draft.id), 'verified');
    await buy(draft.id);
    expect(await gate()).toBe('1');
    const none = { requiresVerifiedEmail: false, language: null, paymentWindowSeconds: 0 };
    expect((await patch(draft.id, none)).status).toBe(200);
    await waitUntil(async () => (await gate()) === '0', {
      deadlineMs: 5_000,
      what: 'the gate has not learned it',
    });
    const { body } = await system.api('GET', `/api/sales/${draft.id}`);
    expect([body.requiresVerifiedEmail, body.language, body.paymentWindowSeconds]).toEqual([
      undefined,
      undefined,
      0,
    ]);
    const record = await system.store.collections.sales.findOne({ _id: draft.id });
    expect(record && ['requiresVerifiedEmail' in record, 'language' in record]).toEqual([false, false]);
  });

  test('are fixed at the opening, and an item’s own limit can only be raised then', async () => {
    const sale = await system.createSale({ sizes: { S: 3, M: 3 }, limitPerBuyer: 3 });
    expect(await patch(sale.id, terms)).toMatchObject(problem(409, 'already-open', 'paymentWindowSeconds'));
    // What is as it was is no change.
    expect(await patch(sale.id, { paymentWindowSeconds: 0, limitPerBuyer: 3 })).toMatchObject({
      status: 200,
    });
    const limit = (itemId: string, limitPerBuyer: number | null) =>
      patch(sale.id, { itemLimits: [{ itemId, limitPerBuyer }] });
    expect(await limit('1', 1)).toMatchObject(problem(409, 'already-open', 'itemLimits'));
    expect(await limit('9', 1)).toMatchObject(problem(400, 'invalid-input', 'itemId'));
    const early = await createDraft({
      ...{ productId: undefined, price: undefined, stock: undefined, opensAt: inHours(-1) },
      items: ['S', 'M'].map((label) => {
        const price = { amount: 4_900, currency: 'EUR' };
        return { productId: product.id, label, price, stock: 3, limitPerBuyer: 1 };
      }),
    });
    await publish(early.id);
    const token = system.buyerToken();
    const press = () => system.buy(early.id, token, { lines: [{ itemId: '1', quantity: 1 }] });
    const { body } = await press();
    await system.settled(body.orderId, token);
    expect(await press()).toMatchObject(problem(409, 'over-limit'));
    const raised = await patch(early.id, { itemLimits: [{ itemId: '1', limitPerBuyer: 2 }] });
    expect(raised).toMatchObject({
      status: 200,
      body: { stock: 5, items: [{ limitPerBuyer: 2 }, { limitPerBuyer: 1 }] },
    });
    const again = await press();
    expect(again.status).toBe(202);
    expect((await system.settled(again.body.orderId, token)).status).toBe('paid');
    const { body: single } = await system.api('GET', `/api/sales/${(await system.createSale()).id}`);
    expect(await patch(single.id, { itemLimits: [{ itemId: '1', limitPerBuyer: 1 }] })).toMatchObject({
      status: 400,
    });
  });
});
