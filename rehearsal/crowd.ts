import { performance } from 'node:perf_hooks';
import { setTimeout as delay } from 'node:timers/promises';
import { nanoid } from 'nanoid';
import type { RehearsalStep } from '../insight/contract.ts';
import type { Answer, Client } from './client.ts';
import { openSampler } from './samples.ts';
import { openSocketClient, type SocketClient } from './socket-client.ts';

export interface Crowd {
  client: Client;
  url: string;
  saleId: string;
  mode: 'open' | 'draw';
  buyers: { id: string; token: string }[];
  /** The buyers ask for them in turn. */
  itemIds: string[];
  withinSeconds: number;
  /** Whether held orders are paid, with the simulated provider. */
  pays: boolean;
  /** Aborted, it ends with an error soon. */
  signal: AbortSignal;
  /** Opens the sale or the entries of its draw; resolves at that time. */
  begin(): Promise<void>;
  /**
   * Resolves when the draw is made, with how long that took and the orders that its winners hold; null when it was not made
   * in time.
   */
  drawn(): Promise<{ tookMs: number; orders: { orderId: string; buyerId: string }[] } | null>;
}

/** Tabs that connect at once: more would wait in the listen queue of one address. */
const connectingAtOnce = 100;
const payingAtOnce = 50;
const settledWithinMs = 30_000;
const paidPollMs = 100;

/** A crowd's whole way: it browses, gathers before the opening, presses within a few seconds, and pays what it holds. */
export async function playCrowd(
  crowd: Crowd,
): Promise<Pick<RehearsalStep, 'parts' | 'outcomes' | 'playerShare'>> {
  const { buyers, mode, withinSeconds, signal } = crowd;
  const samplers = {
    browse: openSampler(),
    gather: openSampler(),
    press: openSampler(),
    settle: openSampler(),
    draw: openSampler(),
    pay: openSampler(),
  };
  const outcomes = new Map<string, number>();
  const note = (outcome: string) => outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
  const held: { orderId: string; token: string }[] = [];

  await spread(buyers.length, withinSeconds, signal, async (_, intendedAt) => {
    for (const path of [`/sales/${crowd.saleId}`, `/api/sales/${crowd.saleId}`]) {
      const { status } = await crowd.client.ask('GET', path);
      samplers.browse.add(performance.now() - intendedAt, status === 200 ? null : faultOf(status));
    }
  });
  const sockets = await gather(crowd, samplers.gather);
  try {
    await crowd.begin();
    const usedAt = performance.eventLoopUtilization();
    await spread(buyers.length, withinSeconds, signal, async (n, intendedAt) => {
      const buyer = buyers[n] as Crowd['buyers'][number];
      const answer = await press(crowd, buyer.token, crowd.itemIds[n % crowd.itemIds.length] ?? '');
      const accepted = mode === 'open' ? 202 : 200;
      const isAnswer = answer.status === accepted || answer.status === 409;
      samplers.press.add(performance.now() - intendedAt, isAnswer ? null : faultOf(answer.status));
      if (mode === 'draw' && answer.status === accepted) note('entered');
      if (answer.status === 409) note(problemOf(answer));
      if (mode === 'draw' || answer.status !== accepted) return;
      const { orderId } = JSON.parse(answer.body) as { orderId: string };
      const status = await untilOrder(crowd.client, orderId, buyer.token, (now) => now !== 'queued');
      const isLate = status === 'queued' || status === '';
      samplers.settle.add(performance.now() - intendedAt, isLate ? 'no outcome in time' : null);
      note(status || 'no outcome');
      if (status === 'held') held.push({ orderId, token: buyer.token });
    });
    const { utilization: playerShare } = performance.eventLoopUtilization(usedAt);
    if (mode === 'draw') {
      const drawn = await crowd.drawn();
      samplers.draw.add(drawn?.tookMs ?? 0, drawn ? null : 'not drawn in time');
      const tokens = new Map(buyers.map(({ id, token }) => [id, token]));
      const { orders = [] } = drawn ?? {};
      for (const { orderId, buyerId } of orders) held.push({ orderId, token: tokens.get(buyerId) ?? '' });
      outcomes.set('offered', orders.length);
    }
    if (crowd.pays)
      await inTurns(held, payingAtOnce, async (order) => {
        signal.throwIfAborted();
        const since = performance.now();
        const fault = await pay(crowd.client, order);
        samplers.pay.add(performance.now() - since, fault);
        if (fault === null) note('paid for');
      });
    const parts = Object.entries(samplers).map(([name, sampler]) => [name, sampler.part()] as const);
    return {
      parts: Object.fromEntries(parts.filter(([, { count }]) => count > 0)),
      outcomes: Object.fromEntries(outcomes),
      playerShare: Math.round(playerShare * 100) / 100,
    };
  } finally {
    for (const socket of sockets) socket.close();
  }
}

