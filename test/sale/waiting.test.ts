import { nanoid } from 'nanoid';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { waitUntil } from '../../ops/local/processes/process.mjs';
import type { Order } from '../../sale/contract.ts';
import { orderIdOf } from '../../sale/order.ts';
import { settleBatch } from '../../sale/settlement/transaction.ts';
import { openSettledOrders, preferredWaitOf } from '../../server/live/settled-orders.ts';
import { pauseQueues, resumeQueues } from '../support/bull.ts';
import { startSystem, type TestSystem } from '../support/harness.ts';

/** `Prefer: wait` on a purchase and on an order, through nginx, with two servers. */

let system: TestSystem;
beforeAll(async () => {
  system = await startSystem({ servers: 2, env: { JOB_LOCK_MS: '1500' } });
});
afterAll(async () => {
  await system.quiet();
  expect(await system.audit()).toMatchObject({ ok: true });
  await system.close();
});

const prefer = (seconds: number | string) => ({ Prefer: `wait=${seconds}` });
const applied = (answer: { headers: Headers }) => answer.headers.get('preference-applied');

function press(
  saleId: string,
  { token = system.buyerToken(), key = nanoid(), seconds = 10 as number | string } = {},
) {
  const headers = { ...prefer(seconds), 'Idempotency-Key': key };
  return system.api('POST', `/api/sales/${saleId}/purchases`, { token, body: { quantity: 1 }, headers });
}
const look = (orderId: string, token: string, seconds: number, at?: string) =>
  system.api<Order>('GET', `/api/orders/${orderId}`, { token, headers: prefer(seconds), ...(at && { at }) });

/** Runs `work` while no worker takes jobs. */
async function whilePaused<Value>(work: (resume: () => Promise<void>) => Promise<Value>): Promise<Value> {
  const { queue } = system.store;
  await pauseQueues(queue);
  try {
    return await work(async () => void (await resumeQueues(queue)));
  } finally {
    await resumeQueues(queue);
  }
}

const remembered = (orderId: string) =>
  waitUntil(async () => (await system.store.gate.findPurchase(orderId))?.purchase ?? null, {
    deadlineMs: 10_000,
    what: 'it is accepted',
  });

describe('a purchase that waits', () => {
  test('is answered with its order, and says so', async () => {
    const sale = await system.createSale({ stock: 5 });
    const token = system.buyerToken();
    const answer = await press(sale.id, { token, key: 'a-key', seconds: 60 });
    expect(answer).toMatchObject({ status: 200, body: { status: 'paid', quantity: 1, saleId: sale.id } });
    expect(applied(answer)).toBe('wait=10');
    expect(answer.headers.get('location')).toBe(`/api/orders/${answer.body.id}`);
    expect(answer.headers.get('idempotency-key')).toBe('a-key');
    expect((await look(answer.body.id, token, 0)).body).toEqual(answer.body);
    // What was settled long ago is not waited for.
    expect(await press(sale.id, { token, key: 'a-key' })).toMatchObject({ status: 200, body: answer.body });
    // A gate that counted too much: MongoDB has the last word, and the answer is what became of it.
    await system.store.redis.hset(system.store.gate.keyOf(sale.id), 'left', 9);
    const all = await Promise.all(Array.from({ length: 5 }, () => press(sale.id)));
    expect(all.map(({ body }) => body.reason).sort()).toEqual([null, null, null, null, 'sold_out'].sort());
  });

  test('is answered 202 when its time is over, and without waiting when it says nothing to be understood', async () => {
    const sale = await system.createSale();
    await whilePaused(async () => {
      // Longer than nginx waits for a purchase that does not.
      const late = await press(sale.id, { seconds: 6 });
      expect([late.status, late.body.status, applied(late)]).toEqual([202, 'queued', 'wait=6']);
      const vague = await press(sale.id, { seconds: 'long' });
      expect([vague.status, applied(vague)]).toEqual([202, null]);
    });
  });

  test('survives the death of its server: each is answered with its one order', async () => {
    const sale = await system.createSale({ stock: 10 });
    const [, second] = system.servers;
    await whilePaused(async (resume) => {
      const buyers = Array.from({ length: 6 }, () => ({ token: system.buyerToken(), key: nanoid() }));
      const pressed = buyers.map((buyer) => press(sale.id, buyer));
      await waitUntil(async () => (await system.store.gate.countQueued()) === 6, {
        deadlineMs: 10_000,
        what: 'all are accepted',
      });
      process.kill(second?.pid ?? 0, 'SIGKILL');
      await second?.ended;
      await resume();
      for (const answer of await Promise.all(pressed))
        expect(answer).toMatchObject({ status: 200, body: { status: 'paid' } });
    });
    expect(await system.store.collections.orders.countDocuments({ saleId: sale.id })).toBe(6);
    if (second) await system.restart(second);
  });
});

