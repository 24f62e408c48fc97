import { io, type ManagerOptions, type Socket, type SocketOptions } from 'socket.io-client';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { waitUntil } from '../../ops/local/processes/process.mjs';
import type { Order, SaleSnapshot, StockMessage } from '../../sale/contract.ts';
import { startSystem, type TestSystem } from '../support/harness.ts';

let system: TestSystem;
beforeAll(async () => {
  system = await startSystem({ nginx: false });
});
afterAll(() => system.close());

const sockets: Socket[] = [];
afterEach(() => {
  for (const socket of sockets.splice(0)) socket.disconnect();
});

const at = (server: number) => system.servers[server % 2]?.url ?? '';
const until = (check: () => unknown, what: string) => waitUntil(check, { deadlineMs: 10_000, what });

function open(
  server: number,
  token?: unknown,
  options: Partial<ManagerOptions & SocketOptions> = {},
): Socket {
  const auth = token === undefined ? {} : { token };
  const socket = io(at(server), {
    transports: ['websocket'],
    forceNew: true,
    reconnection: false,
    auth,
    ...options,
  });
  sockets.push(socket);
  return socket;
}
/** Resolves with the reason of a refused connection; fails when it was accepted. */
const refusalOf = (socket: Socket) =>
  new Promise<string>((resolve, reject) => {
    socket.once('connect_error', ({ message }) => resolve(message));
    socket.once('connect', () => reject(new Error('the socket was accepted')));
  });
const connected = (socket: Socket) =>
  new Promise<Socket>((resolve, reject) => {
    socket.once('connect', () => resolve(socket));
    socket.once('connect_error', reject);
  });
const ask = (socket: Socket, request: unknown) => socket.timeout(5_000).emitWithAck('watch', request);

/** A socket that watches a sale and records its messages. */
async function watch(server: number, saleId: string, token = system.buyerToken()) {
  const heard = {
    stocks: [] as StockMessage[],
    sales: [] as SaleSnapshot[],
    orders: [] as Order[],
    at: [] as number[],
  };
  const socket = open(server, token);
  socket.on('stock', (message) => {
    heard.stocks.push(message);
    heard.at.push(performance.now());
  });
  socket.on('sale', (snapshot) => heard.sales.push(snapshot));
  socket.on('order', (order) => heard.orders.push(order));
  await connected(socket);
  expect(await ask(socket, { saleId })).toEqual({ ok: true });
  return { ...heard, socket };
}

describe('a connection', () => {
  test.each<[string, unknown]>([
    ['no token', undefined],
    ['a forged token', 'eyJhbGciOiJub25lIn0.e30.'],
    ['a token that is no text', { $ne: null }],
    ['an empty token', ''],
  ])('a socket with %s is refused', async (_what, token) => {
    expect(await refusalOf(open(0, token))).toBe('unauthorized');
  });

  test('from another origin is refused, with any token', async () => {
    for (const Origin of ['https://evil.example', 'null', `${at(0)}.evil.example`, at(1)]) {
      const socket = open(0, system.buyerToken(), { extraHeaders: { Origin } });
      expect(await refusalOf(socket)).toMatch(/websocket error/);
    }
  });

  test('from the shop’s own page is accepted, also as a visitor', async () => {
    const { body } = await system.api('POST', '/api/visitors');
    for (const token of [body.token, system.buyerToken()]) {
      const socket = await connected(open(0, token, { extraHeaders: { Origin: at(0) } }));
      expect(socket.connected).toBe(true);
    }
  });

  test('without a websocket upgrade is answered once, by socket.io and not by Express', async () => {
    const polling = await system.api('GET', '/socket.io/?EIO=4&transport=polling');
    expect(polling.status).toBe(400);
    expect(polling.body).toMatchObject({ code: 0, message: 'Transport unknown' });
    const client = await system.api('GET', '/socket.io/socket.io.esm.min.js');
    expect([client.status, client.headers.get('content-type')]).toEqual([
      200,
      expect.stringContaining('application/javascript'),
    ]);
    expect(client.body).toContain('socket');
  });
});

describe('a client event', () => {
  test('that names no sale is refused, and socket and server go on', async () => {
    const sale = await system.createSale();
    const { socket } = await watch(0, sale.id);
    for (const request of [
      null,
      undefined,
      1,
      'text',
      [],
      {},
      { saleId: null },
      { saleId: ['a'] },
      { saleId: 'x' },
    ]) {
      expect(await ask(socket, request)).toEqual({ ok: false, detail: expect.any(String) });
    }
    for (const saleId of ['buyer:somebody-else', 'sale:whatever', '../../etc/passwd', 'x'.repeat(65)]) {
      expect(await ask(socket, { saleId })).toMatchObject({ ok: false });
    }
    socket.emit('watch');
    socket.emit('watch', null);
    socket.emit('watch', { saleId: sale.id }, 'not a function');
    socket.emit('watch', null, () => {}, 3);
    socket.emit('order', { id: 'forged' });
    socket.emit('no such event', 1);
    expect(await ask(socket, { saleId: sale.id })).toEqual({ ok: true });
  });

  test('that is too large ends the connection', async () => {
    const { socket } = await watch(0, (await system.createSale()).id);
    const gone = new Promise((resolve) => socket.once('disconnect', resolve));
    socket.emit('watch', { saleId: 'x'.repeat(10_000) });
    expect(await gone).toMatch(/transport (close|error)/);
  });
});

