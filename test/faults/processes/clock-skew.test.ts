import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { nanoid } from 'nanoid';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { LiveFigures } from '../../../insight/contract.ts';
import { waitUntil } from '../../../ops/local/processes/process.mjs';
import type { SaleSnapshot } from '../../../sale/contract.ts';
import { startSystem, type TestSystem } from '../../support/harness.ts';
import { needs, pathOf } from '../../support/needs.ts';
import { readSamples } from '../../support/samples.ts';

/** How many seconds the clock of each process is ahead of Redis' and MongoDB's. */
const aheadSeconds = { fast: 90, slow: -120, worker: 180 };

let system: TestSystem;
let dir: string;
let fast: string;
let slow: string;

/** The environment of a process with a skewed clock. libfaketime reads the skew from a file every second. */
async function clockOf(name: keyof typeof aheadSeconds): Promise<Record<string, string>> {
  await setClock(name, aheadSeconds[name]);
  return {
    LD_PRELOAD: pathOf('libfaketime') ?? '',
    FAKETIME_TIMESTAMP_FILE: join(dir, name),
    FAKETIME_CACHE_DURATION: '1',
    // Timers use the monotonic clock, which does not depend on the time of day.
    FAKETIME_DONT_FAKE_MONOTONIC: '1',
  };
}

async function setClock(name: string, seconds: number): Promise<void> {
  await writeFile(join(dir, name), `${seconds < 0 ? '' : '+'}${seconds}s\n`);
}

const snapshotAt = async (at: string, saleId: string) =>
  (await system.api<SaleSnapshot>('GET', `/api/sales/${saleId}`, { at })).body;

