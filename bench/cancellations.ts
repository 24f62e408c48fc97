import { nanoid } from 'nanoid';
import { waitUntil } from '../embedded/process.mjs';
import type { Purchase } from '../sale/contract.ts';
import { orderIdOf } from '../sale/order.ts';
import { changeSale } from '../sale/sale-change.ts';
import { settleBatch } from '../sale/transaction.ts';
import { openTokens } from '../server/auth.ts';
import { openConnection, type Reply } from './connection.ts';
import { mintTokens, pressBuy, requireLoopback } from './crowd.ts';
import { auditStage, type OwnStage, openBenchSale, openOwnStage, waitForQuiet } from './stage.ts';
import { percentile } from './statistics.ts';
import { figure, printTable } from './table.ts';

interface CancellationsOptions {
  rounds: number;
  /** Paid orders that are cancelled with nobody else there. */
  orders: number;
  /** Cancellations that are on their way at once; beside a crowd as many in all, and a tenth as many changes of the sale. */
  atOnce: number;
  /** Of the crowd that presses Buy on the same sale meanwhile. */
  connections: number;
}

/** What the requests of one kind came to. */
interface Answers {
  statuses: Record<number, number>;
  /** Sorted. */
  ms: number[];
  perSecond: number;
}

const crowdBuyers = 5_000;
const settledTogether = 2_000;
const deadlineSeconds = 120;
const targetPerSecond = 2_000;
const targetP99Ms = 1_000;

/**
 * Cancels paid orders of one sale, alone and while a crowd presses Buy on it and an admin adds stock.
 * @returns whether all were answered 200, each unit came back once, and the targets were met.
 */
export async function cancellations({ rounds, orders, atOnce, connections }: CancellationsOptions) {
  const stage = await openOwnStage({ clients: atOnce + connections + 200 });
  requireLoopback(stage.url);
  try {
    const rows: { cells: string[]; ok: boolean }[] = [];
    for (let round = 1; round <= rounds; round++) {
      const alone = await playAlone(stage, orders, atOnce);
      rows.push(rowOf('cancel, alone', alone, alone.perSecond >= targetPerSecond));
      const { cancelled, changed, pressed } = await playBeside(stage, atOnce, connections);
      rows.push(rowOf('cancel, beside a crowd', cancelled, percentile(cancelled.ms, 99) < targetP99Ms));
      rows.push(rowOf('add stock, beside a crowd', changed, percentile(changed.ms, 99) < targetP99Ms));
      rows.push({ cells: ['the crowd', figure(pressed), '', '', '', ''], ok: true });
    }
    printTable(
      ['', 'a second', 'p50 ms', 'p99 ms', 'max ms', 'answers'],
      rows.map(({ cells }) => cells),
    );
    const invariants = await auditStage(stage.system);
    console.log(`audit  ${invariants ? 'every invariant holds' : 'BROKEN'}`);
    return invariants && rows.every(({ ok }) => ok);
  } finally {
    await stage.close();
  }
}

async function playAlone(stage: OwnStage, orders: number, atOnce: number): Promise<Answers> {
  const { saleId, requests } = await sellOut(stage, orders, orders);
  const answers = await askAll(stage.url, requests, atOnce);
  await requireReturned(stage, saleId, orders, orders);
  return answers;
}

async function playBeside(stage: OwnStage, atOnce: number, connections: number) {
  const additions = Math.ceil(atOnce / 10);
  // More than the crowd can buy, so that it goes on being settled all the time.
  const stock = 1_000_000;
  const { saleId, requests } = await sellOut(stage, atOnce, stock);
  const tokens = mintTokens(crowdBuyers, stage.secret);
  const opened = performance.now();
  let isOver = false;
  async function crowd(): Promise<number> {
    let accepted = 0;
    while (!isOver) {
      const report = await pressBuy({
        url: stage.url,
        tokens,
        saleId,
        presses: 2_000,
        connections,
        deadlineSeconds,
      });
      accepted += report.accepted.length;
    }
    return (accepted / (performance.now() - opened)) * 1_000;
  }
  const pressing = crowd();
  await untilSettled(stage, saleId, atOnce + settledTogether);
  const admin = openTokens(stage.secret, 3_600).issue({ id: 'bench-admin', role: 'admin' });
  const change = () => patch(stage.url, saleId, admin, { addStock: 1 });
  const [cancelled, changed] = await Promise.all([
    askAll(stage.url, requests, atOnce),
    askAll(stage.url, Array.from({ length: additions }, change), additions),
  ]);
  isOver = true;
  const pressed = await pressing;
  await waitForQuiet(stage.system, deadlineSeconds);
  const bought = await stage.system.collections.orders.countDocuments({ saleId, status: 'paid' });
  await requireReturned(stage, saleId, atOnce, stock + additions - bought);
  await changeSale(stage.system.collections, saleId, { closesAt: new Date() });
  return { cancelled, changed, pressed };
}

