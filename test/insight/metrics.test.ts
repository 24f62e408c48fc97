import { io } from 'socket.io-client';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { readSaleCounts } from '../../insight/counters.ts';
import { waitUntil } from '../../ops/local/processes/process.mjs';
import { isPrivateAddress } from '../../runtime/observe/metrics.ts';
import { bullOf } from '../support/bull.ts';
import { startSystem, type TestSystem } from '../support/harness.ts';
import { readSamples, readWithFigures, valueIn } from '../support/samples.ts';

let system: TestSystem;
beforeAll(async () => {
  system = await startSystem({ env: { RECONCILE_INTERVAL_MS: '500', LOG_LEVEL: 'info' } });
});
afterAll(() => system.close());

const samplesAt = async (url: string) =>
  readSamples((await system.api<string>('GET', '/metrics', { at: url })).body);
const everywhere = () => [...system.servers, ...system.workers].map(({ url }) => url);

/** The sum of a counter over all processes. */
async function sumOf(name: string, labels: Record<string, string> = {}): Promise<number> {
  const processes = await Promise.all(everywhere().map(samplesAt));
  return processes.reduce((sum, samples) => sum + (valueIn(samples, name, labels) ?? 0), 0);
}

test('each purchase is counted once by its outcome, however it was answered', async () => {
  const sale = await system.createSale({ stock: 6 });
  const [before, refusedBefore] = [
    await sumOf('stampede_admissions_total', { outcome: 'admitted' }),
    await sumOf('stampede_admissions_total', { outcome: 'sold_out' }),
  ];
  const answered = { route: 'buy', status: '2xx' };
  const answeredBefore = await sumOf('stampede_http_request_seconds_count', answered);
  const decidedBefore = await sumOf('stampede_admission_seconds_count');
  const press = (headers: Record<string, string>) =>
    system.api('POST', `/api/sales/${sale.id}/purchases`, {
      token: system.buyerToken(),
      body: { quantity: 1 },
      headers,
    });
  // As pages press, whose answer waits for the order.
  expect((await press({ Prefer: 'wait=10' })).body).toMatchObject({ status: 'paid' });
  for (let n = 0; n < 9; n++)
    await system.buy(sale.id, system.buyerToken(), { at: system.servers[n % 2]?.url ?? '' });
  // Express serves the requests that the hot path passes on, and both count.
  await press({ 'Content-Type': 'application/json; level=1' });
  await system.quiet();

  expect(await sumOf('stampede_admissions_total', { outcome: 'admitted' })).toBe(before + 6);
  expect(await sumOf('stampede_admissions_total', { outcome: 'sold_out' })).toBe(refusedBefore + 5);
  expect(await sumOf('stampede_http_request_seconds_count', answered)).toBe(answeredBefore + 5);
  expect(await sumOf('stampede_admission_seconds_count')).toBe(decidedBefore + 11);
  expect(await sumOf('stampede_orders_total', { status: 'paid' })).toBe(
    await system.store.collections.orders.countDocuments({ status: 'paid' }),
  );
  expect(await sumOf('stampede_settle_seconds_count')).toBe(
    await system.store.collections.orders.countDocuments(),
  );
  // The control room reads the same count, which reaches Redis within a second.
  await waitUntil(
    async () => {
      const { counts } = await readSaleCounts(system.store.redis, sale.id);
      return counts.admitted === 6 && counts.sold_out === 5 && counts.paid === 6;
    },
    { deadlineMs: 5_000, what: 'the control room counts otherwise' },
  );
  expect(await sumOf('stampede_flush_purchases_sum')).toBeGreaterThanOrEqual(11);
  expect(await sumOf('stampede_leads')).toBe(1);
  expect(await sumOf('stampede_mongodb_transactions_total', { end: 'committed' })).toBeGreaterThan(0);
  expect(
    await sumOf('stampede_mongodb_command_seconds_count', { command: 'commitTransaction', result: 'ok' }),
  ).toBeGreaterThan(0);
  expect(
    await sumOf('stampede_redis_command_seconds_count', { command: 'evalsha', result: 'ok' }),
  ).toBeGreaterThan(0);
});