async function gather(
  { url, saleId, buyers, signal }: Crowd,
  sampler: ReturnType<typeof openSampler>,
): Promise<SocketClient[]> {
  const sockets: SocketClient[] = [];
  await inTurns(buyers, connectingAtOnce, async ({ token }) => {
    signal.throwIfAborted();
    const since = performance.now();
    try {
      sockets.push(await openSocketClient({ url, token, saleId }, () => {}));
      sampler.add(performance.now() - since);
    } catch (error) {
      sampler.add(performance.now() - since, (error as Error).message.slice(0, 100));
    }
  });
  return sockets;
}

function press({ client, mode, saleId }: Crowd, token: string, itemId: string): Promise<Answer> {
  const body = { lines: [{ itemId, quantity: 1 }] };
  const path = `/api/sales/${saleId}/${mode === 'draw' ? 'entries' : 'purchases'}`;
  return client.ask('POST', path, { token, body, headers: { 'Idempotency-Key': nanoid() } });
}

/** Asks for an order until it is as wanted. @returns its last known status; '' when there is none. */
async function untilOrder(
  client: Client,
  orderId: string,
  token: string,
  isWanted: (status: string) => boolean,
): Promise<string> {
  let status = '';
  for (const since = performance.now(); performance.now() - since < settledWithinMs; ) {
    const answer = await client.ask('GET', `/api/orders/${orderId}`, {
      token,
      headers: { Prefer: 'wait=10' },
    });
    if (answer.status === 200) status = (JSON.parse(answer.body) as { status: string }).status;
    if (isWanted(status)) break;
    await delay(paidPollMs);
  }
  return status;
}

/** @returns what went wrong; null when the order is paid. */
async function pay(client: Client, { orderId, token }: { orderId: string; token: string }) {
  const started = await client.ask('POST', `/api/orders/${orderId}/payments`, { token });
  if (started.status !== 200) return `start of a payment: ${faultOf(started.status)}`;
  const { clientSecret } = JSON.parse(started.body) as { clientSecret: string | null };
  const body = { clientSecret, card: 'ok' };
  const confirmed = await client.ask('POST', '/api/payments/simulated/confirmations', { body });
  if (confirmed.status !== 200) return `payment: ${faultOf(confirmed.status)}`;
  const status = await untilOrder(client, orderId, token, (now) => now !== 'held');
  return status === 'paid' ? null : `the order is ${status}`;
}

/**
 * Does something for each of `count`, spread evenly over the time, whether or not the ones before have ended.
 * @param act is told when it was due, so that a late start counts as slowness.
 */
async function spread(
  count: number,
  seconds: number,
  signal: AbortSignal,
  act: (n: number, intendedAt: number) => Promise<void>,
): Promise<void> {
  const since = performance.now();
  const acting: Promise<void>[] = [];
  for (let n = 0; n < count; ) {
    signal.throwIfAborted();
    const intendedAt = since + (n / count) * seconds * 1_000;
    if (intendedAt <= performance.now()) acting.push(act(n++, intendedAt));
    else await delay(1);
  }
  await Promise.all(acting);
}

async function inTurns<Item>(items: Item[], atOnce: number, act: (item: Item) => Promise<void>) {
  const waiting = items.values();
  const worker = async () => {
    for (const item of waiting) await act(item);
  };
  await Promise.all(Array.from({ length: Math.min(atOnce, items.length) }, worker));
}

const faultOf = (status: number) => (status === 0 ? 'no answer' : `answer ${status}`);

function problemOf({ body }: Answer): string {
  return /"type":"\/problems\/([^"]+)"/.exec(body)?.[1] ?? 'refused';
}