describe('a broadcast', () => {
  test('of fast sales at the other instance is a few messages in order, and the last one is correct', async () => {
    const sale = await system.createSale({ stock: 10_000, limitPerBuyer: 10_000 });
    const watchers = [await watch(0, sale.id), await watch(1, sale.id)];
    const token = system.buyerToken();
    const start = performance.now();
    // A buyer's presses are limited to 300 a minute, which a fast machine would reach.
    for (let pressed = 0; performance.now() - start < 2_000 && pressed < 250; pressed += 5) {
      const answers = await Promise.all(
        Array.from({ length: 5 }, () => system.buy(sale.id, token, { at: at(1) })),
      );
      for (const { status } of answers) expect(status).toBe(202);
    }
    await system.quiet();

    const { body } = await system.api<SaleSnapshot>('GET', `/api/sales/${sale.id}`);
    for (const { stocks, at: times } of watchers) {
      await until(() => stocks.at(-1)?.stockVersion === body.stockVersion, 'the last stock was not heard of');
      expect(stocks.at(-1)).toMatchObject({ saleId: sale.id, stock: body.stock });
      expect(stocks.length).toBeGreaterThan(5);
      const versions = stocks.map(({ stockVersion }) => stockVersion);
      // The reconciler tells the latest one again, in case it was lost.
      expect(versions).toEqual(versions.toSorted((a, b) => a - b));
      const seconds = ((times.at(-1) ?? 0) - (times[0] ?? 0)) / 1_000;
      expect(stocks.length).toBeLessThanOrEqual(seconds * 20 + 2);
    }
  });

  test('does not reach sockets that watch another sale', async () => {
    const [sale, other] = [await system.createSale(), await system.createSale()];
    const watcher = await watch(0, sale.id);
    await ask(watcher.socket, { saleId: other.id });
    await system.buy(sale.id, system.buyerToken());
    await system.quiet();
    await system.buy(other.id, system.buyerToken());
    await until(() => watcher.stocks.length > 0, 'the sale it watches was not heard of');
    expect(watcher.stocks.map(({ saleId }) => saleId)).toEqual([other.id]);
  });

  test('of a product’s new name reaches watchers of its sale, on both instances', async () => {
    const sale = await system.createSale({ name: 'A lmap' });
    const watchers = [await watch(0, sale.id), await watch(1, sale.id)];
    const path = `/api/products/${sale.product.id}`;
    await system.api('PATCH', path, { token: system.adminToken, body: { name: 'A lamp' } });
    for (const { sales } of watchers) {
      await until(() => sales.length > 0, 'the new name was not heard of');
      expect(sales[0]?.product.name).toBe('A lamp');
    }
  });

  test('of a pause and of added stock reaches watchers on both instances', async () => {
    const [sale, other] = [await system.createSale(), await system.createSale()];
    const watchers = [await watch(0, sale.id), await watch(1, sale.id), await watch(1, other.id)];
    await system.changeSale(sale.id, { paused: true });
    const resumed = await system.changeSale(sale.id, { paused: false, addStock: 5 });
    await system.changeSale(other.id, { paused: true });
    for (const { sales } of watchers.slice(0, 2)) {
      await until(() => sales.length === 2, 'a change was not heard of');
      expect(sales.map(({ status, stock }) => [status, stock])).toEqual([
        ['paused', 10],
        ['open', 15],
      ]);
      expect(sales[1]).toMatchObject({ ...resumed, serverTime: expect.any(String) });
    }
    await until(() => watchers[2]?.sales.length, 'the other sale’s change was not heard of');
    expect(watchers[2]?.sales.map(({ id }) => id)).toEqual([other.id]);
  });
});

test('an order is sent to all sockets of its buyer, and to no others', async () => {
  const sale = await system.createSale({ stock: 100, limitPerBuyer: 10 });
  const [ann, bob] = [system.buyerToken(), system.buyerToken()];
  const [annHere, annThere] = [await watch(0, sale.id, ann), await watch(1, sale.id, ann)];
  const [bobHere, bobThere] = [await watch(0, sale.id, bob), await watch(1, sale.id, bob)];

  const first = await system.buy(sale.id, ann, { quantity: 2, at: at(0) });
  const settled = await system.settled(first.body.orderId, ann);
  for (const { orders } of [annHere, annThere]) {
    await until(() => orders.length > 0, 'an order was not told to its buyer');
    expect(orders).toEqual([settled]);
  }
  // Bob's order is sent after Ann's on the same connection, so hers would have arrived by now.
  const second = await system.buy(sale.id, bob, { at: at(1) });
  for (const { orders } of [bobHere, bobThere]) {
    await until(() => orders.length > 0, 'an order was not told to its buyer');
    expect(orders.map(({ id }) => id)).toEqual([second.body.orderId]);
  }
  const cancelled = await system.api<Order>('DELETE', `/api/orders/${first.body.orderId}`, {
    token: ann,
    at: at(1),
  });
  await until(() => annHere.orders.length === 2, 'the cancellation was not told to its buyer');
  expect(annHere.orders[1]).toEqual(cancelled.body);
});
