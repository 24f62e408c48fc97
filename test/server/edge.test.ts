import { connect } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { SaleSnapshot } from '../../sale/contract.ts';
import { startSystem, type TestSystem } from '../support/harness.ts';
import { readSamples } from '../support/samples.ts';

/*
 * Requests of attackers without an account are answered and ended, and do not affect others. nginx runs in front of two
 * servers, as in production.
 */
const deadlineMs = 2_000;
/** The timeouts of nginx and a server, with a margin for a loaded machine. */
const patienceMs = 8_000;

let system: TestSystem;
let sale: SaleSnapshot;
let server: string;
let slowClients: ReturnType<typeof openSlowClients>;
beforeAll(async () => {
  system = await startSystem({ workers: 0, env: { ANSWER_DEADLINE_MS: String(deadlineMs) } });
  sale = await system.createSale({ stock: 100_000 });
  server = system.servers[0]?.url ?? '';
  slowClients = openSlowClients();
});
afterAll(() => system.close());

/** A raw TCP connection. */
function open(at = system.url) {
  const { hostname, port } = new URL(at);
  const socket = connect(Number(port), hostname);
  socket.on('error', () => {});
  let text = '';
  socket.on('data', (chunk) => {
    text += chunk.toString('latin1');
  });
  const startedAt = performance.now();
  return {
    socket,
    say: (lines: string[]) => socket.write(`${lines.join('\r\n')}\r\n\r\n`, 'latin1'),
    /** Resolves when the server has answered. */
    answered: new Promise<string>((resolve) => socket.once('data', () => resolve(text))),
    /** Resolves with everything received when the server has closed the connection. */
    ended: new Promise<{ text: string; tookMs: number }>((resolve) =>
      socket.once('close', () => resolve({ text, tookMs: performance.now() - startedAt })),
    ),
  };
}
type Opened = ReturnType<typeof open>;

async function answerTo(lines: string[], at?: string) {
  const opened = open(at);
  opened.say([...lines, 'Connection: close']);
  return readAnswer((await opened.ended).text);
}
function readAnswer(text: string) {
  const [head = '', body = ''] = text.split('\r\n\r\n');
  const type = /^content-type: (.+)$/im.exec(head)?.[1];
  return { status: Number(/^HTTP\/1\.1 (\d{3})/.exec(head)?.[1]), head, type, body };
}

/** The number of answers that nginx gave itself, by the cluster's metrics. */
async function madeByNginx(status: string): Promise<number> {
  const texts = await Promise.all(
    [...system.servers, ...system.workers].map(({ url }) =>
      system.api<string>('GET', '/metrics', { at: url }),
    ),
  );
  return texts
    .flatMap(({ body }) => readSamples(body))
    .filter(({ name, labels }) => name === 'stampede_proxy_answers_total' && labels.status === status)
    .reduce((sum, { value }) => sum + value, 0);
}

/** Runs an attack while others read and buy. None of them fails or is late, and nginx marks no server as down. */
async function harmless<Value>(attack: () => Promise<Value>): Promise<Value> {
  const before = await madeByNginx('503');
  let isOver = false;
  const attacked = attack().finally(() => {
    isOver = true;
  });
  for (let n = 0; n < 40 || !isOver; n++) {
    const startedAt = performance.now();
    const read = await system.api('GET', `/api/sales/${sale.id}`);
    const pressed = await system.buy(sale.id, system.buyerToken());
    expect([read.status, pressed.status]).toEqual([200, 202]);
    expect(performance.now() - startedAt).toBeLessThan(deadlineMs);
    await delay(10);
  }
  expect(await madeByNginx('503')).toBe(before);
  return attacked;
}

/** Sends the piece 20 times a second until the connection is closed. */
function drip(opened: Opened, piece: string): Opened {
  const timer = setInterval(() => opened.socket.writable && opened.socket.write(piece), 50);
  opened.socket.once('close', () => clearInterval(timer));
  return opened;
}

