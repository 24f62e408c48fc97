import { once } from 'node:events';
import { connect } from 'node:net';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { SaleSnapshot } from '../../sale/contract.ts';
import { startSystem, type TestSystem } from '../support/harness.ts';

let system: TestSystem;
let sale: SaleSnapshot;
beforeAll(async () => {
  // Limits that nobody here reaches, so that the headers about them are compared as well.
  const env = { LIMIT_FACTOR: '1000' };
  system = await startSystem({ servers: 1, workers: 0, nginx: false, env });
  sale = await system.createSale();
});
afterAll(() => system.close());

test.each([
  '/api',
  '/api/nothing',
  '/nothing.html',
  '/../package.json',
  '/%2e%2e/package.json',
  '/server/main.ts',
])('unknown address %s is answered 404', async (path) => {
  const { status, headers, body } = await system.api('GET', path);
  expect([status, body]).toEqual([
    404,
    expect.objectContaining({ type: '/problems/not-found', status: 404 }),
  ]);
  expect(headers.get('content-type')).toMatch(/^application\/problem\+json/);
});

test('an unchanged snapshot is answered 304, and a changed one 200', async () => {
  const path = `/api/sales/${sale.id}`;
  for (const address of [path, '/api/sales']) {
    const etag = (await system.api('GET', address)).headers.get('etag') ?? '';
    expect(etag).toMatch(/^"[\w-]+"$/);
    // As a browser revalidates; Node's fetch would bypass the cache.
    const headers = { 'If-None-Match': etag, 'Cache-Control': 'max-age=0' };
    const again = await system.api('GET', address, { headers });
    expect([again.status, again.body]).toEqual([304, '']);
    await system.changeSale(sale.id, { addStock: 1 });
    const changed = await system.api('GET', address, { headers });
    expect(changed.status).toBe(200);
    expect(changed.headers.get('etag')).not.toBe(etag);
  }
});

