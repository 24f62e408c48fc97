import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { eventKey, readChanges } from '../../log/events.ts';
import type { Change } from '../../log/schemas.ts';
import { waitUntil } from '../../ops/local/processes/process.mjs';
import { csvLines } from '../../server/routes/admin/csv.ts';
import type { EventRecord } from '../../store/collections.ts';
import { openBrowser } from '../support/browser.ts';
import { type ApiAnswer, startSystem, type TestSystem } from '../support/harness.ts';

/** Exports are complete, and lists are complete or have a cursor to the next page. */

let system: TestSystem;
beforeAll(async () => {
  system = await startSystem({ servers: 1, nginx: false });
});
afterAll(() => system.close());

const asAdmin = () => ({ token: system.adminToken });
const csvOf = (saleId: string) => `/api/admin/sales/${saleId}/orders.csv`;
const fetchCsv = (saleId: string, signal?: AbortSignal) =>
  fetch(system.url + csvOf(saleId), {
    headers: { Authorization: `Bearer ${system.adminToken}` },
    ...(signal && { signal }),
  });

const hourMs = 3_600_000;
const perDocument = 1_000;
const orderId = (saleId: string, n: number) => `order-${saleId}-${n}`;

const ordersAtOnce = 50_000;

/** Writes `documents` times a thousand settled orders. MongoDB generates them, which is quicker. */
async function writeOrders(saleId: string, buyerId: string, documents: number): Promise<void> {
  const { connection, orders, events } = system.store.collections;
  const at = new Date('2026-11-27T18:00:00Z');
  const order = { saleId, buyerId, quantity: 1, status: 'paid', reason: null, createdAt: at, settledAt: at };
  // One command for all of them would take longer than the connection's time-out on a busy machine.
  for (let from = 0; from < documents * perDocument; from += ordersAtOnce) {
    const range = { $range: [from, Math.min(from + ordersAtOnce, documents * perDocument)] };
    await connection.db
      ?.aggregate([
        { $documents: [{ n: range }] },
        { $unwind: '$n' },
        {
          $project: {
            _id: { $concat: [orderId(saleId, 0).slice(0, -1), { $toString: '$n' }] },
            idempotencyKey: { $toString: '$n' },
            ...Object.fromEntries(Object.entries(order).map(([name, $literal]) => [name, { $literal }])),
          },
        },
        { $merge: { into: orders.collectionName, whenMatched: 'fail' } },
      ])
      .toArray();
  }
  for (let n = 0; n < documents; n++) {
    const changes = Array.from({ length: perDocument }, (_, of): Change => {
      return { type: 'order.paid', orderId: orderId(saleId, n * perDocument + of), buyerId, quantity: 1 };
    });
    const event: EventRecord = { _id: eventKey(saleId, n + 2), saleId, seq: n + 2, at, changes };
    await events.insertOne(event);
  }
}

/** Reads every page of a list. */
async function readAll<Entry>(path: string, field: string, token = system.adminToken): Promise<Entry[]> {
  const entries: Entry[] = [];
  for (let cursor: string | null = ''; cursor !== null; ) {
    const and = path.includes('?') ? '&' : '?';
    const query: string = cursor === '' ? '' : `${and}cursor=${encodeURIComponent(cursor)}`;
    const answer: ApiAnswer<Record<string, never>> = await system.api('GET', `${path}${query}`, { token });
    expect(answer.status).toBe(200);
    entries.push(...(answer.body[field] ?? []));
    cursor = answer.body.nextCursor ?? null;
  }
  return entries;
}

/** The open cursors in this shop's database, without the worker's change streams. */
async function listCursors(): Promise<string[]> {
  const { connection } = system.store.collections;
  const admin = connection.getClient().db('admin');
  const stage = { $currentOp: { idleCursors: true, allUsers: true } };
  const operations = await admin.aggregate([stage], { readConcern: { level: 'local' } }).toArray();
  return operations.flatMap(({ ns = '', cursor }) => {
    const opened = JSON.stringify(cursor?.originatingCommand ?? null);
    const isOurs = String(ns).startsWith(`${connection.name}.`) && opened !== 'null';
    return isOurs && !opened.includes('$changeStream') ? [opened] : [];
  });
}

