import { connect } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { SaleSnapshot } from '../sale/contract.ts';
import { startSystem, type TestSystem } from './harness.ts';
import { readSamples } from './samples.ts';

/*
 * What anybody can send, with no account: it is answered, it ends, and everybody else notices nothing. nginx stands in front
 * of two servers, as it does where the shop is run.
 */
const deadlineMs = 2_000;
/** What nginx and a server take to let go of a connection, and a busy machine to say so. */
const patienceMs = 8_000;

let system: TestSystem;
let sale: SaleSnapshot;
let server: string;
beforeAll(async () => {
  system = await startSystem({ workers: 0, env: { ANSWER_DEADLINE_MS: String(deadlineMs) } });
  sale = await system.createSale({ stock: 100_000 });
  server = system.servers[0]?.url ?? '';
});
afterAll(() => system.close());

/** A connection on which a test chooses every byte. */
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
    /** Resolves when the other side has answered. */
    answered: new Promise<string>((resolve) => socket.once('data', () => resolve(text))),
    /** Resolves when the other side has ended it, with all that it said. */
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

/** How many answers nginx has made itself, as all processes count them together. */
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

/** Runs it beside everybody else: none of their reads and presses fails or is late, and nginx takes no server for dead. */
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
  test('elsewhere than at the sockets is a plain request, and 240 of them harm nobody', async () => {
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
      // Where it was a plain request, nginx keeps the connection for the next one.
      if (at === server) expect((await ended).tookMs).toBeLessThan(patienceMs);
    }
  });
});

describe('a body that trickles in', () => {
  /** Sends a piece of its body 20 times a second, for as long as somebody reads it. */
  function trickle(opened: Opened, lines: string[], piece = '{'): Opened {
    opened.say(lines);
    const timer = setInterval(() => opened.socket.writable && opened.socket.write(piece), 50);
    opened.socket.once('close', () => clearInterval(timer));
    return opened;
  }
  const asJson = ['Host: shop', 'Content-Type: application/json'];

  test('is cut off, whether anybody reads it or not, and 200 of them harm nobody', async () => {
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

  test('after the answer to a server itself is cut off as well', async () => {
    const lines = ['POST /api/admin/pictures HTTP/1.1', 'Host: shop', 'Content-Length: 8000000'];
    const shorter = ['GET /api/sales HTTP/1.1', 'Host: shop', 'Content-Length: 100'];
    const { text, tookMs } = await trickle(open(server), shorter).ended;
    expect(readAnswer(text).status).toBe(200);
    expect(tookMs).toBeLessThan(deadlineMs + patienceMs);
    expect(readAnswer(await trickle(open(server), lines).answered).status).toBe(401);
  });
});

test('headers that trickle in, silence, and answers that nobody reads are cut off', async () => {
  const file = ['GET /docs/swagger-ui-bundle.js HTTP/1.1', 'Host: shop'];
  const reader = () => {
    const opened = open();
    opened.say(file);
    opened.socket.pause();
    return opened;
  };
  const header = (at: string) => {
    const opened = open(at);
    opened.socket.write('GET / HTTP/1.1\r\n');
    const timer = setInterval(() => opened.socket.writable && opened.socket.write('X: y\r\n'), 200);
    opened.socket.once('close', () => clearInterval(timer));
    return opened;
  };
  const socket = () => {
    const opened = open();
    opened.say(handshake);
    return opened;
  };
  await harmless(() =>
    Promise.all(
      [
        header(system.url),
        header(server),
        open(),
        open(server),
        socket(),
        ...Array.from({ length: 20 }, reader),
      ].map(async ({ ended }) => expect((await ended).tookMs).toBeLessThan(45_000)),
    ),
  );
}, 90_000);
