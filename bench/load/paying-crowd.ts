import { setTimeout as delay } from 'node:timers/promises';
import { nanoid } from 'nanoid';
import { requireLoopback } from './closed-loop.ts';
import { openConnection, type Reply } from './connection.ts';

export interface PayingCrowd {
  url: string;
  /** One for each buyer. */
  tokens: string[];
  saleId: string;
  windowSeconds: number;
  connections: number;
}

export interface PayingReport {
  presses: number;
  /** Milliseconds from the press to the answer that says held, in the order in which they came. */
  heldMs: number[];
  /** When each hold was answered, in milliseconds since the start. */
  heldAtMs: number[];
  /** When the buyer began to pay, in milliseconds since the epoch, by payment id. */
  paidAt: Map<string, number>;
  /** Payments that were refused because the hold had expired. */
  tooLate: number;
  /** Any other answer, by what it was. */
  failed: Record<string, number>;
}

/** A buyer without a unit presses again after this time. */
const againMs = 5_000;
const idleMs = 5;

/**
 * Buyers who press until they hold a unit. Of five, three pay at once, one pays in the second half of the payment window,
 * and one never pays. It goes on until `stop` is called.
 */
export function startPayingCrowd({ url, tokens, saleId, windowSeconds, connections }: PayingCrowd): {
  stop: () => Promise<PayingReport>;
} {
  requireLoopback(url);
  const address = new URL(url);
  const crowd = nanoid(8);
  const startedAt = performance.now();
  const report: PayingReport = {
    ...{ presses: 0, heldMs: [], heldAtMs: [], paidAt: new Map(), tooLate: 0, failed: {} },
  };
  /** Buyers who press next, and orders to be paid next, both in turn. */
  const pressing = tokens.map((_, buyer) => buyer);
  const paying: { orderId: string; buyer: number; since: number }[] = [];
  let [pressed, paid, isOver] = [0, 0, false];

  const request = (path: string, headers: string, body = '') =>
    `POST ${path} HTTP/1.1\r\nHost: ${address.host}\r\n${headers}` +
    `${body && 'Content-Type: application/json\r\n'}Content-Length: ${body.length}\r\n\r\n${body}`;
  const bearer = (buyer: number) => `Authorization: Bearer ${tokens[buyer]}\r\n`;
  function fail(step: string, reply: Reply | null): void {
    const what = reply ? `${step}: ${reply.status} ${reply.body.slice(0, 100)}` : `${step}: no answer`;
    report.failed[what] = (report.failed[what] ?? 0) + 1;
  }

  async function press(ask: Ask, buyer: number): Promise<void> {
    const began = performance.now();
    const headers = `${bearer(buyer)}Prefer: wait=10\r\nIdempotency-Key: ${crowd}-${report.presses++}\r\n`;
    const reply = await ask(request(`/api/sales/${saleId}/purchases`, headers, '{"quantity":1}'));
    if (reply?.status === 200 && reply.body.includes('"status":"held"')) {
      report.heldMs.push(performance.now() - began);
      report.heldAtMs.push(performance.now() - startedAt);
      const { id: orderId } = JSON.parse(reply.body);
      const part = buyer % 5;
      const waitMs = part === 3 ? windowSeconds * 1_000 * (0.5 + Math.random() * 0.4) : 0;
      const payNow = () => paying.push({ orderId, buyer, since: Date.now() });
      if (part < 4) setTimeout(payNow, waitMs).unref();
      return;
    }
    // Without a unit: refused at once, or accepted and then rejected, because others took the last one.
    const isGone = reply?.status === 409 || (reply?.status === 200 && reply.body.includes('"rejected"'));
    if (!isGone) fail('press', reply);
    setTimeout(() => pressing.push(buyer), againMs).unref();
  }

  async function pay(ask: Ask, { orderId, buyer, since }: (typeof paying)[number]): Promise<void> {
    const started = await ask(request(`/api/orders/${orderId}/payments`, bearer(buyer)));
    if (started?.status === 409) report.tooLate += 1;
    else if (started?.status !== 200) fail('start to pay', started);
    else {
      const { paymentId, clientSecret } = JSON.parse(started.body);
      report.paidAt.set(paymentId, since);
      const body = JSON.stringify({ clientSecret, card: 'ok' });
      const confirmed = await ask(request('/api/payments/simulated/confirmations', '', body));
      if (confirmed?.status !== 200) fail('confirm', confirmed);
    }
  }

  async function serve(): Promise<void> {
    const connection = openConnection(address);
    const ask: Ask = (text) => new Promise((resolve) => connection.ask(text, resolve));
    while (!isOver) {
      if (paid < paying.length) await pay(ask, paying[paid++] as (typeof paying)[number]);
      else if (pressed < pressing.length) await press(ask, pressing[pressed++] as number);
      else await delay(idleMs);
    }
    connection.close();
  }
  const serving = Promise.all(Array.from({ length: connections }, serve));
  return {
    async stop() {
      isOver = true;
      await serving;
      return report;
    },
  };
}

type Ask = (request: string) => Promise<Reply | null>;
