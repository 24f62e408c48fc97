import { nanoid } from 'nanoid';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { waitUntil } from '../../../ops/local/processes/process.mjs';
import type { Order } from '../../../sale/contract.ts';
import { startSystem, type TestSystem } from '../../support/harness.ts';

let system: TestSystem;
beforeAll(async () => {
  system = await startSystem({ nginx: false, env: { RECONCILE_INTERVAL_MS: '200' } });
});
afterAll(() => system.close());

const at = (server: number) => system.servers[server % 2]?.url ?? '';
const emptyRedis = async () => system.store.redis.flushall();
const stockOf = async (saleId: string) => (await system.api('GET', `/api/sales/${saleId}`)).body.stock;

/** New buyers press Buy until the shop has no unit left, which fails if units are lost. */
const sellOut = (saleId: string) =>
  waitUntil(
    async () => {
      await system.buy(saleId, system.buyerToken());
      return (await stockOf(saleId)) === 0;
    },
    { deadlineMs: 20_000, what: 'units are left that nobody can buy' },
  );

test('a purchase sent again with its key after Redis was emptied keeps its order', async () => {
  const sale = await system.createSale({ stock: 3 });
  const [token, key] = [system.buyerToken(), nanoid()];
  const first = await system.buy(sale.id, token, { key });
  const order = await system.settled(first.body.orderId, token);

  await emptyRedis();
  const resent = await system.buy(sale.id, token, { key, at: at(1) });
  expect([resent.status, resent.body.orderId]).toEqual([202, order.id]);
  await system.quiet();
  const { body } = await system.api('GET', '/api/orders', { token });
  expect(body.orders).toEqual([order]);
  expect(await stockOf(sale.id)).toBe(2);
  await sellOut(sale.id);
  expect(await system.audit()).toMatchObject({ ok: true });
});

test('the limit of each buyer survives an emptied Redis', async () => {
  const sale = await system.createSale({ stock: 10, limitPerBuyer: 2 });
  const token = system.buyerToken();
  const { body } = await system.buy(sale.id, token, { quantity: 2 });
  await system.settled(body.orderId, token);
  await emptyRedis();
  const more = await system.buy(sale.id, token);
  // The gate has lost this buyer's count, and MongoDB has it.
  expect(await system.settled(more.body.orderId, token)).toMatchObject({
    status: 'rejected',
    reason: 'over_limit',
  });
  await sellOut(sale.id);
  expect(await system.audit()).toMatchObject({ ok: true });
});

test('when Redis is emptied during a sale, each buyer gets one outcome and every unit is sold once', async () => {
  const sale = await system.createSale({ stock: 60 });
  const load = Array.from({ length: 150 }, () => ({ token: system.buyerToken(), key: nanoid() }));
  let answered = 0;
  const presses = load.map(async ({ token, key }, index) => {
    const answer = await system.buy(sale.id, token, { key, at: at(index) });
    answered += 1;
    return answer;
  });
  await waitUntil(() => answered > 20, { deadlineMs: 20_000, everyMs: 1, what: 'no purchase was answered' });
  await emptyRedis();
  const answers = await Promise.all(presses);
  expect(answers.filter(({ status }) => status !== 202 && status !== 409)).toEqual([]);

  // As the page does: an accepted purchase that the shop has lost is sent again with its key.
  const orderOf = (index: number) => {
    const { orderId } = answers[index]?.body ?? { orderId: '' };
    return system.api<Order>('GET', `/api/orders/${orderId}`, { token: load[index]?.token });
  };
  for (const [index, { status, body }] of answers.entries()) {
    if (status !== 202) continue;
    const final = await waitUntil(
      async () => {
        const seen = await orderOf(index);
        if (seen.status === 200 && seen.body.status !== 'queued') return seen.body;
        const { token = '', key = '' } = load[index] ?? {};
        if (seen.status !== 404) return null;
        const resent = await system.buy(sale.id, token, { key });
        return resent.status === 409 ? 'refused' : null;
      },
      { deadlineMs: 20_000, what: `purchase ${body.orderId} has no outcome` },
    );
    if (final !== 'refused') expect(['paid', 'rejected']).toContain(final.status);
  }
  await system.quiet();
  await sellOut(sale.id);
  await system.quiet();
  expect(await system.audit()).toMatchObject({ ok: true });
  const paid = await system.store.collections.orders.countDocuments({ saleId: sale.id, status: 'paid' });
  expect(paid).toBe(60);
});
