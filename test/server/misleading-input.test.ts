import { io } from 'socket.io-client';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { sumOf } from '../../insight/counters.ts';
import { audienceOf } from '../../insight/live-figures.ts';
import { readData } from '../../log/schemas.ts';
import { exchangeOf, shopTopology } from '../../messages/rabbit-topology.ts';
import { waitUntil } from '../../ops/local/processes/process.mjs';
import type { CrowdMessage, Problem } from '../../sale/contract.ts';
import { openBrowser } from '../support/browser.ts';
import { startSystem, type TestSystem } from '../support/harness.ts';

let system: TestSystem;
beforeAll(async () => {
  system = await startSystem({ servers: 1, nginx: false });
});
afterAll(() => system.close());

const asAdmin = (body?: unknown) => ({ token: system.adminToken, body });

/** Sends the request, and expects a 400 that names the field. */
async function refused(method: string, path: string, body: object, field: string): Promise<string> {
  const answer = await system.api<Problem>(method, path, asAdmin(body));
  expect([answer.status, answer.body.errors?.map((error) => error.field)], JSON.stringify(body)).toEqual([
    400,
    expect.arrayContaining([field]),
  ]);
  return answer.body.detail;
}

describe('a name', () => {
  const unseen = [
    '\u200b\u200d',
    '\u0301\u0302',
    '\u3164',
    '\u2800 \u2800',
    '\u00ad',
    '\ufe0f',
    '\u{e0041}',
    '\u0378',
  ];
  const misleading = [
    'Ada\nBcc: x',
    'Ada\u2028x',
    'Ada\u0000',
    'A\u202eadA',
    'A\u2066dA',
    'A\u0085B',
    'A\ud800',
  ];

  test.each([...unseen, ...misleading])('is refused as %j', async (name) => {
    const account = { email: 'somebody@example.com', password: 'correct horse', name };
    expect(await refused('POST', '/api/users', account, 'name')).toMatch(/^name: expected /);
    await refused('POST', '/api/products', { name }, 'name');
    const { body: product } = await system.api('POST', '/api/products', asAdmin({ name: 'A lamp' }));
    await refused('PATCH', `/api/products/${product.id}`, { name }, 'name');
  });

  test('is refused with the character in the message', async () => {
    expect(await refused('POST', '/api/products', { name: 'A\u202ex' }, 'name')).toContain('got U+202E');
  });

  test('may be in any language', async () => {
    for (const name of ['Ólafur', 'می‌خواهم', 'नमस्ते', '👩‍👩‍👧', '김', 'O’Neil (2)', 'שלום']) {
      const { status, body } = await system.api('POST', '/api/products', asAdmin({ name }));
      expect([status, body.name]).toEqual([201, name]);
    }
  });

  test('a description has visible characters in its lines, or is empty', async () => {
    const product = (description: string) => ({ name: 'A lamp', description });
    for (const text of ['', 'One\nTwo\r\n\tThree']) {
      expect((await system.api('POST', '/api/products', asAdmin(product(text)))).status).toBe(201);
    }
    for (const text of ['\u3164', 'a\u0007', 'a\u202eb']) {
      await refused('POST', '/api/products', product(text), 'description');
    }
  });

  test('a webhook’s address has no invisible character', async () => {
    for (const path of ['\n', '\u200b', '\u202e', ' x', 'a\tb']) {
      const webhook = { url: `https://example.com/${path}a`, types: ['order.paid'] };
      await refused('POST', '/api/admin/webhooks', webhook, 'url');
    }
  });
});

test('a picture’s path is on this site or at an https address', async () => {
  const elsewhere = [
    '//evil.example/x.png',
    '/\\evil.example',
    '/%09/evil.example',
    '/\t/evil.example',
    '/../x.png',
    '/a//b.png',
    'javascript:alert(1)',
    'http://evil.example/x.png',
    'https:evil.example/x.png',
    'https://user:word@evil.example/x.png',
    'https://evil.example/a b.png',
    'https://evil.example/\u202ex.png',
    'data:image/svg+xml,<svg/>',
    'x.png',
  ];
  for (const path of elsewhere) {
    await refused('POST', '/api/products', { name: 'A lamp', image: path }, 'image');
    await refused('POST', '/api/products', { name: 'A lamp', images: [path] }, 'images.0');
  }
  const https = 'https://pictures.example/lamp.png?width=800';
  const { body: product } = await system.api(
    'POST',
    '/api/products',
    asAdmin({ name: 'A lamp', image: https }),
  );
  expect(product.images).toEqual([https]);
  // Stored before paths were checked.
  const sale = await system.createSale();
  const old = { image: '//evil.example/x.png', images: ['//evil.example/x.png', '/images/lamp.svg'] };
  await system.store.collections.products.updateOne({ _id: sale.product.id }, { $set: old });
  const { body } = await system.api('GET', `/api/sales/${sale.id}`);
  expect(body.product).toMatchObject({ image: '/images/lamp.svg', images: ['/images/lamp.svg'] });
});