describe('the orders of a sale as CSV', () => {
  test('are complete, also tens of thousands, and an aborted download leaves no cursor open', async () => {
    const { id } = await system.createSale({ stock: 60_000 });
    await writeOrders(id, 'a-buyer-of-all', 41);
    const leaving = new AbortController();
    const reader = (await fetchCsv(id, leaving.signal)).body?.getReader();
    await reader?.read();
    leaving.abort();

    const response = await fetchCsv(id);
    const bytes = Buffer.from(await response.arrayBuffer());
    expect([...bytes.subarray(0, 3)]).toEqual([0xef, 0xbb, 0xbf]);
    const lines = bytes.toString().trimEnd().split('\r\n');
    expect(lines).toHaveLength(1 + 41_000);
    expect(new Set(lines).size).toBe(lines.length);
    expect(lines.at(-1)).toContain(`${orderId(id, 40_999)},`);
    await waitUntil(async () => (await listCursors()).length === 0, {
      deadlineMs: 15_000,
      what: 'a cursor of this shop is open',
    });
  }, 120_000);

  test('have decimal amounts, times with their zone, and each order once', async () => {
    const { body: product } = await system.api('POST', '/api/products', {
      ...asAdmin(),
      body: { name: 'A lamp' },
    });
    const make = (price: object) =>
      system.api('POST', '/api/sales', {
        ...asAdmin(),
        body: {
          ...{ productId: product.id, price, stock: 10, limitPerBuyer: 9 },
          ...{ opensAt: '2026-01-01T00:00:00Z', closesAt: '9999-12-31T23:59:59Z' },
        },
      });
    for (const [currency, amount, inAll] of [
      ['EUR', 4_905, '147.15'],
      ['JPY', 500, '1500'],
      ['KWD', 1_005, '3.015'],
    ] as const) {
      const { body: sale } = await make({ amount, currency });
      const token = system.buyerToken();
      const { body: receipt } = await system.buy(sale.id, token, { quantity: 3 });
      const order = await system.settled(receipt.orderId, token);
      const [, line = ''] = (await (await fetchCsv(sale.id)).text()).split('\r\n');
      const cells = line.replaceAll(/["']/g, '').split(',');
      expect(cells.slice(0, 7)).toEqual([order.id, sale.id, 'paid', '', '3', inAll, currency]);
      expect(cells.at(-2)).toBe(order.settledAt);
      expect(cells.at(-2)).toMatch(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/);

      // An order that failed, and was settled after its dead letter was republished.
      const given: Change = {
        type: 'order.rejected',
        orderId: order.id,
        buyerId: 'x',
        quantity: 3,
        reason: 'failed',
      };
      const { events } = system.store.collections;
      await events.insertOne({
        ...{ _id: eventKey(sale.id, 99), saleId: sale.id, seq: 99 },
        ...{ at: new Date(), changes: [given] },
      });
      expect((await (await fetchCsv(sale.id)).text()).trim().split('\r\n')).toHaveLength(2);
    }
  });

  test.each([
    '=1+1',
    '＝1+1',
    '＋1',
    '－1',
    '＠SUM(1)',
    '﹢1',
    '−1',
    '\u200b=1',
    '\u2060\u200d=1',
    '\t=1',
    '\r=1',
    '\n=1',
    ' =1',
    '\u3000=1',
    '\u3164=1',
    '\u0000=1',
    '\ufeff=1',
  ])('show %j and do not run it', (text) => {
    const cell = csvLines([[text]]).replace(/^"|"?\r\n$/g, '');
    expect(cell.replaceAll("'", '')).toBe(text);
    expect(cell.search(/[=+\-@−＝＋－＠﹢]/)).toBeGreaterThan(cell.indexOf("'"));
    expect(cell).toContain("'");
  });

  test('leave other texts unchanged', () => {
    expect(csvLines([['Ada', 'a@example.com', 'O’Neil', 'x,"y"', 7]])).toBe(
      'Ada,a@example.com,O’Neil,"x,""y""",7\r\n',
    );
    expect(csvLines([['a;=1']])).toBe(`"a;'=1"\r\n`);
  });
});

describe('a list', () => {
  const more = 130;

  test('of sales and of products can be read to its end, by API and on the pages', async () => {
    const { sales, products } = system.store.collections;
    const [{ id: of }, last] = [
      await system.createSale(),
      await system.createSale({ name: 'The last of all' }),
    ];
    const inHours = (hours: number) => new Date(Date.now() + hours * hourMs);
    await system.createSale({ name: 'Not open yet', opensAt: inHours(24), closesAt: inHours(25) });
    const sale = await sales.findOne({ _id: of });
    const product = await products.findOne({ _id: sale?.productId ?? '' });
    if (!sale || !product) throw new Error('the sale and the product do not exist');
    const copies = Array.from({ length: more }, (_, n) => n);
    await products.insertMany(copies.map((n) => ({ ...product, _id: `product-${n}-of-many` })));
    // Created at the same time, so that only their ids differ.
    await sales.insertMany(copies.map((n) => ({ ...sale, _id: `sale-number-${n}-of-many` })));
    await sales.updateOne({ _id: last.id }, { $set: { opensAt: new Date(0), closesAt: new Date(hourMs) } });

    const ids = (await readAll<{ id: string }>('/api/sales', 'sales')).map(({ id }) => id);
    expect(ids).toHaveLength(await sales.countDocuments());
    expect(new Set(ids).size).toBe(ids.length);
    const listed = await readAll<{ id: string }>('/api/admin/products', 'products');
    expect(new Set(listed.map(({ id }) => id)).size).toBe(await products.countDocuments());
    for (const cursor of ['x', '1', '1.', '__proto__', `${'9'.repeat(16)}.a`]) {
      expect((await system.api('GET', `/api/sales?cursor=${cursor}`)).status).toBe(400);
    }

    const browser = await openBrowser();
    const page = await browser.page();
    await page.goto(system.url);
    await page.getByRole('button', { name: 'Show more' }).click();
    await page.getByRole('link', { name: 'The last of all' }).waitFor();
    expect(await page.getByRole('button', { name: 'Show more' }).isVisible()).toBe(false);

    const admin = await browser.page();
    const user = { id: 'test-admin', role: 'admin', name: 'Ada', email: 'admin@example.com' };
    const session = JSON.stringify(JSON.stringify({ user, token: system.adminToken }));
    await admin.addInitScript(`localStorage.setItem('stampede.session', ${session})`);
    await admin.goto(`${system.url}/admin#sales`);
    await admin.getByText('100 sales: the open ones first').waitFor();
    // It ends after all others, which are open.
    expect(await admin.getByRole('link', { name: 'Not open yet' }).count()).toBe(0);
    await admin.getByRole('button', { name: 'Show more sales' }).click();
    await admin.getByTestId('sales').getByRole('link', { name: 'Not open yet' }).waitFor();
    await admin.getByTestId('sales').getByRole('link', { name: 'The last of all' }).waitFor();
    await browser.close();
  });

  test('of a buyer’s orders is complete in the account’s export, in the admin’s search and in the log', async () => {
    const { id: saleId } = await system.createSale({ stock: 20_000 });
    const { user, token } = await system.signUp();
    await writeOrders(saleId, user.id, 11);
    const { body } = await system.api('GET', '/api/account/export', { token });
    expect(body).toMatchObject({ user: { id: user.id }, sessions: [{ createdAt: expect.any(String) }] });
    expect(new Set(body.orders.map(({ id }: { id: string }) => id)).size).toBe(11_000);

    const kept = Array.from({ length: 121 }, (_, n) => orderId(saleId, n));
    await system.store.collections.orders.deleteMany({ saleId, _id: { $nin: kept } });
    const found = await readAll<{ id: string }>(`/api/admin/orders?q=${user.id}`, 'orders');
    expect(new Set(found.map(({ id }) => id)).size).toBe(121);

    const { events } = system.store.collections;
    const empty = Array.from({ length: 1_200 }, (_, n): EventRecord => {
      const seq = n + 100;
      return { _id: eventKey(saleId, seq), saleId, seq, at: new Date(), changes: [{ type: 'sale.paused' }] };
    });
    await events.insertMany(empty);
    expect(await readChanges(system.store.collections, saleId).toArray()).toHaveLength(1_200 + 12);
  });

  test('of deliveries and of minutes has a next page', async () => {
    const { body: webhook } = await system.api('POST', '/api/admin/webhooks', {
      ...asAdmin(),
      body: { url: 'https://example.com/', types: ['sale.ended'] },
    });
    const { id: saleId } = await system.createSale();
    const { deliveries, minutes } = system.store.collections;
    const now = new Date();
    const sent = { state: 'delivered' as const, attempts: 1, status: 204, error: null };
    await deliveries.insertMany(
      Array.from({ length: more }, (_, n) => ({
        ...{
          _id: `${webhook.id}:${saleId}:1:${n}`,
          webhookId: webhook.id,
          createdAt: now,
          dueAt: now,
          ...sent,
        },
        event: { id: `${saleId}:1:${n}`, type: 'sale.ended', time: now.toISOString() } as never,
      })),
    );
    const path = `/api/admin/webhooks/${webhook.id}/deliveries`;
    const read = await readAll<{ eventId: string }>(path, 'deliveries');
    expect(new Set(read.map(({ eventId }) => eventId)).size).toBe(more);

    const none = { accepted: 0, paid: 0, rejected: 0, cancelled: 0, units: 0, cancelledUnits: 0 };
    await minutes.insertMany(
      Array.from({ length: 1_500 }, (_, n) => ({
        ...{ _id: `${saleId}:${n}`, saleId, minute: new Date(n * 60_000), ...none },
      })),
    );
    const told = await readAll<{ minute: string }>(`/api/admin/sales/${saleId}/minutes`, 'minutes');
    expect(new Set(told.map(({ minute }) => minute)).size).toBe(1_500);
  });
});