/** Opens connections whose clients are slow or idle. @returns the end of each. */
function openSlowClients() {
  const reader = () => {
    const opened = open();
    opened.say(['GET /docs/swagger-ui-bundle.js HTTP/1.1', 'Host: shop']);
    opened.socket.pause();
    // A client that does not read notices the closed connection only when it writes.
    return drip(opened, '\r\n');
  };
  const header = (at: string) => {
    const opened = open(at);
    opened.socket.write('GET / HTTP/1.1\r\n');
    return drip(opened, 'X: y\r\n');
  };
  const socket = () => {
    const opened = open();
    opened.say(handshake);
    return opened;
  };
  const readers = Array.from({ length: 20 }, reader);
  const others = [header(system.url), header(server), open(), open(server), socket()];
  return Promise.all([...others, ...readers].map(({ ended }) => ended));
}

const upgrade = (path: string, protocol = 'websocket') => [
  `GET ${path} HTTP/1.1`,
  'Host: shop',
  'Connection: Upgrade',
  `Upgrade: ${protocol}`,
];
const handshake = [
  ...upgrade('/socket.io/?EIO=4&transport=websocket'),
  'Sec-WebSocket-Version: 13',
  'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==',
];

describe('an Upgrade', () => {
  test('on other paths is a plain request, and 240 of them do not affect others', async () => {
    const paths = ['/api/sales', '/', '/healthz', '/api/nothing', '/SOCKET.IO/', '/x/../socket.io/?EIO=4'];
    const statuses = await harmless(() =>
      Promise.all(
        Array.from({ length: 240 }, async (_, n) => {
          const { say, answered, socket } = open();
          say(upgrade(paths[n % paths.length] ?? ''));
          const { status } = readAnswer(await answered);
          socket.destroy();
          return status;
        }),
      ),
    );
    expect(new Set(statuses)).toEqual(new Set([200, 400, 404]));
  });

  test.each(['websocket', 'h2c'])('to %s is refused by a server itself, on a used connection', async (to) => {
    const { say, socket, answered, ended } = open(server);
    say(['GET /healthz HTTP/1.1', 'Host: shop']);
    expect(await answered).toContain('200 OK');
    say(upgrade('/api/sales', to));
    const { text, tookMs } = await ended;
    expect(text).toContain('400 Bad Request');
    expect(text).toContain('"/problems/invalid-input"');
    expect(tookMs).toBeLessThan(patienceMs);
    expect(socket.destroyed).toBe(true);
  });

  test.each([
    ['with no handshake', upgrade('/socket.io/?EIO=4&transport=websocket')],
    ['with an unknown transport', upgrade('/socket.io/?EIO=4&transport=pigeon')],
    ['with no query', upgrade('/socket.io/')],
    ['of another site', [...handshake, 'Origin: https://evil.example']],
    ['to something else', upgrade('/socket.io/?EIO=4&transport=websocket', 'h2c')],
    [
      'by POST',
      ['POST /socket.io/?EIO=4&transport=websocket HTTP/1.1', ...handshake.slice(1), 'Content-Length: 5'],
    ],
  ])('at the sockets %s is answered and ended', async (_what, lines) => {
    for (const at of [system.url, server]) {
      const { say, answered, ended } = open(at);
      say([...lines]);
      expect(readAnswer(await answered).status).toBe(400);
      // nginx keeps the connection of a plain request alive.
      if (at === server) expect((await ended).tookMs).toBeLessThan(patienceMs);
    }
  });
});

