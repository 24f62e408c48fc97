import { once } from 'node:events';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type IncomingMessage, request } from 'node:http';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { parseAllDocuments } from 'yaml';
import { ROOT } from '../../ops/local/folders.mjs';
import { renderNginxConfig } from '../../ops/local/nginx/nginx.mjs';
import { freePort } from '../../ops/local/processes/port.mjs';
import { launch, stop, waitUntil } from '../../ops/local/processes/process.mjs';
import { startSystem, type TestSystem } from '../support/harness.ts';
import { needs, pathOf } from '../support/needs.ts';

/** The Ingress controller, or another proxy in front. */
const controller = '127.0.0.2';
const somebodyElse = '127.0.0.1';
const shopOrigin = 'https://shop.example.com';

/** nginx as ops/kubernetes sets it, but for where it and the server are, and which addresses are trusted. */
describe('nginx behind another proxy', needs('nginx'), () => {
  let system: TestSystem;
  let dir: string;
  let port: number;
  const launched: Awaited<ReturnType<typeof launch>>[] = [];

  beforeAll(async () => {
    system = await startSystem({ servers: 1, workers: 0, nginx: false, env: { TRUST_PROXY_HOPS: '1' } });
    dir = await mkdtemp(join(tmpdir(), 'stampede-ingress-'));
    port = await openNginx('ingress', {
      STAMPEDE_TRUSTED_PROXY: settings.STAMPEDE_TRUSTED_PROXY?.replace('10.0.0.0/8', controller) ?? '',
    });
  });
  afterAll(async () => {
    await Promise.all(launched.map((nginx) => stop(nginx)));
    await system.close();
    await rm(dir, { recursive: true });
  });

  const [deployment] = parseAllDocuments(readFileSync(join(ROOT, 'ops/kubernetes/base/nginx.yaml'), 'utf8'));
  const env: { name: string; value: string }[] = deployment?.toJS().spec.template.spec.containers[0].env;
  const settings: Record<string, string> = Object.fromEntries(env.map(({ name, value }) => [name, value]));
  const upstream = () => `server ${new URL(system.url).host}`;

  /** @param listen more than its address. @returns its port. */
  async function openNginx(name: string, values: Record<string, string>, listen = ''): Promise<number> {
    const at = await freePort();
    const folder = join(dir, name);
    mkdirSync(join(folder, 'answers'), { recursive: true });
    const rendered = renderNginxConfig({
      ...settings,
      STAMPEDE_LISTEN: `127.0.0.1:${at}${listen}`,
      STAMPEDE_NGINX_DIR: folder,
      STAMPEDE_RESOLVER: '127.0.0.1',
      ...values,
    }).replace(/server \S+ resolve/g, upstream());
    await start(folder, rendered, at);
    return at;
  }

  async function start(folder: string, config: string, at: number): Promise<void> {
    const file = join(folder, 'nginx.conf');
    writeFileSync(file, config);
    const user = process.getuid?.() === 0 ? ' user root;' : '';
    const args = ['-p', folder, '-c', file, '-g', `daemon off;${user}`];
    const nginx = await launch('nginx', pathOf('nginx') ?? '', args, { logFile: join(folder, 'nginx.log') });
    launched.push(nginx);
    const accepts = () =>
      new Promise<boolean>((resolve) => {
        const socket = connect(at, '127.0.0.1', () => resolve(true));
        socket.once('error', () => resolve(false)).once('connect', () => socket.destroy());
      });
    await waitUntil(accepts, { deadlineMs: 10_000, what: 'nginx does not answer', launched: nginx });
  }

  interface Asked {
    by: string;
    at?: number;
    body?: object;
    headers?: Record<string, string>;
  }
  function send(path: string, { by, at = port, body, headers }: Asked) {
    return request({
      ...{ host: '127.0.0.1', port: at, path, method: body ? 'POST' : 'GET', localAddress: by },
      headers: {
        'Content-Type': 'application/json',
        'X-Forwarded-For': '203.0.113.7',
        'X-Forwarded-Proto': 'https',
        ...headers,
      },
    });
  }
  async function ask(path: string, options: Asked) {
    const asked = send(path, options);
    asked.end(options.body && JSON.stringify(options.body));
    const [answer] = (await once(asked, 'response')) as [IncomingMessage];
    return { status: answer.statusCode, headers: answer.headers, body: await text(answer) };
  }
  const signUp = (by: string) =>
    ask('/api/users', {
      by,
      body: { email: `${crypto.randomUUID()}@example.com`, password: 'correct horse', name: 'Ann' },
    });

  const product = { name: 'Lamp', description: '', image: '' };
  const asAdmin = () => ({ Authorization: `Bearer ${system.adminToken}` });
  /** The client's address of the last change, as the staff log has it. */
  async function lastFrom(): Promise<string> {
    // Without a worker, entries wait for their number.
    const made = { action: 'product.created' };
    const entry = await system.store.collections.newStaffEntries.findOne(made, { sort: { _id: -1 } });
    return entry?.from ?? '';
  }
  /** The client's address for the server when a client asks. */
  async function addressSeen(options: Omit<Asked, 'body'>): Promise<string> {
    const headers = { ...asAdmin(), ...options.headers };
    const { status } = await ask('/api/products', { ...options, headers, body: product });
    expect(status).toBe(201);
    return await lastFrom();
  }

  test('the client has the address and the TLS that the Ingress controller says', async () => {
    const { status, headers } = await signUp(controller);
    expect(status).toBe(201);
    expect(headers['strict-transport-security']).toBe('max-age=31536000');
    expect(headers['set-cookie']?.[0]).toContain('; Secure');
    // Only private addresses may read it.
    expect((await ask('/metrics', { by: controller })).status).toBe(404);
  });

  test('nobody else is believed', async () => {
    const { status, headers } = await signUp(somebodyElse);
    expect(status).toBe(201);
    expect(headers['strict-transport-security']).toBeUndefined();
    expect(headers['set-cookie']?.[0]).not.toContain('Secure');
    expect((await ask('/metrics', { by: somebodyElse })).status).toBe(200);
  });

  describe('an edge', () => {
    let origin: number;
    let edge: number;
    beforeAll(async () => {
      origin = await openNginx('origin', {
        STAMPEDE_TRUSTED_PROXY: `set_real_ip_from ${controller}; real_ip_header X-Forwarded-For; real_ip_recursive on;`,
        STAMPEDE_ALLOWED_ORIGINS: `https://other.example.com,${shopOrigin}`,
        STAMPEDE_CONNECTIONS_PER_ADDRESS: '2',
      });
      edge = await freePort();
      const folder = join(dir, 'edge');
      mkdirSync(folder);
      const names: Record<string, string> = {
        EDGE_LISTEN: `127.0.0.1:${edge}`,
        EDGE_ORIGIN: `127.0.0.1:${origin}`,
        EDGE_ADDRESS: controller,
        EDGE_DIR: folder,
      };
      const config = readFileSync(join(ROOT, 'nginx/edge.conf'), 'utf8');
      await start(
        folder,
        config.replace(/\$\{(EDGE_[A-Z]+)\}/g, (_, name) => names[name] ?? ''),
        edge,
      );
    });

    test('says who the client is, whatever the client writes into X-Forwarded-For', async () => {
      expect(await addressSeen({ by: '127.0.0.5', at: edge })).toBe('127.0.0.5');
      const forged = { 'X-Forwarded-For': `198.51.100.1, ${controller}` };
      expect(await addressSeen({ by: '127.0.0.5', at: edge, headers: forged })).toBe('127.0.0.5');
      // Past the edge nobody is believed.
      expect(await addressSeen({ by: '127.0.0.6', at: origin })).toBe('127.0.0.6');
    });

    test('keeps pages and snapshots for a second, but nothing of one person', async () => {
      const sale = await system.createSale({ stock: 3 });
      for (const path of [`/api/sales/${sale.id}`, `/sales/${sale.id}`]) {
        const kept = await waitUntil(
          async () => {
            const { headers } = await ask(path, { by: somebodyElse, at: edge });
            return headers['x-cache'] === 'HIT' ? headers : null;
          },
          { deadlineMs: 10_000, what: `${path} is not kept` },
        );
        expect(kept['cdn-cache-control']).toBe('max-age=1');
        expect(kept['cache-control']).toBe('no-cache');
      }
      for (let n = 0; n < 3; n++) {
        const { headers } = await ask('/api/admin/products', {
          by: somebodyElse,
          at: edge,
          headers: asAdmin(),
        });
        expect(headers['x-cache']).toBe('BYPASS');
      }
    });

    test('a /64 of IPv6 has the connections of one address, and a page of an allowed origin may read the refusal', async () => {
      const from = (address: string, origin = '') => ({
        'X-Forwarded-For': address,
        ...(origin && { Origin: origin }),
      });
      // Bodies that do not come keep these requests open.
      const open = ['2001:db8:0:7::1', '2001:db8:0:7:ffff::2'].map((address) => {
        const headers = { ...from(address), 'Content-Length': '100', ...asAdmin() };
        const held = send('/api/products', { by: controller, at: origin, body: product, headers });
        held.on('error', () => {}).write('{');
        return held;
      });
      const refused = await waitUntil(
        async () => {
          const headers = from('2001:db8:0:7:8000::3', shopOrigin);
          const answer = await ask('/api/sales', { by: controller, at: origin, headers });
          return answer.status === 429 ? answer : null;
        },
        { deadlineMs: 10_000, what: 'the /64 is not limited' },
      );
      expect(refused.headers).toMatchObject({
        'access-control-allow-origin': shopOrigin,
        'access-control-expose-headers': 'Retry-After',
        'retry-after': '1',
        vary: 'Origin',
      });
      const foreign = from('2001:db8:0:7::4', `${shopOrigin}.evil.example`);
      const again = await ask('/api/sales', { by: controller, at: origin, headers: foreign });
      expect([again.status, again.headers['access-control-allow-origin']]).toEqual([429, undefined]);
      for (const other of ['2001:db8:0:8::1', '198.51.100.4', '::ffff:198.51.100.4'])
        expect((await ask('/api/sales', { by: controller, at: origin, headers: from(other) })).status).toBe(
          200,
        );
      for (const held of open) held.destroy();
    });
  });

  test('a TCP load balancer says by the PROXY protocol who the client is, and the client nothing', async () => {
    const at = await openNginx(
      'proxy-protocol',
      { STAMPEDE_TRUSTED_PROXY: 'set_real_ip_from 127.0.0.1; real_ip_header proxy_protocol;' },
      ' proxy_protocol',
    );
    const socket = connect(at, '127.0.0.1');
    const body = JSON.stringify(product);
    const head = {
      ...{ Host: 'localhost', Connection: 'close', 'Content-Type': 'application/json', ...asAdmin() },
      ...{ 'X-Forwarded-For': '198.51.100.1', 'X-Forwarded-Proto': 'https' },
      'Content-Length': String(body.length),
    };
    const lines = Object.entries(head).map(([name, value]) => `${name}: ${value}\r\n`);
    socket.write(`PROXY TCP4 203.0.113.9 127.0.0.1 5000 80\r\nPOST /api/products HTTP/1.1\r\n`);
    socket.write(`${lines.join('')}\r\n${body}`);
    const answer = await text(socket);
    expect(answer).toMatch(/^HTTP\/1\.1 201 /);
    expect(answer).not.toMatch(/strict-transport-security/i);
    expect(await lastFrom()).toBe('203.0.113.9');
  });

  test('while two versions stand side by side, a page gets the files of its own; afterwards it is loaded again', async () => {
    const other = createServer((_, response) => response.writeHead(404).end()).listen(0, '127.0.0.1');
    await once(other, 'listening');
    const { port: otherPort } = other.address() as { port: number };
    const at = await openNginx('versions', {
      STAMPEDE_UPSTREAM_SERVERS: `server 127.0.0.1:${otherPort}; ${upstream()};`,
    });
    const page = await system.api<string>('GET', '/');
    const [, script = ''] = /src="(\/bundles\/[^"]+)"/.exec(page.body) ?? [];
    const found = await ask(script, { by: somebodyElse, at });
    expect([found.status, found.headers['content-type']]).toEqual([200, 'text/javascript; charset=utf-8']);
    const icon = script.replace(/\/list\/.*/, '/favicon.svg');
    for (let n = 0; n < 4; n++)
      expect((await ask(`${icon}?n=${n}`, { by: somebodyElse, at })).status).toBe(200);
    const old = script.replace(/\/bundles\/[^/]+/, '/bundles/of-the-version-before');
    for (const path of [old, old.replace(/\/list\/.*/, '/chunks/views-ABC123.js')]) {
      const again = await ask(path, { by: somebodyElse, at });
      expect([again.status, again.headers['cache-control']]).toEqual([200, 'no-store']);
      expect(again.body).toContain('location.reload()');
    }
    expect((await ask('/bundles/of-the-version-before/favicon.svg', { by: somebodyElse, at })).status).toBe(
      404,
    );
    other.close();
  });
});