describe('an order that is waited for', () => {
  test('is told on every server, also when another worker settles it', async () => {
    const sale = await system.createSale();
    const token = system.buyerToken();
    const [leader] = system.workers;
    await whilePaused(async (resume) => {
      const { body } = await system.buy(sale.id, token);
      const looks = [undefined, ...system.servers.map(({ url }) => url)].map((at) =>
        look(body.orderId, token, 10, at),
      );
      const other = await system.startWorker();
      process.kill(leader?.pid ?? 0, 'SIGKILL');
      await leader?.ended;
      await resume();
      await waitUntil(async () => (await system.ordersMadeBy(other)) > 0, {
        deadlineMs: 20_000,
        what: 'the other worker settles',
      });
      for (const answer of await Promise.all(looks)) {
        expect(applied(answer)).toBe('wait=10');
        // Who waited before the other worker led may have to ask once more.
        const isQueued = answer.body.status === 'queued';
        const { body: order } = isQueued ? await look(body.orderId, token, 10) : answer;
        expect(order).toMatchObject({ id: body.orderId, status: 'paid' });
      }
    });
  });

  test('is looked for in the end, when the message that it is settled was lost', async () => {
    const sale = await system.createSale();
    const [token, key] = [system.buyerToken('ann'), nanoid()];
    await whilePaused(async () => {
      const pressed = press(sale.id, { token, key, seconds: 3 });
      const purchase = await remembered(orderIdOf('ann', sale.id, key));
      const looked = look(purchase.orderId, token, 3, system.servers[1]?.url);
      await settleBatch(system.store.collections, [purchase]);
      expect(await pressed).toMatchObject({ status: 200, body: { status: 'paid' } });
      expect(await looked).toMatchObject({ status: 200, body: { status: 'paid' } });
    });
  });

  test('is nobody else’s, who does not wait', async () => {
    const sale = await system.createSale();
    const [token, stranger] = [system.buyerToken(), system.buyerToken()];
    await whilePaused(async () => {
      const { body } = await system.buy(sale.id, token);
      for (const { url } of system.servers)
        expect((await look(body.orderId, stranger, 10, url)).status).toBe(404);
      expect((await look(body.orderId, token, 1)).body.status).toBe('queued');
    });
  });

  test('is answered as it is when its server stops', async () => {
    const sale = await system.createSale();
    const token = system.buyerToken();
    const [, second] = system.servers;
    await whilePaused(async () => {
      const { body } = await system.buy(sale.id, token);
      const looked = look(body.orderId, token, 10, second?.url);
      await waitUntil(async () => isWaitedFor(second?.url ?? '', token), {
        deadlineMs: 5_000,
        what: 'it waits',
      });
      const startedAt = performance.now();
      process.kill(second?.pid ?? 0, 'SIGTERM');
      const answer = await looked;
      expect([answer.status, answer.body.status]).toEqual([200, 'queued']);
      expect(performance.now() - startedAt).toBeLessThan(8_000);
      await second?.ended;
    });
    if (second) await system.restart(second);
  });

  /** One more request to the server was answered, so that one sent before has been read. */
  async function isWaitedFor(url: string, token: string): Promise<boolean> {
    return (await system.api('GET', '/api/orders', { token, at: url })).status === 200;
  }
});