/** Waits until so many orders of the sale are paid: the crowd is in full swing. */
async function untilSettled({ system }: OwnStage, saleId: string, orders: number): Promise<void> {
  await waitUntil(async () => (await system.collections.orders.countDocuments({ saleId })) >= orders, {
    deadlineMs: deadlineSeconds * 1_000,
    what: 'the crowd has bought nothing yet',
  });
}

/** A sale with paid orders of one unit each, as a rush leaves them, and the requests that cancel them. */
async function sellOut({ system, url, secret }: OwnStage, orders: number, stock: number) {
  const saleId = await openBenchSale(system, { name: 'Bench: cancellations', stock, limitPerBuyer: 1_000 });
  const crowd = nanoid(8);
  const createdAt = new Date().toISOString();
  const purchases = Array.from({ length: orders }, (_, n): Purchase => {
    const [buyerId, idempotencyKey] = [`${crowd}-${n}`, `${n}`];
    const orderId = orderIdOf(buyerId, idempotencyKey);
    return { orderId, saleId, buyerId, quantity: 1, idempotencyKey, createdAt };
  });
  for (let start = 0; start < orders; start += settledTogether)
    await settleBatch(system.collections, purchases.slice(start, start + settledTogether));
  const tokens = openTokens(secret, 3_600);
  const { host } = new URL(url);
  const requests = purchases.map(({ orderId, buyerId }) => {
    const token = tokens.issue({ id: buyerId, role: 'buyer' });
    return `DELETE /api/orders/${orderId} HTTP/1.1\r\nHost: ${host}\r\nAuthorization: Bearer ${token}\r\n\r\n`;
  });
  return { saleId, requests };
}

function patch(url: string, saleId: string, token: string, change: object): string {
  const body = JSON.stringify(change);
  return [
    `PATCH /api/sales/${saleId} HTTP/1.1`,
    `Host: ${new URL(url).host}`,
    `Authorization: Bearer ${token}`,
    `Idempotency-Key: ${nanoid()}`,
    'Content-Type: application/json',
    `Content-Length: ${body.length}\r\n\r\n${body}`,
  ].join('\r\n');
}

/** Asks all of it, so many at once. */
async function askAll(url: string, requests: string[], atOnce: number): Promise<Answers> {
  const began = performance.now();
  const answers: Answers = { statuses: {}, ms: [], perSecond: 0 };
  let next = 0;
  async function askInTurns(): Promise<void> {
    const connection = openConnection(new URL(url));
    while (next < requests.length) {
      const request = requests[next++] as string;
      const askedAt = performance.now();
      const reply = await new Promise<Reply | null>((resolve) => connection.ask(request, resolve));
      answers.ms.push(performance.now() - askedAt);
      const status = reply?.status ?? 0;
      answers.statuses[status] = (answers.statuses[status] ?? 0) + 1;
    }
    connection.close();
  }
  await Promise.all(Array.from({ length: atOnce }, askInTurns));
  answers.perSecond = (requests.length / (performance.now() - began)) * 1_000;
  answers.ms.sort((a, b) => a - b);
  return answers;
}

/** @throws Error unless each unit came back once: to the sale, and to its gate if there is one. */
async function requireReturned({ system }: OwnStage, saleId: string, returned: number, left: number) {
  const sale = await system.collections.sales.findById(saleId).lean();
  const gate = await system.redis.hget(`gate:${saleId}`, 'left');
  const inGate = gate === null ? left : Number(gate);
  if (sale?.unitsReturned === returned && sale.stock === left && inGate === left) return;
  throw new Error(
    `Expected ${returned} units back and ${left} left; the sale has ${sale?.unitsReturned} and ${sale?.stock}, its gate ${inGate}`,
  );
}

function rowOf(what: string, { statuses, ms, perSecond }: Answers, isFast: boolean) {
  const ok = isFast && Object.keys(statuses).join() === '200';
  const times = [percentile(ms, 50), percentile(ms, 99), ms.at(-1) ?? Number.NaN].map(figure);
  return {
    cells: [what, figure(perSecond), ...times, `${JSON.stringify(statuses)} ${ok ? 'PASS' : 'FAIL'}`],
    ok,
  };
}