describe('with clocks that are minutes apart', needs('libfaketime'), () => {
  beforeAll(async () => {
    dir = await mkdtemp(join(tmpdir(), 'stampede-clocks-'));
    system = await startSystem({ servers: 0, workers: 0, nginx: false });
    fast = (await system.startServer(await clockOf('fast'))).url;
    slow = (await system.startServer(await clockOf('slow'))).url;
    await system.startWorker(await clockOf('worker'));
  });
  afterAll(async () => {
    await system?.close();
    await rm(dir, { recursive: true, force: true });
  });

  test('a hold expires by MongoDB’s clock, whatever the worker’s own says', async () => {
    const { product, price } = await system.createSale();
    const window = { opensAt: new Date(Date.now() - 1_000), closesAt: new Date(Date.now() + 3_600_000) };
    const body = { productId: product.id, price, stock: 5, paymentWindowSeconds: 5, ...window };
    const sale = await system.api<SaleSnapshot>('POST', '/api/sales', {
      token: system.adminToken,
      body,
      at: fast,
    });
    const token = system.buyerToken();
    const { body: bought } = await system.buy(sale.body.id, token, { at: slow });
    const { orders, events } = system.store.collections;
    const expired = () => orders.findOne({ _id: bought.orderId, status: 'expired' });
    const order = await waitUntil(expired, { deadlineMs: 20_000, what: 'the hold has not expired' });
    const entry = await events.findOne({ saleId: sale.body.id, 'changes.type': 'order.expired' });
    const deadlineMs = order.holdExpiresAt?.getTime() ?? 0;
    expect(deadlineMs - order.settledAt.getTime()).toBe(5_000);
    expect(Math.abs(order.settledAt.getTime() - Date.now())).toBeLessThan(25_000);
    expect((entry?.at.getTime() ?? 0) - deadlineMs).toBeGreaterThanOrEqual(0);
    // The shared MongoDB's clock is this process' own.
    expect(Date.now()).toBeGreaterThanOrEqual(deadlineMs);
    expect((entry?.at.getTime() ?? 0) - deadlineMs).toBeLessThan(5_000);
  });

  test('a waiting room opens, calls and lets in by one clock, whichever server a person is at', async () => {
    const { product, price } = await system.createSale();
    const [opensAt, closesAt] = [600_000, 3_600_000].map((ms) => new Date(Date.now() + ms));
    const { body: sale } = await system.api<SaleSnapshot>('POST', '/api/sales', {
      token: system.adminToken,
      body: { productId: product.id, price, stock: 2, opensAt, closesAt, mode: 'room' },
      at: fast,
    });
    const people = [fast, slow].map((at) => ({ token: system.buyerToken(), at }));
    const room = `/api/sales/${sale.id}/places`;
    for (const person of people) expect((await system.api('POST', room, person)).body.state).toBe('entered');
    await system.api('PATCH', `/api/sales/${sale.id}`, {
      token: system.adminToken,
      body: { opensAt: new Date(Date.now() + 1_500) },
      at: slow,
    });
    for (const { token, at } of people) {
      const come = () => system.api('POST', `${room}/mine/pass`, { token, at });
      const { pass, passUntil } = await waitUntil(
        async () => ((await come()).status === 200 ? (await come()).body : null),
        {
          deadlineMs: 30_000,
          what: 'nobody is called',
        },
      );
      expect(Math.abs(Date.parse(passUntil) - Date.now() - 180_000)).toBeLessThan(30_000);
      // The pass is good at the server whose clock differs most from that of the one that gave it.
      const bought = await system.api('POST', `/api/sales/${sale.id}/purchases`, {
        token,
        at: at === fast ? slow : fast,
        body: { quantity: 1 },
        headers: { 'Idempotency-Key': nanoid(), 'Room-Pass': pass },
      });
      expect(bought.status).toBe(202);
      expect((await system.settled(bought.body.orderId, token)).status).toBe('paid');
    }
    await system.quiet();
    expect(await system.audit()).toMatchObject({ ok: true, I8: { breaches: 0 } });
  });

  test('pages and purchases agree on when a sale opens and ends, on every server', async () => {
    const opensAt = new Date(Date.now() + 3_000);
    const closesAt = new Date(Date.now() + 6_000);
    const sale = await system.createSale({ stock: 1_000, limitPerBuyer: 1_000, opensAt, closesAt });
    expect(sale.status).toBe('scheduled');
    const token = system.buyerToken();
    const expected = { scheduled: 409, open: 202, ended: 409 } as Record<string, number>;
    const seen = new Set<string>();
    const disagreements: string[] = [];
    await waitUntil(
      async () => {
        for (const at of [fast, slow]) {
          const before = await snapshotAt(at, sale.id);
          const { status } = await system.buy(sale.id, token, { at });
          const after = await snapshotAt(at, sale.id);
          seen.add(before.status);
          // The sale opened or ended between the two requests.
          if (before.status !== after.status) continue;
          if (status !== expected[before.status]) disagreements.push(`${before.status}: ${status}`);
          expect(Math.abs(Date.parse(after.serverTime) - Date.now())).toBeLessThan(1_000);
        }
        return seen.has('ended');
      },
      { deadlineMs: 20_000, what: 'the sale did not end' },
    );
    expect(disagreements).toEqual([]);
    expect(seen).toEqual(new Set(['scheduled', 'open', 'ended']));
  });

  test("an order's times are MongoDB's, and in order", async () => {
    const sale = await openSale();
    for (const at of [fast, slow]) {
      const token = system.buyerToken();
      const { status, body } = await system.buy(sale.id, token, { at });
      expect(status).toBe(202);
      const order = await system.settled(body.orderId, token);
      const [createdAt, settledAt] = [Date.parse(order.createdAt), Date.parse(order.settledAt ?? '')];
      expect(settledAt).toBeGreaterThanOrEqual(createdAt);
      expect(Math.abs(createdAt - Date.now())).toBeLessThan(10_000);
      expect(Math.abs(settledAt - Date.now())).toBeLessThan(10_000);
    }
    await system.quiet();
    expect(await system.audit()).toMatchObject({ ok: true });
  });

  test('no process removes the heartbeat of another, and each reports its clock skew', async () => {
    const live = async (at: string) =>
      (await system.api<LiveFigures>('GET', '/api/admin/live', { token: system.adminToken, at })).body;
    await waitUntil(async () => (await live(slow)).living.length === 3, {
      deadlineMs: 10_000,
      what: 'not all three processes are known',
    });
    for (let n = 0; n < 20; n++) {
      for (const at of [fast, slow]) expect((await live(at)).living).toHaveLength(3);
    }
    const { living } = await live(fast);
    const skews = living
      .map(({ clockAheadMs = 0 }) => Math.round(clockAheadMs / 1_000))
      .sort((a, b) => a - b);
    expect(skews).toEqual(Object.values(aheadSeconds).sort((a, b) => a - b));

    const { body } = await system.api<string>('GET', '/metrics', { at: slow });
    const samples = readSamples(body).filter(({ name }) => name === 'stampede_clock_ahead_seconds');
    const seconds = Object.fromEntries(samples.map(({ labels, value }) => [labels.of, Math.round(value)]));
    expect(seconds).toEqual({ redis: aheadSeconds.slow, mongodb: aheadSeconds.slow });
  });

  test('a token of one server is valid at the other, and signing out everywhere revokes it at both', async () => {
    const account = { email: `${nanoid().toLowerCase()}@example.com`, password: nanoid(), name: 'A buyer' };
    const { body: signedUp } = await system.api('POST', '/api/users', { body: account, at: fast });
    const { token } = signedUp;
    for (const at of [fast, slow])
      expect((await system.api('GET', '/api/orders', { token, at })).status).toBe(200);
    expect((await system.api('DELETE', '/api/sessions', { token, at: slow })).status).toBe(204);
    for (const at of [fast, slow])
      await waitUntil(async () => (await system.api('GET', '/api/orders', { token, at })).status === 401, {
        deadlineMs: 10_000,
        what: 'the token is still valid',
      });
    const { email, password } = account;
    const again = await system.api('POST', '/api/sessions', { body: { email, password }, at: slow });
    for (const at of [fast, slow])
      expect((await system.api('GET', '/api/orders', { token: again.body.token, at })).status).toBe(200);
  });

  test('setting a clock back by an hour changes nothing', async () => {
    const sale = await openSale();
    await setClock('fast', aheadSeconds.fast - 3_600);
    await setClock('worker', aheadSeconds.worker - 3_600);
    const metrics = async () => (await system.api<string>('GET', '/metrics', { at: fast })).body;
    await waitUntil(
      async () =>
        readSamples(await metrics()).some(
          ({ name, labels, value }) =>
            name === 'stampede_clock_ahead_seconds' && labels.of === 'redis' && value < -3_000,
        ),
      { deadlineMs: 20_000, what: 'the server does not see that its clock was set' },
    );
    expect((await snapshotAt(fast, sale.id)).status).toBe('open');
    const token = system.buyerToken();
    const { status, body } = await system.buy(sale.id, token, { at: fast });
    expect(status).toBe(202);
    const order = await system.settled(body.orderId, token);
    expect(Date.parse(order.settledAt ?? '')).toBeGreaterThanOrEqual(Date.parse(order.createdAt));
    await system.quiet();
    expect(await system.audit()).toMatchObject({ ok: true });
  });
});

const openSale = () =>
  system.createSale({
    stock: 10,
    opensAt: new Date(Date.now() - 60_000),
    closesAt: new Date(Date.now() + 600_000),
  });