describe('a body that trickles in', () => {
  function trickle(opened: Opened, lines: string[], piece = '{'): Opened {
    opened.say(lines);
    return drip(opened, piece);
  }
  const asJson = ['Host: shop', 'Content-Type: application/json'];

  test('is cut off, whether a handler reads it or not, and 200 of them do not affect others', async () => {
    const sized = [...asJson, 'Content-Length: 16000'];
    const bodies: [string[], string?][] = [
      [['POST /api/sessions HTTP/1.1', ...sized]],
      [['POST /api/users HTTP/1.1', ...asJson, 'Transfer-Encoding: chunked'], '1\r\n{\r\n'],
      [['GET /api/sales HTTP/1.1', ...sized]],
      [['GET / HTTP/1.1', ...sized]],
      [['POST /api/nothing HTTP/1.1', ...sized]],
      [['POST /socket.io/?EIO=4&transport=polling HTTP/1.1', ...sized]],
      [
        [
          'POST /api/admin/pictures HTTP/1.1',
          'Host: shop',
          'Content-Type: image/png',
          'Content-Length: 8000000',
        ],
      ],
      [[`POST /api/sales/${sale.id}/purchases HTTP/1.1`, ...sized]],
    ];
    const ends = await harmless(() =>
      Promise.all(
        Array.from({ length: 200 }, (_, n) => {
          const [lines = [], piece] = bodies[n % bodies.length] ?? [];
          return trickle(open(), lines, piece).ended;
        }),
      ),
    );
    for (const { text, tookMs } of ends) {
      expect(readAnswer(text).status).toBeGreaterThan(0);
      expect(tookMs).toBeLessThan(deadlineMs + patienceMs);
    }
  });

  test.each(['nginx', 'a server itself'])('to a press of Buy is answered 408 by %s', async (by) => {
    const headers = [`Authorization: Bearer ${system.buyerToken()}`, 'Content-Length: 100'];
    const lines = [`POST /api/sales/${sale.id}/purchases HTTP/1.1`, ...asJson, ...headers];
    const { text, tookMs } = await trickle(open(by === 'nginx' ? system.url : server), lines).ended;
    expect(readAnswer(text)).toMatchObject({ status: 408, type: 'application/problem+json; charset=utf-8' });
    expect(tookMs).toBeLessThan(deadlineMs + patienceMs);
  });

  test('is cut off by a server without nginx, also after its answer', async () => {
    const lines = ['POST /api/admin/pictures HTTP/1.1', 'Host: shop', 'Content-Length: 8000000'];
    const shorter = ['GET /api/sales HTTP/1.1', 'Host: shop', 'Content-Length: 100'];
    const { text, tookMs } = await trickle(open(server), shorter).ended;
    expect(readAnswer(text).status).toBe(200);
    expect(tookMs).toBeLessThan(deadlineMs + patienceMs);
    expect(readAnswer(await trickle(open(server), lines).answered).status).toBe(401);
  });
});

describe('what nginx makes of', () => {
  const long = 'x'.repeat(9_000);
  test.each<[string, number, string[]]>([
    ['what is not HTTP', 400, ['\u0000\u0001 not HTTP']],
    ['no Host', 400, ['GET / HTTP/1.1']],
    ['a path out of the root', 400, ['GET /../../etc/passwd HTTP/1.1', 'Host: shop']],
    [
      'two lengths',
      400,
      ['POST / HTTP/1.1', 'Host: shop', 'Content-Length: 5', 'Transfer-Encoding: chunked'],
    ],
    ['its own address for problems', 404, ['GET /problem HTTP/1.1', 'Host: shop']],
    ['TRACE', 405, ['TRACE / HTTP/1.1', 'Host: shop']],
    ['a precondition', 412, ['GET /favicon.svg HTTP/1.1', 'Host: shop', 'If-Match: "another"']],
    ['a body that is too large', 413, ['POST /api/users HTTP/1.1', 'Host: shop', 'Content-Length: 9999999']],
    ['an address that is too long', 414, [`GET /${long} HTTP/1.1`, 'Host: shop']],
    ['a range beyond the end', 416, ['GET /favicon.svg HTTP/1.1', 'Host: shop', 'Range: bytes=99999-']],
    ['a header that is too long', 431, ['GET / HTTP/1.1', 'Host: shop', `X-Long: ${long}`]],
    ['an unknown encoding', 501, ['POST / HTTP/1.1', 'Host: shop', 'Transfer-Encoding: brotli']],
    ['an unknown version', 505, ['GET / HTTP/7.0', 'Host: shop']],
  ])('%s is a problem of its own: %i', async (_what, status, lines) => {
    const { type, body, ...answer } = await answerTo(lines);
    expect(answer.status).toBe(status);
    expect(type).toBe('application/problem+json; charset=utf-8');
    expect(JSON.parse(body)).toEqual({
      type: expect.stringMatching(/^\/problems\/[a-z-]+$/),
      title: expect.any(String),
      detail: expect.any(String),
      status,
    });
  });
});

