import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { run } from '../../ops/local/processes/process.mjs';
import type { OrderRecord } from '../../store/collections.ts';
import { seed } from '../faults/support/buyers.ts';
import { startSystem, type TestSystem } from '../support/harness.ts';
import { needs } from '../support/needs.ts';
import type { Crowd, SeenPurchase } from './buyers.ts';
import { findFaults } from './check.ts';
import { isLinearizable } from './linearizable.ts';
import type { AddedUnits } from './merchant.ts';
import { watchWaits } from './waits.ts';

test('five nodes keep every promise while faults come and go for 18 seconds', {
  ...needs('network namespaces'),
  timeout: 300_000,
}, async () => {
  const args = ['run.mjs', 'test/nemesis/main.ts', '--minutes', '0.3', '--seed', String(seed)];
  const { ok, output } = await run(process.execPath, args, { deadlineMs: 240_000 });
  expect(ok, output).toBe(true);
  expect(output).toMatch(/[1-9]\d* paid/);
});

test('a counter that sold more than it had, or refused what it had, is found', {
  ...needs('Go'),
  timeout: 120_000,
}, async () => {
  const sold = { client: 1, kind: 'take', units: 1, call: 0, return: 5 };
  const also = { client: 2, kind: 'take', units: 1, call: 6, return: 8 };
  const given = { client: 3, kind: 'give', units: 1, call: 5, return: 20 };
  const refused = { client: 4, kind: 'short', units: 1, call: 21, return: 22 };
  const isPossible = async (...operations: object[]) =>
    (await isLinearizable(JSON.stringify([{ id: 'lamp', stock: 1, most: 1, operations }]))).isPossible;
  expect(await isPossible(sold, given, also, refused)).toBe(true);
  expect(await isPossible(sold, also)).toBe(false);
  expect(await isPossible(sold, given, refused)).toBe(false);
});

let system: TestSystem;
beforeAll(async () => {
  system = await startSystem({ nginx: false, servers: 1 });
});
afterAll(() => system.close());

test('the check blames each way in which a shop could break its word', async () => {
  const { collections } = system.store;
  const sale = await system.createSale({ stock: 5, limitPerBuyer: 1, paymentWindowSeconds: 600 });
  const { body } = await system.buy(sale.id, system.buyerToken('buyer'));
  await system.settled(body.orderId, system.buyerToken('buyer'));
  const seen = (more: Partial<SeenPurchase>): SeenPurchase => ({
    ...{
      saleId: sale.id,
      buyerId: 'buyer',
      key: 'key',
      quantity: 1,
      pressedAt: 0,
      knownAt: 1,
      refused: null,
      refusedAfterAccepted: false,
    },
    ...{ orderId: body.orderId, pass: '', statuses: ['held'], cancelAskedAt: null, cancelledAt: null },
    ...more,
  });
  const blamed = async (
    purchases: SeenPurchase[],
    places: Crowd['places'] = [],
    added: AddedUnits[] = [],
  ) => {
    const crowd: Crowd = {
      ...{ purchases, places, answers: new Map() },
      ...{ stop: async () => {}, resolveUnknown: async () => 0 },
    };
    const stage = { saleId: sale.id, stock: 5, kind: 'pressed' as const };
    const found = await findFaults(system.store, crowd, [stage], added);
    return found.map((line) => line.split(':')[0]);
  };

  expect(await blamed([seen({})])).toEqual([]);
  expect(await blamed([seen({}), seen({ orderId: 'lost', statuses: ['queued'] })])).toEqual([
    'accepted and without an order',
    'told otherwise',
  ]);
  expect(await blamed([seen({ refusedAfterAccepted: true })])).toEqual(['accepted and refused later']);
  expect(await blamed([seen({ statuses: ['rejected'] })])).toEqual(['told otherwise']);
  expect(await blamed([seen({ cancelledAt: 2 })])).toEqual(['cancelled for its buyer only']);
  expect(await blamed([])).toEqual(['an order that nobody asked for']);
  expect(await blamed([seen({})], [{ saleId: sale.id, buyerId: 'waiting' }])).toEqual([
    'a place that is lost',
  ]);
  const added = { saleId: sale.id, units: 1, call: 0, return: 1 };
  expect(await blamed([seen({})], [], [added])).toEqual(['units put on sale']);

  const order = (await collections.orders.findOne({ _id: body.orderId })) as OrderRecord;
  await collections.orders.insertOne({ ...order, _id: 'second' });
  expect(new Set(await blamed([seen({}), seen({ orderId: 'second' })]))).toEqual(
    new Set(['units', 'over the limit', 'audit']),
  );
  await collections.orders.deleteOne({ _id: 'second' });
  const paid = { status: 'paid', paymentId: `${body.orderId}.1` } as const;
  await collections.orders.updateOne({ _id: body.orderId }, { $set: paid });
  expect(new Set(await blamed([seen({})]))).toEqual(new Set(['money', 'audit']));
});

test('a purchase that waits longer than the bound is found while it waits, and one that is settled in time is not', async () => {
  const sale = await system.createSale({ stock: 5, limitPerBuyer: 5 });
  const token = system.buyerToken('patient');
  const [worker] = system.workers;
  const waitingFor = async (ms: number, boundMs: number) => {
    if (worker) process.kill(worker.pid, 'SIGSTOP');
    try {
      const { body } = await system.buy(sale.id, token);
      const waits = watchWaits(system.store, 'the worker is paused', boundMs);
      await delay(ms);
      if (worker) process.kill(worker.pid, 'SIGCONT');
      const { late } = await waits.end();
      return { late, orderId: body.orderId };
    } finally {
      if (worker) process.kill(worker.pid, 'SIGCONT');
      await system.quiet();
    }
  };
  expect((await waitingFor(1_000, 60_000)).late).toEqual([]);
  const { late, orderId } = await waitingFor(4_000, 2_000);
  expect(late).toEqual([expect.stringMatching(`^${orderId} .* the worker is paused$`)]);
});