test('asking for a queued order asks MongoDB nothing, on the server that accepted it and on another', async () => {
  const sale = await system.createSale();
  const token = system.buyerToken();
  const mongo = system.store.collections.connection.db;
  await whilePaused(async () => {
    await mongo?.command({ profile: 2 });
    const { body } = await system.buy(sale.id, token, { at: system.servers[0]?.url ?? '' });
    for (const { url } of system.servers)
      expect(await look(body.orderId, token, 0, url)).toMatchObject({
        status: 200,
        body: { status: 'queued' },
      });
    // To see that MongoDB says what it was asked: a stranger's order is looked for there.
    expect((await look(body.orderId, system.buyerToken('stranger'), 0)).status).toBe(404);
    await mongo?.command({ profile: 0 });
    const asked = await mongo
      ?.collection('system.profile')
      .find({ 'command.filter._id': body.orderId })
      .toArray();
    expect(asked?.map(({ command }) => command.filter.buyerId)).toEqual(['stranger']);
  });
});

describe('who waits in a server', () => {
  const purchase = { saleId: 'a-sale', buyerId: 'ann', quantity: 1, idempotencyKey: 'k' };
  const order = (id: string): Order => ({
    id,
    saleId: 'a-sale',
    quantity: 1,
    lines: [{ itemId: '1', label: '', quantity: 1, amount: 4_900 }],
    amount: 4_900,
    currency: 'EUR',
    status: 'paid',
    reason: null,
    createdAt: '2026-01-01T12:00:00.000Z',
    settledAt: '2026-01-01T12:00:00.100Z',
    holdExpiresAt: null,
  });
  function open(options: { max?: number; ANSWER_DEADLINE_MS?: number } = {}) {
    const stopping = new AbortController();
    const { gate } = system.store;
    const opened = openSettledOrders({
      gate,
      stopping: stopping.signal,
      ANSWER_DEADLINE_MS: 12_000,
      ...options,
    });
    const hold = (orderId: string, wait = 'wait=10') => {
      let leave = () => {};
      const request = {
        receivedAtMs: performance.now(),
        header: () => wait,
        onClosed: (listener: () => void) => {
          leave = listener;
        },
      };
      const find = async () => null;
      const held = opened.waitFor(orderId, request, { find });
      return { held, leave: () => leave() };
    };
    return { ...opened, hold, stop: () => stopping.abort() };
  }

  test('is one of a bounded number, and leaves its place when its client is gone', async () => {
    const { hold, addSettled } = open({ max: 1 });
    const first = hold('one');
    expect(await hold('one').held).toBeNull();
    first.leave();
    expect(await first.held).toMatchObject({ order: null });
    const second = hold('two');
    addSettled([{ buyerId: 'ann', order: order('two') }]);
    expect(await second.held).toEqual({ order: order('two'), headers: { 'Preference-Applied': 'wait=10' } });
    expect(await open({ ANSWER_DEADLINE_MS: 1_500 }).hold('one').held).toBeNull();
  });

  test('is let go when the server stops, and is told nothing old', async () => {
    const { hold, addSettled, addQueued, findQueued, stop } = open({ ANSWER_DEADLINE_MS: 4_000 });
    const createdAt = new Date().toISOString();
    addQueued({ ...purchase, orderId: 'one', createdAt });
    expect(await findQueued('one')).toMatchObject({ orderId: 'one' });
    const held = hold('one');
    addSettled([{ buyerId: 'ann', order: order('two') }]);
    // The message overtook the answer of the flush.
    addQueued({ ...purchase, orderId: 'two', createdAt });
    expect(await findQueued('two')).toBeNull();
    expect(await open().hold('two', 'respond-async').held).toBeNull();
    stop();
    expect(await held.held).toMatchObject({ order: null, headers: { 'Preference-Applied': 'wait=3' } });
  });

  test('prefers it in the words of RFC 7240', () => {
    const headers = [
      'wait=5',
      'respond-async, WAIT = "5"; x',
      'wait=5, wait=9',
      'wait=-5',
      'wait=1.5',
      'waits=5',
      '',
    ];
    expect(headers.map(preferredWaitOf)).toEqual([5, 5, 5, 0, 0, 0, 0]);
  });
});
