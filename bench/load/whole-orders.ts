import { setTimeout as delay } from 'node:timers/promises';
import { nanoid } from 'nanoid';
import { requireLoopback } from './closed-loop.ts';
import { openConnection, type Reply } from './connection.ts';

/** How a client learns that its order is settled. */
export type Way = 'polling' | 'waiting';

export interface WholeOrders {
  url: string;
  tokens: string[];
  saleId: string;
  way: Way;
  clients: number;
  seconds: number;
}

export interface WholeOrdersReport {
  /** Order ids that a client saw paid. */
  paid: string[];
  /** Any other end, by what it was. */
  failed: Record<string, number>;
  /** Milliseconds from the press to the answer that says paid, sorted. */
  paidMs: number[];
  /** To the last answer. */
  seconds: number;
}

const pollEveryMs = 50;
const patienceMs = 30_000;

/**
 * API clients that each buy, learn that their order is paid, and buy again: by asking for it every 50 ms, or by
 * preferring to wait with each request.
 */
export async function buyWholeOrders({
  url,
  tokens,
  saleId,
  way,
  clients,
  seconds,
}: WholeOrders): Promise<WholeOrdersReport> {
  requireLoopback(url);
  const address = new URL(url);
  const crowd = nanoid(8);
  const report: WholeOrdersReport = { paid: [], failed: {}, paidMs: [], seconds: 0 };
  const prefer = way === 'waiting' ? 'Prefer: wait=10\r\n' : '';
  const json = 'Content-Type: application/json\r\nContent-Length: 14\r\n\r\n{"quantity":1}';
  const startedAt = performance.now();
  const endsAt = startedAt + seconds * 1_000;
  let pressed = 0;

  async function serve(): Promise<void> {
    const connection = openConnection(address);
    const ask = (request: string) => new Promise<Reply | null>((resolve) => connection.ask(request, resolve));
    while (performance.now() < endsAt) {
      const n = pressed++;
      const who = `Host: ${address.host}\r\nAuthorization: Bearer ${tokens[n % tokens.length]}\r\n${prefer}`;
      const began = performance.now();
      const key = `Idempotency-Key: ${crowd}-${n}\r\n`;
      let reply = await ask(`POST /api/sales/${saleId}/purchases HTTP/1.1\r\n${who}${key}${json}`);
      const orderId = reply?.status === 202 ? /"orderId":"([^"]+)"/.exec(reply.body)?.[1] : undefined;
      const isQueued = () => reply?.status === 202 || reply?.body.includes('"status":"queued"');
      while (orderId && isQueued() && performance.now() < began + patienceMs) {
        if (way === 'polling') await delay(pollEveryMs);
        reply = await ask(`GET /api/orders/${orderId} HTTP/1.1\r\n${who}\r\n`);
      }
      if (reply?.status === 200 && reply.body.includes('"status":"paid"')) {
        report.paid.push(/"id":"([^"]+)"/.exec(reply.body)?.[1] ?? '');
        report.paidMs.push(performance.now() - began);
      } else {
        const what = reply ? `${reply.status} ${reply.body.slice(0, 100)}` : 'no answer';
        report.failed[what] = (report.failed[what] ?? 0) + 1;
      }
    }
    connection.close();
  }
  await Promise.all(Array.from({ length: clients }, serve));
  report.seconds = (performance.now() - startedAt) / 1_000;
  report.paidMs.sort((a, b) => a - b);
  return report;
}