describe('a sale', () => {
  const sale = async (change: object) => {
    const { body: product } = await system.api('POST', '/api/products', asAdmin({ name: 'A lamp' }));
    return {
      productId: product.id,
      price: { amount: 4_900, currency: 'EUR' },
      stock: 1,
      opensAt: '2026-11-27T18:00:00Z',
      closesAt: '9999-12-31T23:59:59Z',
      ...change,
    };
  };

  test('opens and closes in a year of four digits, on a day that exists', async () => {
    expect((await system.api('POST', '/api/sales', asAdmin(await sale({})))).status).toBe(201);
    const { id } = await system.createSale();
    for (const at of [
      '+020266-01-01T00:00:00Z',
      '20266-01-01T00:00:00Z',
      '0026-01-01T00:00:00Z',
      '-000001-01-01T00:00:00Z',
      '2026-02-30T00:00:00Z',
      '2027-02-29T00:00:00Z',
      '2026-04-31T00:00:00Z',
      '2026-01-01T25:00:00Z',
      '9999-12-31T23:59:59-01:00',
      '2026-01-01T00:00:00',
      '2026-01-01',
      '1',
    ]) {
      for (const field of ['opensAt', 'closesAt']) {
        await refused('POST', '/api/sales', await sale({ [field]: at }), field);
        await refused('PATCH', `/api/sales/${id}`, { [field]: at }, field);
      }
    }
  });

  test('has a price in a known currency, in whole minor units below 2^53', async () => {
    for (const currency of ['ABC', 'eur', 'XYZ', '€', '', '__proto__']) {
      await refused('POST', '/api/sales', await sale({ price: { amount: 1, currency } }), 'price.currency');
    }
    for (const amount of [1.5, -1, '1,500', 2 ** 53, 2 ** 53 + 2]) {
      await refused('POST', '/api/sales', await sale({ price: { amount, currency: 'EUR' } }), 'price.amount');
    }
  });
});

test('a number in a query consists of digits', async () => {
  for (const limit of ['1e1', '0x10', ' 5', '', '1.0', '-1', '٣']) {
    const path = `/api/orders?limit=${encodeURIComponent(limit)}`;
    expect((await system.api('GET', path, asAdmin())).status, path).toBe(400);
  }
});

describe('a name that is a key of every object', () => {
  const names = ['__proto__', 'constructor', 'toString', 'hasOwnProperty', 'valueOfx'];

  test('is no sale that can be watched', async () => {
    const { body: visitor } = await system.api('POST', '/api/visitors');
    const heard: unknown[] = [];
    const sockets = names.map((saleId) => {
      const socket = io(system.url, {
        ...{ transports: ['websocket'], forceNew: true, reconnection: false },
        auth: { token: visitor.token },
      });
      socket.on('crowd', (message: CrowdMessage) => heard.push(message));
      socket.on('connect', () => socket.emit('watch', { saleId }));
      return socket;
    });
    const asked = async () => (await system.api('GET', '/api/admin/live', asAdmin())).body.people;
    const everybody = names.map((name) => [name, 1]);
    const people = await waitUntil(
      async () => {
        const entries = Object.entries<number>(await asked());
        return entries.length === names.length ? entries : null;
      },
      { deadlineMs: 15_000, what: 'not all are counted' },
    );
    expect(people.sort()).toEqual(everybody.sort());
    await waitUntil(() => heard.length >= names.length, { deadlineMs: 15_000, what: 'not all are told' });
    for (const message of heard) expect(message).toEqual({ saleId: expect.any(String), people: 1 });
    for (const socket of sockets) socket.disconnect();
  }, 40_000);

  test('is nothing in any path or field', async () => {
    for (const name of ['__proto__', 'constructor', 'toString', 'hasOwnProperty']) {
      const token = system.buyerToken();
      expect((await system.api('GET', `/api/sales/${name}`)).status).toBe(404);
      expect((await system.buy(name, token)).status).toBe(404);
      expect((await system.api('GET', `/api/orders/${name}`, { token })).status).toBe(404);
      expect((await system.api('GET', `/schemas/${name}/1`)).status).toBe(404);
      expect((await system.api('GET', `/api/admin/sales/${name}/report`, asAdmin())).status).toBe(404);
      expect((await system.api('GET', `/api/orders?${name}=1`, { token })).status).toBe(400);
      expect((await system.api('GET', `/api/sales?${name}=1`)).status).toBe(400);
      const body = `{"url": "https://example.com/", "types": ["${name}"]}`;
      expect((await system.api('POST', '/api/admin/webhooks', asAdmin(body))).status).toBe(400);
    }
  });

  test('is counted and looked up as any other', () => {
    const beats = [1, 2].map(() => ({ watching: JSON.parse('{"__proto__": 1, "constructor": 2}') }));
    expect(Object.entries(audienceOf(beats))).toEqual([
      ['__proto__', 2],
      ['constructor', 4],
    ]);
    const counts = [JSON.parse('{"__proto__": 1, "toString": 1}'), JSON.parse('{"toString": 2}')];
    expect(Object.entries(sumOf(counts))).toEqual([
      ['__proto__', 1],
      ['toString', 3],
    ]);
    expect(() => exchangeOf(shopTopology.exchanges, 'constructor.paid')).toThrow('No exchange is configured');
    expect(() => readData({ type: 'toString', data: {} }, 'toString' as never)).toThrow('Unknown event type');
  });

  test('opens no view of the control room', async () => {
    const browser = await openBrowser();
    const page = await browser.page();
    const user = { id: 'test-admin', role: 'admin', name: 'Ada', email: 'admin@example.com' };
    const session = JSON.stringify(JSON.stringify({ user, token: system.adminToken }));
    await page.addInitScript(`localStorage.setItem('stampede.session', ${session})`);
    for (const hash of ['#constructor', '#__proto__/x', '#toString/%']) {
      await page.goto('about:blank');
      await page.goto(`${system.url}/admin${hash}`);
      await page.getByTestId('tile-rates').waitFor();
    }
    await browser.close();
  });
});
