import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { waitUntil } from '../../../ops/local/processes/process.mjs';
import type { SaleSnapshot } from '../../../sale/contract.ts';
import { jobsIn } from '../../support/bull.ts';
import { startSystem, type TestSystem } from '../../support/harness.ts';

/** Longer than any timeout of the settings, and much shorter than a page's timeout. */
const boundedMs = 6_000;

let system: TestSystem;
beforeAll(async () => {
  // A short lock: a job that was being handed out when Redis was killed waits that long for another worker.
  system = await startSystem({ ownMongo: true, nginx: false, env: { JOB_LOCK_MS: '2000' } });
});
afterAll(() => system.close());

async function readiness(url: string) {
  const { status, body } = await system.api('GET', '/readyz', { at: url });
  return { status, ...body.dependencies };
}
const parts = () => [...system.servers, ...system.workers];
const allReport = (expected: object, what: string) =>
  waitUntil(
    async () => {
      const states = await Promise.all(parts().map(({ url }) => readiness(url)));
      for (const state of states) expect(state).toMatchObject(expected);
      return true;
    },
    { deadlineMs: 20_000, what },
  );

async function timed<Answer>(ask: () => Promise<Answer>): Promise<Answer & { tookMs: number }> {
  const start = performance.now();
  return { ...(await ask()), tookMs: performance.now() - start };
}

/** Presses Buy until `stop`, as fast as answers come, and keeps each accepted order. */
function startPresses(sale: SaleSnapshot) {
  const accepted: { orderId: string; token: string }[] = [];
  const statuses = new Map<number, number>();
  let stopped = false;
  async function press(server: number): Promise<void> {
    while (!stopped) {
      const token = system.buyerToken();
      const { status, body } = await system.buy(sale.id, token, {
        at: system.servers[server % 2]?.url ?? '',
      });
      statuses.set(status, (statuses.get(status) ?? 0) + 1);
      if (status === 202) accepted.push({ orderId: body.orderId, token });
    }
  }
  const pressing = Promise.all(Array.from({ length: 10 }, (_, index) => press(index)));
  return {
    accepted,
    statuses,
    async stop() {
      stopped = true;
      await pressing;
    },
  };
}

async function expectAllSettled(accepted: { orderId: string; token: string }[]): Promise<void> {
  await system.quiet();
  expect(accepted.length).toBeGreaterThan(0);
  const ids = accepted.map(({ orderId }) => orderId);
  const orders = await system.store.collections.orders.find().toArray();
  const paid = new Set(orders.filter(({ status }) => status === 'paid').map(({ _id }) => _id));
  expect(ids.filter((id) => !paid.has(id))).toEqual([]);
  expect(await system.audit()).toMatchObject({ ok: true, queued: 0 });
}

describe('without Redis', { timeout: 120_000 }, () => {
  test('a purchase gets 503 in bounded time, reads work, and selling resumes by itself', async () => {
    const sale = await system.createSale({ stock: 1_000_000, limitPerBuyer: 5 });
    const load = startPresses(sale);
    await waitUntil(() => load.accepted.length > 50, { deadlineMs: 20_000, what: 'nothing is sold' });
    process.kill(system.redis().pid, 'SIGKILL');
    await waitUntil(() => load.statuses.get(503), {
      deadlineMs: 20_000,
      what: 'no purchase was answered 503',
    });

    const refused = await timed(() => system.buy(sale.id, system.buyerToken()));
    expect(refused).toMatchObject({ status: 503, body: { type: '/problems/unavailable' } });
    expect(refused.headers.get('retry-after')).toBe('1');
    expect(refused.tookMs).toBeLessThan(boundedMs);
    // Queued purchases are in Redis, so a list without them would be wrong.
    const list = await timed(() => system.api('GET', '/api/orders', { token: system.buyerToken() }));
    expect(list).toMatchObject({ status: 503, body: { type: '/problems/unavailable' } });
    expect(list.tookMs).toBeLessThan(boundedMs);
    await allReport(
      { status: 503, redis: 'down', mongodb: 'up' },
      'not every part reports that Redis is away',
    );
    for (const { url } of parts())
      expect((await system.api('GET', '/healthz', { at: url })).status).toBe(200);
    expect((await system.api('GET', `/api/sales/${sale.id}`)).status).toBe(200);
    await load.stop();

    await system.restartRedis();
    await allReport({ status: 200, redis: 'up' }, 'not every part found Redis again');
    const back = startPresses(sale);
    await waitUntil(() => back.accepted.length > 50, { deadlineMs: 20_000, what: 'selling has not resumed' });
    await back.stop();

    expect([...load.statuses.keys(), ...back.statuses.keys()].filter((s) => s !== 202 && s !== 503)).toEqual(
      [],
    );
    await expectAllSettled([...load.accepted, ...back.accepted]);
  });

  test('every process is still running', async () => {
    const ended = Promise.race([...parts().map((part) => part.ended), Promise.resolve('none')]);
    expect(await ended).toBe('none');
  });
});

