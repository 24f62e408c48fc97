import { once } from 'node:events';
import { readFileSync, statSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { type IncomingMessage, request } from 'node:http';
import { connect as connectHttp2, type IncomingHttpHeaders } from 'node:http2';
import { type RequestOptions, request as secureRequest } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { connect } from 'node:tls';
import { io } from 'socket.io-client';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Nginx, openNginx } from '../../ops/local/nginx/nginx.mjs';
import { makeCertificate } from '../../ops/local/nginx/tls.mjs';
import { freePort } from '../../ops/local/processes/port.mjs';
import { startSystem, type TestSystem } from '../support/harness.ts';

let system: TestSystem;
let dir: string;
let nginx: Nginx;
let tlsPort: number;
let ca: Buffer;
let key: string;
beforeAll(async () => {
  system = await startSystem({ servers: 1, workers: 0, nginx: false, env: { TRUST_PROXY_HOPS: '1' } });
  dir = await mkdtemp(join(tmpdir(), 'stampede-tls-'));
  const made = await makeCertificate(dir);
  ({ key } = made);
  ca = readFileSync(made.certificate);
  tlsPort = await freePort();
  const server = { host: '127.0.0.1', port: Number(new URL(system.url).port) };
  const opened = await openNginx({
    ...{ dataDir: dir, port: await freePort(), servers: [server] },
    tls: { port: tlsPort, ...made },
  });
  if (!opened) throw new Error('this test needs nginx');
  nginx = opened;
});
afterAll(async () => {
  await nginx.close();
  await system.close();
  await rm(dir, { recursive: true });
});

const account = () =>
  JSON.stringify({ email: `${crypto.randomUUID()}@example.com`, password: 'correct horse', name: 'Ann' });

async function signUp(over: 'http' | 'https', options: RequestOptions = {}) {
  const headers = { 'Content-Type': 'application/json', ...options.headers };
  const all = { method: 'POST', path: '/api/users', ...options, headers };
  const asked =
    over === 'https'
      ? secureRequest({ host: '127.0.0.1', port: tlsPort, ca, ...all })
      : request(`${nginx.url}/api/users`, all);
  asked.end(account());
  const [answer] = (await once(asked, 'response')) as [IncomingMessage];
  await text(answer);
  return { status: answer.statusCode, headers: answer.headers };
}

test('over TLS the session’s cookie is Secure, and HSTS is sent', async () => {
  const { status, headers } = await signUp('https');
  expect(status).toBe(201);
  expect(headers['strict-transport-security']).toBe('max-age=31536000');
  expect(headers['set-cookie']?.[0]).toMatch(/; HttpOnly; Secure; SameSite=Strict$/);
});

test('without TLS the cookie is not Secure, and HSTS is not sent', async () => {
  const { status, headers } = await signUp('http', { headers: { 'X-Forwarded-Proto': 'https' } });
  expect(status).toBe(201);
  expect(headers['strict-transport-security']).toBeUndefined();
  expect(headers['set-cookie']?.[0]).not.toContain('Secure');
});

test('a socket connects over TLS from a page on TLS', async () => {
  const url = `https://127.0.0.1:${tlsPort}`;
  const socket = io(url, {
    ...{ transports: ['websocket'], forceNew: true, reconnection: false, ca: ca.toString() },
    ...{ auth: { token: system.buyerToken() }, extraHeaders: { Origin: url } },
  });
  await new Promise<void>((resolve, reject) => {
    socket.once('connect', resolve);
    socket.once('connect_error', reject);
  });
  socket.disconnect();
});

test('a page comes over HTTP/2', async () => {
  const session = connectHttp2(`https://127.0.0.1:${tlsPort}`, { ca });
  const stream = session.request({ ':path': '/', 'accept-encoding': 'gzip' });
  const [headers] = (await once(stream, 'response')) as [IncomingHttpHeaders];
  expect([session.alpnProtocol, headers[':status'], headers['content-encoding']]).toEqual([
    'h2',
    200,
    'gzip',
  ]);
  stream.resume();
  session.close();
});

test('outdated TLS versions are refused', async () => {
  const socket = connect({
    host: '127.0.0.1',
    port: tlsPort,
    ca,
    maxVersion: 'TLSv1.1',
    minVersion: 'TLSv1',
  });
  await expect(once(socket, 'secureConnect')).rejects.toThrow();
});

test('nginx refuses headers over the limit', async () => {
  const { status, headers } = await signUp('http', { headers: { 'X-Long': 'x'.repeat(20_000) } });
  expect([status, headers['x-instance']]).toEqual([431, undefined]);
});

test('the private key is readable by this user only', () => {
  expect(statSync(key).mode & 0o077).toBe(0);
});
