import { nanoid } from 'nanoid';
import { io, type Socket } from 'socket.io-client';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import type { Session } from '../../sale/contract.ts';
import { openTokens } from '../../server/http/identity/tokens.ts';
import { startSystem, type TestSystem } from '../support/harness.ts';

const messages = 20;
const connects = 12;
const maxSockets = 5;

let system: TestSystem;
beforeAll(async () => {
  system = await startSystem({
    // The servers trust the test as their proxy, so that it can use many addresses.
    nginx: false,
    env: {
      LIMIT_FACTOR: '1',
      TRUST_PROXY_HOPS: '1',
      SOCKET_MESSAGES_PER_MINUTE: String(messages),
      SOCKET_CONNECTS_PER_ADDRESS_PER_MINUTE: String(connects),
      SOCKETS_PER_ADDRESS: String(maxSockets),
    },
  });
});
afterAll(() => system.close());

const sockets: Socket[] = [];
afterEach(() => {
  for (const socket of sockets.splice(0)) socket.disconnect();
});

let addresses = 0;
const newAddress = () => `10.2.0.${++addresses}`;

function open(token: string, { from = newAddress(), server = 0 } = {}): Socket {
  const socket = io(system.servers[server]?.url ?? '', {
    ...{ transports: ['websocket'], forceNew: true, reconnection: false },
    auth: { token },
    extraHeaders: { 'X-Forwarded-For': from },
  });
  sockets.push(socket);
  return socket;
}
const connected = (socket: Socket) =>
  new Promise<Socket>((resolve, reject) => {
    socket.once('connect', () => resolve(socket));
    socket.once('connect_error', reject);
  });
const gone = (socket: Socket) => new Promise<string>((resolve) => socket.once('disconnect', resolve));

test('a socket is disconnected when its token expires, and cannot reconnect with it', async () => {
  const token = openTokens(system.env.JWT_SECRET ?? '', 2).issue({ id: 'short-lived', role: 'buyer' });
  const socket = await connected(open(token));
  const expiresAtMs = JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString()).exp * 1_000;
  expect(await gone(socket)).toBe('transport close');
  expect(Date.now()).toBeGreaterThanOrEqual(expiresAtMs - 50);
  await expect(connected(open(token))).rejects.toThrow('unauthorized');
});

test('a socket that sends too much is disconnected, without affecting others', async () => {
  const calm = await connected(open(system.buyerToken()));
  const eager = await connected(open(system.buyerToken()));
  const end = gone(eager);
  for (let n = 0; n < 10 * messages; n++) eager.emit('watch', { saleId: 'some-sale-id' });
  expect(await end).toMatch(/transport (close|error)/);
  expect(await calm.timeout(5_000).emitWithAck('watch', { saleId: 'some-sale-id' })).toEqual({ ok: true });
});

test('unknown events are counted as well', async () => {
  const socket = await connected(open(system.buyerToken()));
  const end = gone(socket);
  for (let n = 0; n < 10 * messages; n++) socket.emit('nothing', n);
  expect(await end).toMatch(/transport (close|error)/);
});

test('the sockets of one address are limited, and closing one makes room for another', async () => {
  const from = newAddress();
  const here = [];
  for (let n = 0; n < maxSockets; n++) here.push(await connected(open(system.buyerToken(), { from })));
  await expect(connected(open(system.buyerToken(), { from }))).rejects.toThrow('websocket error');
  expect((await connected(open(system.buyerToken()))).connected).toBe(true);
  here[0]?.disconnect();
  await expect
    .poll(
      () =>
        connected(open(system.buyerToken(), { from })).then(
          () => true,
          () => false,
        ),
      { interval: 200 },
    )
    .toBe(true);
});

test('the connections of one address a minute are limited, even when each is closed at once', async () => {
  const from = newAddress();
  for (let n = 0; n < connects; n++) {
    const socket = await connected(open(system.buyerToken(), { from }));
    const closed = gone(socket);
    socket.disconnect();
    await closed;
  }
  const forged = `${newAddress()}, ${from}`;
  await expect(connected(open(system.buyerToken(), { from: forged }))).rejects.toThrow('websocket error');
});

test('signing out everywhere disconnects the buyer’s sockets on every instance, and nobody else’s', async () => {
  const account = { email: `${nanoid()}@example.com`, password: 'correct horse', name: 'Ann' };
  const { body } = await system.api<Session>('POST', '/api/users', { body: account });
  const mine = await Promise.all([0, 1].map((server) => connected(open(body.token, { server }))));
  const other = await connected(open(system.buyerToken()));
  const ends = mine.map(gone);
  await system.api('DELETE', '/api/sessions', { token: body.token });
  expect(await Promise.all(ends)).toEqual(['io server disconnect', 'io server disconnect']);
  await expect(connected(open(body.token))).rejects.toThrow('unauthorized');
  expect(other.connected).toBe(true);
});
