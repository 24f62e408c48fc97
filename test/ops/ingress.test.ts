import { once } from 'node:events';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { type IncomingMessage, request } from 'node:http';
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

const controller = '127.0.0.2';
const somebodyElse = '127.0.0.1';

/** nginx as ops/kubernetes sets it, but for where it and the server are, and which address the Ingress controller has. */
describe('nginx behind an Ingress', needs('nginx'), () => {
  let system: TestSystem;
  let dir: string;
  let port: number;
  let nginx: Awaited<ReturnType<typeof launch>>;

  beforeAll(async () => {
    system = await startSystem({ servers: 1, workers: 0, nginx: false, env: { TRUST_PROXY_HOPS: '1' } });
    dir = await mkdtemp(join(tmpdir(), 'stampede-ingress-'));
    port = await freePort();
    const [deployment] = parseAllDocuments(
      readFileSync(join(ROOT, 'ops/kubernetes/base/nginx.yaml'), 'utf8'),
    );
    const env: { name: string; value: string }[] = deployment?.toJS().spec.template.spec.containers[0].env;
    const given = Object.fromEntries(env.map(({ name, value }) => [name, value]));
    const rendered = renderNginxConfig({
      ...given,
      STAMPEDE_LISTEN: `127.0.0.1:${port}`,
      STAMPEDE_NGINX_DIR: dir,
      STAMPEDE_RESOLVER: '127.0.0.1',
      STAMPEDE_TRUSTED_PROXY: given.STAMPEDE_TRUSTED_PROXY?.replace('10.0.0.0/8', controller) ?? '',
    }).replace(/server \S+ resolve/g, `server ${new URL(system.url).host}`);
    mkdirSync(join(dir, 'answers'));
    writeFileSync(join(dir, 'nginx.conf'), rendered);
    const args = [
      '-p',
      dir,
      '-c',
      join(dir, 'nginx.conf'),
      '-g',
      process.getuid?.() === 0 ? 'daemon off; user root;' : 'daemon off;',
    ];
    nginx = await launch('nginx', pathOf('nginx') ?? '', args, { logFile: join(dir, 'nginx.log') });
    const isReady = async () => (await fetch(`http://127.0.0.1:${port}/healthz`)).ok;
    await waitUntil(isReady, { deadlineMs: 10_000, what: 'nginx does not answer', launched: nginx });
  });
  afterAll(async () => {
    await stop(nginx);
    await system.close();
    await rm(dir, { recursive: true });
  });

  async function ask(path: string, { by, body }: { by: string; body?: object }) {
    const asked = request({
      ...{ host: '127.0.0.1', port, path, method: body ? 'POST' : 'GET', localAddress: by },
      headers: {
        'Content-Type': 'application/json',
        'X-Forwarded-For': '203.0.113.7',
        'X-Forwarded-Proto': 'https',
      },
    });
    asked.end(body && JSON.stringify(body));
    const [answer] = (await once(asked, 'response')) as [IncomingMessage];
    await text(answer);
    return { status: answer.statusCode, headers: answer.headers };
  }
  const signUp = (by: string) =>
    ask('/api/users', {
      by,
      body: { email: `${crypto.randomUUID()}@example.com`, password: 'correct horse', name: 'Ann' },
    });

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
});