test('every process reports the same cluster-wide metrics', async () => {
  const sale = await system.createSale({ stock: 9 });
  await bullOf(system.store.queue).add({ purchases: [{ nonsense: true }] } as never, { attempts: 1 });
  await waitUntil(async () => (await system.store.queue.countJobs()).failed === 1, {
    deadlineMs: 15_000,
    what: 'there is no dead letter',
  });
  await system.buy(sale.id, system.buyerToken());
  await system.quiet();
  for (const url of everywhere()) {
    const samples = await readWithFigures(() => samplesAt(url));
    expect(valueIn(samples, 'stampede_queue_purchases')).toBe(0);
    expect(valueIn(samples, 'stampede_oldest_unsettled_seconds')).toBe(0);
    expect(valueIn(samples, 'stampede_dead_letters')).toBe(1);
    expect(valueIn(samples, 'stampede_sale_stock_units', { sale: sale.id })).toBe(8);
  }
  const [letter] = await system.store.queue.listDeadLetters();
  expect(await system.store.queue.removeDeadLetter(letter?.id ?? '')).toBe(true);
});

test('the breaches of an audit are a metric, which the next clean audit resets', async () => {
  const sale = await system.createSale({ stock: 3 });
  const breachesAfterAudit = async () => {
    await waitUntil(
      async () =>
        (await system.api('POST', '/api/admin/audits', { token: system.adminToken })).status === 202,
      { deadlineMs: 15_000, what: 'no audit could be started' },
    );
    return await waitUntil(
      async () => {
        const { body } = await system.api('GET', '/api/admin/live', { token: system.adminToken });
        return body.audit.state === 'running'
          ? null
          : {
              found: valueIn(
                await readWithFigures(() => samplesAt(everywhere()[2] ?? '')),
                'stampede_invariant_breaches',
              ),
            };
      },
      { deadlineMs: 15_000, what: 'the audit does not end' },
    );
  };
  await system.store.collections.sales.updateOne({ _id: sale.id }, { $inc: { stock: 1 } });
  expect((await breachesAfterAudit()).found).toBeGreaterThan(0);
  await system.store.collections.sales.updateOne({ _id: sale.id }, { $inc: { stock: -1 } });
  expect((await breachesAfterAudit()).found).toBe(0);
});

test('sockets and their messages are counted', async () => {
  const at = system.servers[0]?.url ?? '';
  const socket = io(at, { transports: ['websocket'], auth: { token: system.buyerToken() } });
  await new Promise<void>((resolve) => socket.on('connect', resolve));
  await waitUntil(async () => valueIn(await samplesAt(at), 'stampede_sockets') === 1, {
    deadlineMs: 5_000,
    what: 'the socket is not counted',
  });
  const samples = await samplesAt(at);
  expect(valueIn(samples, 'stampede_socket_packets_total', { direction: 'out' })).toBeGreaterThan(0);
  socket.disconnect();
});

test('metrics are only served to this machine and private networks, also through nginx', async () => {
  expect((await system.api('GET', '/metrics')).status).toBe(200);
  // Directly to a server, with the test as its trusted proxy.
  const at = system.servers[0]?.url ?? '';
  const from = (address: string) => ({ at, headers: { 'X-Forwarded-For': address } });
  expect((await system.api('GET', '/metrics', from('192.168.1.7'))).status).toBe(200);
  expect((await system.api('GET', '/metrics', from('203.0.113.9'))).status).toBe(404);
  expect((await system.api('GET', '/metrics', from('10.0.0.1, 203.0.113.9'))).status).toBe(404);
});

test.each([
  ['127.0.0.1', true],
  ['::1', true],
  ['::ffff:10.1.2.3', true],
  ['172.31.0.1', true],
  ['172.32.0.1', false],
  ['8.8.8.8', false],
  ['2001:db8::1', false],
  ['fd00::1', true],
  ['2130706433', false],
  ['', false],
])('the address %j is a private one: %j', (address, expected) => {
  expect(isPrivateAddress(address)).toBe(expected);
});

