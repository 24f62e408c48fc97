import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { answersIn, type Nginx, openNginx } from '../../../ops/local/nginx/nginx.mjs';
import { freePort } from '../../../ops/local/processes/port.mjs';
import { waitUntil } from '../../../ops/local/processes/process.mjs';
import { startSystem, type TestSystem } from '../../support/harness.ts';
import { readSamples } from '../../support/samples.ts';
import { openTcpProxy, type TcpProxy } from '../support/tcp-proxy.ts';

/* nginx in front of two servers, one of which reaches Redis through a proxy that a test cuts. */
const accepted = 60;

let dir: string;
let system: TestSystem;
let line: TcpProxy;
let nginx: Nginx;
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'stampede-failover-'));
  system = await startSystem({
    ...{ servers: 1, workers: 0, nginx: false },
    env: {
      TRUST_PROXY_HOPS: '1',
      QUEUE_MAX_PURCHASES: String(accepted),
      PROXY_ANSWERS_DIR: answersIn(dir),
    },
  });
  line = await openTcpProxy(Number(new URL(system.redis().tcpUrl).port));
  await system.startServer({ REDIS_URL: `redis://127.0.0.1:${line.port}` });
  const servers = system.servers.map(({ url }) => ({ host: '127.0.0.1', port: Number(new URL(url).port) }));
  const opened = await openNginx({ dataDir: dir, port: await freePort(), servers });
  if (!opened) throw new Error('this test needs nginx');
  nginx = opened;
});
afterAll(async () => {
  await nginx.close();
  await system.close();
  await rm(dir, { recursive: true });
});

const press = (saleId: string) => system.buy(saleId, system.buyerToken(), { at: nginx.url });
const readiness = async (at: string) => {
  const { status, body } = await system.api('GET', '/readyz', { at });
  return [status, body.dependencies.redis];
};

/** The sum of a metric over all servers. */
async function total(metric: string, label: Record<string, string>): Promise<number> {
  const texts = await Promise.all(
    system.servers.map(({ url }) => system.api<string>('GET', '/metrics', { at: url })),
  );
  return texts
    .flatMap(({ body }) => readSamples(body))
    .filter(
      ({ name, labels }) => name === metric && Object.entries(label).every(([key, is]) => labels[key] === is),
    )
    .reduce((sum, { value }) => sum + value, 0);
}
const madeByNginx = () => total('stampede_proxy_answers_total', { status: '503' });

test('the refusal of a busy server is passed on, and nginx does not try another server', async () => {
  const sale = await system.createSale({ stock: 1_000 });
  for (let n = 0; n < accepted; n++) expect((await press(sale.id)).status).toBe(202);
  const refused = 20;
  for (let n = 0; n < refused; n++) {
    const { status, headers, body } = await press(sale.id);
    expect([status, headers.get('retry-after')]).toEqual([503, '1']);
    expect(body).toMatchObject({ type: '/problems/busy', title: 'Very busy', status: 503 });
  }
  expect(await total('stampede_admissions_total', { outcome: 'busy' })).toBe(refused);
  await system.store.redis.flushall();
});

test('another server takes the purchases of a server that lost Redis, which still answers reads', async () => {
  const sale = await system.createSale({ stock: 1_000 });
  // What was queued in the other sale's shard counts until the next count.
  for (const { url } of system.servers) {
    await waitUntil(
      async () => (await system.buy(sale.id, system.buyerToken(), { at: url })).status === 202,
      {
        deadlineMs: 20_000,
        what: 'the queue is empty again',
      },
    );
  }
  await line.close();
  await waitUntil(async () => (await readiness(system.servers[1]?.url ?? ''))[0] === 503, {
    deadlineMs: 20_000,
    what: 'server-2 does not notice',
  });
  const instances = new Set<string | null>();
  for (let n = system.servers.length; n < accepted; n++) {
    expect((await press(sale.id)).status).toBe(202);
    const read = await system.api('GET', `/api/sales/${sale.id}`, { at: nginx.url });
    expect(read.status).toBe(200);
    instances.add(read.headers.get('x-instance'));
  }
  expect(instances).toEqual(new Set(['server-1', 'server-2']));
  expect(await total('stampede_admissions_total', { outcome: 'failed' })).toBeGreaterThan(accepted / 4);
  expect(await madeByNginx()).toBe(0);
});

test('a server whose Redis refuses writes is not ready', async () => {
  const [first] = system.servers;
  expect(await readiness(first?.url ?? '')).toEqual([200, 'up']);
  await system.store.redis.config('SET', 'maxmemory', '1mb');
  const isNow = (expected: unknown) =>
    expect.poll(() => readiness(first?.url ?? ''), { timeout: 10_000 }).toEqual(expected);
  await isNow([503, 'down']);
  await system.store.redis.config('SET', 'maxmemory', '0');
  await isNow([200, 'up']);
});

test('answers that nginx gives itself are counted', async () => {
  for (const { pid } of system.servers) process.kill(pid, 'SIGKILL');
  const ask = () => system.api('GET', '/api/sales', { at: nginx.url });
  await waitUntil(async () => (await ask()).status === 503, { deadlineMs: 20_000, what: 'they are gone' });
  const { status, headers, body } = await ask();
  expect([status, body.type, headers.get('retry-after')]).toEqual([503, '/problems/unavailable', '1']);
  const [first] = system.servers;
  if (first) await system.restart(first);
  const { body: metrics } = await system.api<string>('GET', '/metrics', { at: system.servers[0]?.url ?? '' });
  const counted = readSamples(metrics).find(
    ({ name, labels }) => name === 'stampede_proxy_answers_total' && labels.status === '503',
  );
  expect(counted?.value).toBeGreaterThanOrEqual(2);
});