test('a page refers to its files by hash, and they are cached as immutable', async () => {
  const page = await system.api<string>('GET', '/');
  expect(page.headers.get('cache-control')).toBe('no-cache');
  const files = [...page.body.matchAll(/(?:href|src)="(\/[^"]+\.(?:js|css|svg)[^"]*)"/g)].map(
    ([, file]) => file,
  );
  expect(files.map((file) => file?.replace(/^\/bundles\/[\w-]+/, ''))).toEqual([
    '/favicon.svg',
    '/list/sales-page.js?in=en',
  ]);
  for (const file of files) {
    expect(file).toMatch(/^\/bundles\/[\w-]{16}\//);
    const { status, headers } = await system.api('GET', file ?? '');
    expect([file, status, headers.get('cache-control')]).toEqual([
      file,
      200,
      'public, max-age=31536000, immutable',
    ]);
  }
  const headers = { 'If-None-Match': page.headers.get('etag') ?? '', 'Cache-Control': 'max-age=0' };
  expect((await system.api('GET', '/', { headers })).status).toBe(304);
});

test.each(['bundles', 'assets'])('a file of another version below /%s/ is not found', async (prefix) => {
  for (const file of ['shared/api.js', 'sale/sale-page.js?in=de', 'favicon.svg'])
    expect((await system.api('GET', `/${prefix}/of-another-one/${file}`)).status).toBe(404);
});

test.each(['/', `/sales/some-sale-id`, '/orders', '/docs', '/nothing'])(
  '%s has the security headers of a page',
  async (path) => {
    const { headers } = await system.api('GET', path);
    const policy = headers.get('content-security-policy') ?? '';
    expect(policy).toContain("default-src 'self'");
    expect(policy).toContain("frame-ancestors 'none'");
    expect(policy).not.toContain('unsafe');
    expect(headers.get('x-content-type-options')).toBe('nosniff');
    expect(headers.get('referrer-policy')).toBe('no-referrer');
    expect(headers.get('x-powered-by')).toBe(null);
  },
);

test.each(['/api/sales', '/api/orders', '/api/nothing'])(
  '%s has the security headers of data',
  async (path) => {
    const { headers } = await system.api('GET', path);
    expect(headers.get('content-type')).toContain('json');
    expect(headers.get('x-content-type-options')).toBe('nosniff');
    expect(headers.get('cross-origin-resource-policy')).toBe('same-origin');
  },
);

const json = { 'Content-Type': 'application/json' };
test.each([
  ['accepted', true, '{"quantity":1}', json],
  ['too many', true, '{"quantity":1000}', json],
  ['wrong', true, '{"quantity":-3}', json],
  ['no object', true, '"quantity"', json],
  ['cut off', true, '{"quantity', json],
  ['not JSON', true, 'quantity=1', { 'Content-Type': 'text/plain' }],
  ['of another charset', true, '{"quantity":1}', { 'Content-Type': 'application/json; charset=latin1' }],
  ['of an unknown encoding', true, '{"quantity":1}', { ...json, 'Content-Encoding': 'x-ray' }],
  ['too long', true, `{"quantity":${'1'.repeat(20_000)}}`, json],
  ['without a token', false, '{"quantity":1}', json],
])(
  'a purchase that is %s is answered alike on the hot path and by Express',
  async (_what, isBuyer, body, type) => {
    const request = {
      ...(isBuyer && { token: system.buyerToken() }),
      body,
      headers: { ...type, 'Idempotency-Key': 'the-same' },
    };
    const path = `/api/sales/${sale.id}/purchases`;
    expect(await wholeAnswer('POST', expressOnly(path), request)).toEqual(
      await wholeAnswer('POST', path, request),
    );
  },
);

test.each(['GET', 'DELETE'])(
  '%s of an order is answered alike on the hot path and by Express',
  async (method) => {
    const token = system.buyerToken();
    const { orderId } = (await system.buy(sale.id, token)).body;
    for (const id of [orderId, 'an-order-of-nobody', 'short']) {
      const path = `/api/orders/${id}`;
      const answer = await wholeAnswer(method, path, { token });
      expect(await wholeAnswer(method, expressOnly(path), { token })).toEqual(answer);
      expect(await wholeAnswer(method, expressOnly(path), {})).toEqual(await wholeAnswer(method, path, {}));
    }
  },
);

/** server/http/hot.ts leaves an address with a query to Express. */
const expressOnly = (path: string) => `${path}?express`;

async function wholeAnswer(method: string, path: string, request: object) {
  const { status, body, headers } = await system.api(method, path, request);
  const { date, ratelimit = '', 'x-request-id': id, ...others } = Object.fromEntries(headers);
  expect(id).toMatch(/^[\w-]{8,64}$/);
  return { status, body, headers: { ...others, ratelimit: ratelimit.split(';')[0] } };
}

test('a client that disconnects during a purchase does not affect others', async () => {
  const { hostname, port } = new URL(system.url);
  const socket = connect(Number(port), hostname);
  const head = ['Host: shop', `Authorization: Bearer ${system.buyerToken()}`, 'Content-Length: 100'];
  const type = 'Content-Type: application/json';
  socket.write([`POST /api/sales/${sale.id}/purchases HTTP/1.1`, ...head, type, '', '{"quan'].join('\r\n'));
  await once(socket, 'connect');
  socket.destroy();
  expect((await system.buy(sale.id, system.buyerToken())).status).toBe(202);
});

test('invalid HTTP closes only its own connection', async () => {
  const { hostname, port } = new URL(system.url);
  const socket = connect(Number(port), hostname);
  socket.end('\u0000\u0001 not HTTP\r\n\r\n');
  const [answer] = await once(socket, 'data');
  expect(String(answer)).toMatch(/^HTTP\/1\.1 400 /);
  expect((await system.api('GET', '/healthz')).body).toEqual({ status: 'ok' });
});
