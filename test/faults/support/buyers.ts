import { randomInt } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { nanoid } from 'nanoid';
import { expect } from 'vitest';
import { waitUntil } from '../../../ops/local/processes/process.mjs';
import type { SaleSnapshot } from '../../../sale/contract.ts';
import { openRandom } from '../../nemesis/random.ts';
import type { TestSystem } from '../../support/harness.ts';

/**
 * The seed of the buyers' random choices. Each run prints it; `FAULTS_SEED=<number>` repeats a run.
 */
export const seed = Number(process.env.FAULTS_SEED ?? randomInt(1, 2 ** 31));
console.log(`FAULTS_SEED=${seed}`);

interface Accepted {
  orderId: string;
  token: string;
  key: string;
  quantity: number;
}

export interface BuyerLoad {
  accepted: Accepted[];
  /** How often each status was answered; 0 stands for no answer. */
  statuses: Map<number, number>;
  /** How many accepted purchases the system did not know any more, and got again. */
  resent: number;
  /** The longest latency, in ms. */
  slowestMs: number;
  stop(): Promise<void>;
  /**
   * Sends every purchase again, with its key, whose order the system does not know any more.
   * @returns the number of purchases that have no outcome yet.
   */
  resendUnknown(): Promise<number>;
}

const betweenTriesMs = 100;
/** Twelve buyers press about 400 times a second, which leaves the machine time for what the test is about. */
const betweenPressesMs = 25;

/**
 * Starts buyers who behave as the page does: they retry a purchase with the same key, on any server, until it is accepted
 * or refused.
 */
export function startBuyers(
  system: TestSystem,
  sale: SaleSnapshot,
  { buyers = 12, at = system.servers.map(({ url }) => url), triesMax = 60 } = {},
): BuyerLoad {
  const load: BuyerLoad = { accepted: [], statuses: new Map(), resent: 0, slowestMs: 0, stop, resendUnknown };
  const tokens = Array.from({ length: 400 }, (_, n) => system.buyerToken(`load-${seed}-${n}`));
  let stopped = false;

  async function tryOnce(token: string, key: string, quantity: number, server: number) {
    const startedAt = performance.now();
    const answer = await system
      .buy(sale.id, token, { key, quantity, at: at[server % at.length] ?? system.url })
      .catch(() => ({ status: 0, body: { orderId: '' } }));
    load.slowestMs = Math.max(load.slowestMs, performance.now() - startedAt);
    load.statuses.set(answer.status, (load.statuses.get(answer.status) ?? 0) + 1);
    return answer;
  }

  async function press(token: string, quantity: number, server: number): Promise<void> {
    const key = nanoid();
    for (let attempt = 0; attempt < triesMax; attempt++) {
      const { status, body } = await tryOnce(token, key, quantity, server + attempt);
      if (status === 202) load.accepted.push({ orderId: body.orderId, token, key, quantity });
      if (status === 202 || status === 409) return;
      await delay(betweenTriesMs);
    }
    throw new Error(`A buyer got no answer in ${triesMax} attempts`);
  }

  async function buyer(number: number): Promise<void> {
    const random = openRandom(seed + number);
    while (!stopped) {
      const token = tokens[Math.floor(random() * tokens.length)] ?? '';
      await press(token, 1 + Math.floor(random() * 2), Math.floor(random() * at.length));
      await delay(betweenPressesMs);
    }
  }
  const running = Promise.all(Array.from({ length: buyers }, (_, n) => buyer(n)));
  running.catch(() => {}); // stop() rejects with the error.

  async function stop(): Promise<void> {
    stopped = true;
    await running;
  }

  async function resendUnknown(): Promise<number> {
    let open = 0;
    for (const purchase of [...load.accepted]) {
      const { orderId, token, key, quantity } = purchase;
      const order = await system.api('GET', `/api/orders/${orderId}`, { token, at: at[0] ?? system.url });
      if (order.status === 200 && order.body.status !== 'queued') continue;
      open += 1;
      // For a second after it accepted a purchase, a server answers from its memory, even when Redis was emptied meanwhile.
      if (order.status !== 404) continue;
      load.resent += 1;
      const { status } = await tryOnce(token, key, quantity, 0);
      // The units were sold meanwhile, so the purchase is refused, as the page would show.
      if (status === 409) load.accepted.splice(load.accepted.indexOf(purchase), 1);
    }
    return open;
  }
  return load;
}

/** Waits until this many more purchases are accepted. */
export async function waitForAccepted(load: BuyerLoad, more: number): Promise<void> {
  const goal = load.accepted.length + more;
  await waitUntil(() => load.accepted.length >= goal, {
    deadlineMs: 30_000,
    what: `${more} more accepted purchases`,
  });
}

/**
 * Ends a fault test: stops the buyers, waits until the queue is empty, and checks that each accepted purchase has one final
 * order, that every invariant holds, and that all servers show MongoDB's stock.
 */
export async function expectNothingLost(
  system: TestSystem,
  sale: SaleSnapshot,
  load: BuyerLoad,
): Promise<void> {
  await load.stop();
  await system.quiet();
  expect(load.accepted.length).toBeGreaterThan(0);
  const orders = await system.store.collections.orders.find({ saleId: sale.id }).toArray();
  const final = new Set(orders.map(({ _id }) => _id));
  expect(load.accepted.filter(({ orderId }) => !final.has(orderId))).toEqual([]);
  expect(await system.audit()).toMatchObject({ ok: true, queued: 0 });

  const { stock } = (await system.store.collections.sales.findOne({ _id: sale.id })) ?? {};
  for (const { url, ended } of system.servers) {
    if ((await Promise.race([ended, 'it runs'])) !== 'it runs') continue;
    const { body } = await system.api('GET', `/api/sales/${sale.id}`, { at: url });
    expect(body.stock).toBe(stock);
  }
}