test('the metrics are served without Redis, and omit values that need it', async () => {
  await system.redis().close();
  for (const url of everywhere()) {
    const startedAt = performance.now();
    const samples = await samplesAt(url);
    expect(performance.now() - startedAt).toBeLessThan(5_000);
    expect(valueIn(samples, 'stampede_figures_up')).toBe(0);
    expect(valueIn(samples, 'stampede_queue_purchases')).toBeUndefined();
    expect(valueIn(samples, 'process_resident_memory_bytes')).toBeGreaterThan(0);
  }
  await system.restartRedis();
  await waitUntil(async () => valueIn(await samplesAt(everywhere()[0] ?? ''), 'stampede_figures_up') === 1, {
    deadlineMs: 20_000,
    what: 'the figures do not come back',
  });
});

test('the charts of the control room add up to what the database has, and payments are counted by outcome', async () => {
  const second = () => Math.floor(Date.now() / 1_000);
  const since = second();
  await waitUntil(() => second() > since, { deadlineMs: 5_000, what: 'the clock stands still' });
  const before = await sumOf('stampede_payments_total', { outcome: 'captured' });
  const sale = await system.createSale({ stock: 9, paymentWindowSeconds: 600 });
  const tokens = Array.from({ length: 5 }, () => system.buyerToken());
  const ids = await Promise.all(tokens.map(async (token) => (await system.buy(sale.id, token)).body.orderId));
  const become = (n: number, status: string) =>
    waitUntil(
      async () => {
        const { body } = await system.api('GET', `/api/orders/${ids[n]}`, { token: tokens[n] });
        return body.status === status;
      },
      { deadlineMs: 20_000, what: `order ${n} is not ${status}` },
    );
  async function pay(n: number, card: string): Promise<void> {
    const { body } = await system.api('POST', `/api/orders/${ids[n]}/payments`, { token: tokens[n] });
    const confirmation = { clientSecret: body.clientSecret, card };
    await system.api('POST', '/api/payments/simulated/confirmations', { body: confirmation });
  }
  await Promise.all(ids.map((_, n) => become(n, 'held')));
  await pay(0, 'refused');
  await Promise.all([0, 1, 2].map((n) => pay(n, 'ok')));
  await Promise.all([0, 1, 2].map((n) => become(n, 'paid')));
  await system.api('DELETE', `/api/orders/${ids[3]}`, { token: tokens[3] });
  await become(3, 'cancelled');
  const [token, body] = [system.adminToken, { reason: 'broken' }];
  // What is paid may not be captured yet, and only then can it go back.
  const refund = async () =>
    (await system.api('POST', `/api/admin/orders/${ids[2]}/refunds`, { token, body })).status === 200;
  await waitUntil(refund, { deadlineMs: 20_000, what: 'the order cannot be refunded' });
  await become(2, 'refunded');

  const { orders } = system.store.collections;
  const stored = async (status: 'paid' | 'held' | 'cancelled' | 'refunded') =>
    await orders.countDocuments({ saleId: sale.id, status });
  const [paid, refunded, cancelled, held] = [
    await stored('paid'),
    await stored('refunded'),
    await stored('cancelled'),
    await stored('held'),
  ];
  expect([paid, refunded, cancelled, held]).toEqual([2, 1, 1, 1]);
  const drawn = await waitUntil(
    async () => {
      const { body: live } = await system.api('GET', `/api/admin/live?since=${since}`, { token });
      const sum = (field: string) =>
        live.seconds.reduce((all: number, one: Record<string, number>) => all + (one[field] ?? 0), 0);
      const sums = {
        paid: sum('paid'),
        refunded: sum('refunded'),
        cancelled: sum('cancelled'),
        held: sum('held'),
      };
      const all = { paid: paid + refunded, refunded, cancelled, held: held + paid + refunded + cancelled };
      return JSON.stringify(sums) === JSON.stringify(all) && live.money.holds === held ? live : null;
    },
    { deadlineMs: 20_000, what: 'the charts say something else' },
  );
  expect(drawn.money).toMatchObject({ failedRefunds: 0 });
  expect(await sumOf('stampede_payments_total', { outcome: 'captured' })).toBe(before + 3);
  expect(await sumOf('stampede_payments_total', { outcome: 'failed' })).toBe(1);
  expect(await sumOf('stampede_orders_total', { status: 'cancelled' })).toBe(cancelled);
});
