import { once } from 'node:events';
import { Agent, request as ask } from 'node:http';
import { connect, type Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { nanoid } from 'nanoid';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { waitUntil } from '../embedded/process.mjs';
import type { SaleSnapshot } from '../sale/contract.ts';
import { startSystem, type TestSystem } from './harness.ts';
import { readSamples } from './samples.ts';

/*
 * What anybody can send, with no account: it is answered, it ends, and everybody else notices nothing. nginx stands in front
 * of two servers, as it does where the shop is run.
 */
const deadlineMs = 2_000;

let system: TestSystem;
let sale: SaleSnapshot;
beforeAll(async () => {
  system = await startSystem({ env: { ANSWER_DEADLINE_MS: String(deadlineMs) } });
  sale = await system.createSale({ stock: 100_000 });
});
afterAll(() => system.close());

const open: Socket[] = [];
afterAll(() => {
  for (const socket of open) socket.destroy();
});

/** A connection whose words a test chooses, and what came back on it until it ended. */
function connection(at = system.url) {
  const { hostname, port } = new URL(at);
  const socket = connect(Number(port), hostname);
  open.push(socket);
  socket.on('error', () => {});
  let text = '';
  socket.on('data', (chunk) => {
    text += chunk.toString('latin1');
  });
  const startedAt = performance.now();
  const ended = once(socket, 'close').then(() => ({ text, tookMs: performance.now() - startedAt }));
  return { socket, ended, text: () => text };
}

/** Sends this and waits for the end of the connection, which the other side has to bring about. */
async function exchange(lines: string[], { at = system.url, body = '' } = {}) {
  const { socket, ended } = connection(at);
  socket.write(`${lines.join('\r\n')}\r\n\r\n${body}`, 'latin1');
  const { text, tookMs } = await ended;
  const [head = '', answer = ''] = text.split('\r\n\r\n');
  return { status: Number(/^HTTP\/1\.1 (\d{3})/.exec(head)?.[1]), head, answer, tookMs };
}

/** How many answers nginx has made itself, as the processes count them together. */
async function countMadeByNginx(status: string): Promise<number> {
  let sum = 0;
  for (const { url } of [...system.servers, ...system.workers]) {
    const { body } = await system.api<string>('GET', '/metrics', { at: url });
    for (const { name, labels, value } of readSamples(body)) {
      if (name === 'stampede_proxy_answers_total' && labels.status === status) sum += value;
    }
  }
  return sum;
}

/**
 * What everybody else does meanwhile: reads and presses, one after the other, of which none may fail.
 * @returns how long they took, in ms.
 */
async function everybodyElse(until: Promise<unknown>): Promise<number[]> {
  let isOver = false;
  const over = until.finally(() => {
    isOver = true;
  });
  const took: number[] = [];
  do {
    const startedAt = performance.now();
    const read = await system.api('GET', `/api/sales/${sale.id}`);
    const pressed = await system.buy(sale.id, system.buyerToken());
    expect([read.status, pressed.status]).toEqual([200, 202]);
    took.push(performance.now() - startedAt);
    await delay(10);
  } while (!isOver || took.length < 50);
  await over;
  return took;
}

/** Runs it beside everybody else, who notice nothing: no answer fails, none is late, and nginx believes in its servers. */
async function harmless<Value>(attack: () => Promise<Value>): Promise<Value> {
  const before = await countMadeByNginx('503');
  const attacked = attack();
  const took = await everybodyElse(attacked);
  expect(Math.max(...took)).toBeLessThan(deadlineMs);
  expect(await countMadeByNginx('503')).toBe(before);
  return attacked;
}

const upgrade = (path: string, protocol = 'websocket') => [
  `GET ${path} HTTP/1.1`,
  'Host: shop',
  'Connection: Upgrade',
  `Upgrade: ${protocol}`,
];

describe('an Upgrade', () => {
  test('elsewhere than at the sockets’ path is a plain request: 240 of them harm nobody', async () => {
    const paths = ['/api/sales', '/', '/healthz', '/api/nothing', '/SOCKET.IO/', '/x/../socket.io/?EIO=4'];
    const answers = await harmless(async () => {
      const clients = Array.from({ length: 240 }, (_, n) =>
        connection().socket.write(`${upgrade(paths[n % paths.length] ?? '').join('\r\n')}\r\n\r\n`),
      );
      const sent = open.slice(-clients.length);
      // They wait for an answer, as long as it takes, and hang up only then.
      return Promise.all(
        sent.map(async (socket) => {
          const [chunk] = await once(socket, 'data', { signal: AbortSignal.timeout(10_000) });
          socket.destroy();
          return String(chunk).slice(9, 12);
        }),
      );
    });
    expect(new Set(answers)).toEqual(new Set(['200', '404', '400']));
  });

  test.each(['websocket', 'h2c'])(
    'to %s is refused by a server itself, also on a used connection',
    async (protocol) => {
      const [{ url = '' } = {}] = system.servers;
      const { socket, ended } = connection(url);
      socket.write('GET /healthz HTTP/1.1\r\nHost: shop\r\n\r\n');
      await once(socket, 'data');
      socket.write(`${upgrade('/api/sales', protocol).join('\r\n')}\r\n\r\n`);
      const { text, tookMs } = await ended;
      expect(text).toContain('HTTP/1.1 400 Bad Request');
      expect(text).toContain('"type":"/problems/invalid-input"');
      expect(tookMs).toBeLessThan(deadlineMs);
    },
  );

  test.each([
    ['no handshake', upgrade('/socket.io/?EIO=4&transport=websocket')],
    ['an unknown transport', upgrade('/socket.io/?EIO=4&transport=carrier-pigeon')],
    ['no query', upgrade('/socket.io/')],
    [
      'another site’s Origin',
      [
        ...upgrade('/socket.io/?EIO=4&transport=websocket'),
        'Origin: https://evil.example',
        'Sec-WebSocket-Version: 13',
        'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==',
      ],
    ],
    [
      'POST',
      [
        ...upgrade('/socket.io/?EIO=4&transport=websocket').map((line) => line.replace('GET', 'POST')),
        'Content-Length: 5',
      ],
    ],
  ])('at the sockets’ path with %s is answered and ended', async (_what, lines) => {
    for (const at of [system.url, system.servers[0]?.url ?? '']) {
      const { status, tookMs } = await exchange(at === system.url ? [...lines] : lines, { at });
      expect(status).toBe(400);
      expect(tookMs).toBeLessThan(5_000);
    }
  });

  test('that becomes a socket and then says nothing is ended', async () => {
    const { text, tookMs } = await exchange(
      [
        ...upgrade('/socket.io/?EIO=4&transport=websocket'),
        'Sec-WebSocket-Version: 13',
        'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==',
      ].concat(),
    ).then(({ head, answer, tookMs }) => ({ text: head + answer, tookMs }));
    expect(text).toContain('101 Switching Protocols');
    expect(tookMs).toBeLessThan(50_000);
  });
});

describe('what holds a connection', () => {
  const trickled = (headers: string[]) => {
    const one = connection();
    one.socket.write(`${headers.join('\r\n')}\r\n\r\n`);
    const drip = setInterval(() => one.socket.writable && one.socket.write('{'), 50);
    one.socket.once('close', () => clearInterval(drip));
    return one;
  };

  test.each([
    ['POST /api/sessions', []],
    ['POST /api/users', ['Transfer-Encoding: chunked']],
    ['GET /api/sales', []],
    ['GET /', []],
    ['POST /api/nothing', []],
    ['POST /api/admin/pictures', []],
  ])('%s with a body that trickles ends in bounded time, however busily it does', async (line, more) => {
    const length = more.length === 0 ? ['Content-Length: 16000'] : [];
    const headers = [`${line} HTTP/1.1`, 'Host: shop', 'Content-Type: application/json', ...length, ...more];
    const ends = await harmless(() => Promise.all(Array.from({ length: 50 }, () => trickled(headers).ended)));
    for (const { text, tookMs } of ends) {
      expect(text).toMatch(/^HTTP\/1\.1 \d{3} /);
      // The deadline, and what nginx takes to let go.
      expect(tookMs).toBeLessThan(deadlineMs + 8_000);
    }
  });

  test('a buyer’s press whose body trickles is answered 408', async () => {
    const { socket, ended } = connection();
    const headers = [
      `POST /api/sales/${sale.id}/purchases HTTP/1.1`,
      'Host: shop',
      'Content-Type: application/json',
      `Authorization: Bearer ${system.buyerToken()}`,
      'Content-Length: 100',
    ];
    socket.write(`${headers.join('\r\n')}\r\n\r\n`);
    const drip = setInterval(() => socket.writable && socket.write('{'), 50);
    const { text } = await ended;
    clearInterval(drip);
    expect(text).toMatch(/^HTTP\/1\.1 408 /);
    expect(text).toContain('"type":"/problems/request-timeout"');
  });
});