describe('without MongoDB', { timeout: 120_000 }, () => {
  test('purchases are accepted, and settled when MongoDB is back', async () => {
    const sale = await system.createSale({ stock: 1_000_000, limitPerBuyer: 5 });
    const before = await system.buy(sale.id, system.buyerToken());
    expect(before.status).toBe(202);
    process.kill(system.mongo()?.pid ?? Number.NaN, 'SIGKILL');
    await allReport(
      { status: 503, mongodb: 'down', redis: 'up' },
      'not every part reports that MongoDB is away',
    );

    const load = startPresses(sale);
    await waitUntil(() => load.accepted.length > 50, { deadlineMs: 20_000, what: 'nothing is accepted' });
    await load.stop();
    expect([...load.statuses.keys()]).toEqual([202]);

    const { orderId, token } = load.accepted[0] ?? { orderId: '', token: '' };
    for (const [method, path] of [
      ['GET', `/api/sales/${sale.id}`],
      ['GET', '/api/sales'],
      ['GET', '/api/orders'],
      ['DELETE', `/api/orders/${orderId}`],
    ] as const) {
      const answer = await timed(() => system.api(method, path, { token }));
      expect([path, answer.status]).toEqual([path, 503]);
      expect(answer.headers.get('retry-after')).toBe('1');
      expect(answer.tookMs).toBeLessThan(boundedMs);
    }
    // A queued order is known without MongoDB, and a client that prefers to wait for it gets its 202 all the same.
    const patient = system.buyerToken();
    const asked = await timed(() =>
      system.api('POST', `/api/sales/${sale.id}/purchases`, {
        token: patient,
        body: { quantity: 1 },
        headers: { Prefer: 'wait=10' },
      }),
    );
    expect(asked).toMatchObject({ status: 202, body: { status: 'queued' } });
    const recent = await system.buy(sale.id, patient);
    expect(await system.api('GET', `/api/orders/${recent.body.orderId}`, { token: patient })).toMatchObject({
      status: 200,
      body: { status: 'queued' },
    });
    for (const { url } of parts())
      expect((await system.api('GET', '/healthz', { at: url })).status).toBe(200);

    // The worker has retried during those answers, without using up an attempt of any job.
    const jobs = await jobsIn(system.store.queue, ['waiting', 'active', 'delayed', 'failed']);
    expect(jobs.length).toBeGreaterThan(0);
    expect(jobs.filter(({ attemptsMade }) => attemptsMade > 0)).toEqual([]);

    await system.restartMongo();
    await allReport({ status: 200, mongodb: 'up' }, 'not every part found MongoDB again');
    await expectAllSettled(load.accepted);
    expect((await system.buy(sale.id, system.buyerToken())).status).toBe(202);
    await system.quiet();
  });
});