test('a refusal by a server is passed on, and nginx does not mark the server as down', async () => {
  const poison = [
    ['GET /api/sales HTTP/1.1', 'Host: shop', 'X-Control: \u0001'],
    ['GET /\u00ff\u00fe HTTP/1.1', 'Host: shop'],
    ['BREW / HTTP/1.1', 'Host: shop'],
    // A redirect that repeats the path would have headers larger than nginx accepts.
    [`GET /images?${'"'.repeat(4_000)} HTTP/1.1`, 'Host: shop'],
    [`GET /assets/x/texts?${'"'.repeat(4_000)} HTTP/1.1`, 'Host: shop'],
    ['GET /api/sales HTTP/1.1', 'Host: shop', `X-One: ${'x'.repeat(8_000)}`, `X-Two: ${'x'.repeat(8_000)}`],
    ['POST /api/sessions HTTP/1.1', 'Host: shop', 'Expect: the-unexpected', 'Content-Length: 0'],
  ];
  const statuses = await harmless(() =>
    Promise.all(
      Array.from({ length: 140 }, async (_, n) => (await answerTo(poison[n % poison.length] ?? [])).status),
    ),
  );
  expect(new Set(statuses)).toEqual(new Set([200, 400, 404]));
});

describe('a plain health check', () => {
  const paths = ['/', '/healthz', '/health', '/readyz'];
  test.each(paths.flatMap((path) => ['GET', 'HEAD'].map((method) => [method, path])))(
    '%s %s',
    async (method, path) => {
      for (const at of [system.url, server]) {
        for (const lines of [
          [`${method} ${path} HTTP/1.0`],
          [`${method} ${path} HTTP/1.1`, 'Host: 10.0.0.1'],
        ]) {
          const { status, body } = await answerTo(lines, at);
          expect([at, lines, status]).toEqual([at, lines, 200]);
          expect(body === '').toBe(method === 'HEAD');
        }
      }
    },
  );

  test('OPTIONS', async () => {
    for (const at of [system.url, server]) {
      const { status, head } = await answerTo(['OPTIONS / HTTP/1.1', 'Host: shop'], at);
      expect(status).toBe(200);
      expect(head).toContain('Allow: GET, HEAD');
    }
  });
});

test.each([
  '/tsconfig.json',
  '/tsconfig%2ejson',
  '/shared/socket-client.d.ts',
  '/admin/charts/uplot.d.ts',
  '/assets/any/tsconfig.json',
  '/vendor/uplot/uPlot.d.ts',
  '/vendor/uplot/uPlot.cjs.js',
  '/images',
  '/images/',
  '/texts/',
  '/.git/config',
  '/.env',
  '/%2e%2e/package.json',
  '/assets/any/..%2f..%2fpackage.json',
  '/..%5cpackage.json',
])('%s is not served', async (path) => {
  for (const at of [system.url, server])
    expect((await answerTo([`GET ${path} HTTP/1.1`, 'Host: shop'], at)).status).toBeGreaterThanOrEqual(400);
});

test.each([
  ['https', true],
  ['http', false],
])('the cookie of the queue’s board over %s goes nowhere else', async (protocol, isSecure) => {
  const { body } = await system.api('POST', '/api/admin/queue-visits', { token: system.adminToken });
  // The server trusts the test as its proxy.
  const { status, head } = await answerTo(
    [`GET ${body.path} HTTP/1.1`, 'Host: shop', `X-Forwarded-Proto: ${protocol}`],
    server,
  );
  expect(status).toBe(303);
  const cookie = /^set-cookie: (.+)$/im.exec(head)?.[1] ?? '';
  expect(cookie).toMatch(/; Path=\/admin\/queues; .*HttpOnly/);
  expect(cookie).toContain('SameSite=Strict');
  expect(cookie.includes('Secure')).toBe(isSecure);
});

// The last test, because these connections take longer than all other tests, and have been open meanwhile.
test('slow headers, idle connections and unread answers are cut off', async () => {
  const ends = await harmless(() => slowClients);
  for (const { tookMs } of ends) expect(tookMs).toBeLessThan(45_000);
}, 90_000);
