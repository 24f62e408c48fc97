import { nanoid } from 'nanoid';
import { waitUntil } from '../../ops/local/processes/process.mjs';
import type { Purchase } from '../../sale/contract.ts';
import { orderIdOf } from '../../sale/order.ts';
import { settleBatch } from '../../sale/settlement/transaction.ts';
import { openTokens } from '../../server/http/identity/tokens.ts';
import { mintTokens, requireLoopback, startPressing } from '../load/closed-loop.ts';
import { type Answers, sendAll } from '../load/send-all.ts';
import { saveResult } from '../report/results.ts';
import { percentile, spreadOf } from '../report/statistics.ts';
import { printTable, spread } from '../report/table.ts';
import { judge, printVerdicts } from '../report/targets.ts';
import {
  auditTestbed,
  endBenchSale,
  type OwnTestbed,
  openBenchSale,
  openOwnTestbed,
  waitUntilSettled,
} from '../systems/testbed.ts';

interface CancellationsOptions {
  rounds: number;
  /** Paid orders that are cancelled without other load. */
  orders: number;
  /** Cancellations in flight at once. Under load this is also their total, with a tenth as many changes of the sale. */
  atOnce: number;
  /** Connections of the load that presses Buy at the same sale meanwhile. */
  connections: number;
}

const whatOf = {
  alone: 'cancelled, alone',
  cancelled: 'cancelled, under load',
  changed: 'stock added, under load',
};
type Kind = keyof typeof whatOf;
const kinds = Object.keys(whatOf) as Kind[];

const buyersOfLoad = 5_000;
const settledTogether = 2_000;
const deadlineSeconds = 120;
const targetPerSecond = 2_000;
const targetP99Ms = 1_000;

/**
 * Cancels paid orders of one sale, first alone, then while buyers press Buy at it and an admin adds stock.
 * @returns whether all were answered 200, each unit was returned once, and the targets were met.
 */
export async function cancellations({ rounds, orders, atOnce, connections }: CancellationsOptions) {
  const testbed = await openOwnTestbed({ clients: atOnce + connections + 200 });
  requireLoopback(testbed.url);
  try {
    const results: Record<Kind, Answers>[] = [];
    // The first round is not counted, because it warms V8 up.
    for (let round = 0; round <= rounds; round++) {
      const alone = await measureAlone(testbed, orders, atOnce);
      const beside = await measureUnderLoad(testbed, atOnce, connections);
      if (round > 0) results.push({ alone, ...beside });
    }
    const invariants = await auditTestbed(testbed.system);
    const figures = kinds.map((kind) => ({
      kind,
      perSecond: spreadOf(results.map((round) => round[kind].perSecond)),
      p50Ms: spreadOf(results.map((round) => percentile(round[kind].ms, 50))),
      p99Ms: spreadOf(results.map((round) => percentile(round[kind].ms, 99))),
      // One answer that is not 200 is a failure, however fast.
      failed: results.reduce((count, round) => count + round[kind].failed, 0),
    }));
    printTable(
      ['', 'a second', 'p50 ms', 'p99 ms', 'not 200'],
      figures.map(({ kind, perSecond, p50Ms, p99Ms, failed }) => [
        whatOf[kind],
        ...[perSecond, p50Ms, p99Ms].map(spread),
        String(failed),
      ]),
    );
    const p99Of = (kind: Kind) => results.map((round) => percentile(round[kind].ms, 99));
    const verdicts = [
      judge(
        'cancelled a second, alone',
        results.map(({ alone }) => alone.perSecond),
        'at least',
        targetPerSecond,
      ),
      judge('p99 of a cancellation under load, ms', p99Of('cancelled'), 'below', targetP99Ms),
      judge('p99 of a change under load, ms', p99Of('changed'), 'below', targetP99Ms),
    ];
    printVerdicts(verdicts);
    console.log(`audit  ${invariants ? 'every invariant holds' : 'BROKEN'}`);
    console.log(
      saveResult('cancellations', { options: { rounds, orders, atOnce, connections }, figures, verdicts }),
    );
    const isWhole = figures.every(({ failed }) => failed === 0);
    return invariants && isWhole && verdicts.every(({ pass }) => pass);
  } finally {
    await testbed.close();
  }
}

async function measureAlone(testbed: OwnTestbed, orders: number, atOnce: number): Promise<Answers> {
  const { saleId, requests } = await sellOut(testbed, orders, orders);
  const answers = await sendAll(testbed.url, requests, atOnce);
  await requireReturned(testbed, saleId, orders, orders);
  return answers;
}

async function measureUnderLoad(testbed: OwnTestbed, atOnce: number, connections: number) {
  const additions = Math.ceil(atOnce / 10);
  // More than the load can buy, so that purchases are being settled all the time.
  const stock = 1_000_000;
  const { saleId, requests } = await sellOut(testbed, atOnce, stock);
  const tokens = mintTokens(buyersOfLoad, testbed.secret);
  const load = { url: testbed.url, tokens, saleId, presses: 2_000, connections, deadlineSeconds };
  const stopPressing = startPressing(load);
  await waitForPaidOrders(testbed, saleId, atOnce + settledTogether);
  const admin = openTokens(testbed.secret, 3_600).issue({ id: 'bench-admin', role: 'admin' });
  const change = () => patch(testbed.url, saleId, admin, { addStock: 1 });
  const [cancelled, changed] = await Promise.all([
    sendAll(testbed.url, requests, atOnce),
    sendAll(testbed.url, Array.from({ length: additions }, change), additions),
  ]);
  await stopPressing();
  await waitUntilSettled(testbed.system, deadlineSeconds);
  const bought = await testbed.system.collections.orders.countDocuments({ saleId, status: 'paid' });
  await requireReturned(testbed, saleId, atOnce, stock + additions - bought);
  await endBenchSale(testbed.system, saleId);
  return { cancelled, changed };
}

/** Waits until so many orders of the sale are paid, which shows that the load has reached its full rate. */
async function waitForPaidOrders({ system }: OwnTestbed, saleId: string, orders: number): Promise<void> {
  await waitUntil(async () => (await system.collections.orders.countDocuments({ saleId })) >= orders, {
    deadlineMs: deadlineSeconds * 1_000,
    what: 'the load has not bought enough yet',
  });
}

/** Creates a sale with paid orders of one unit each. @returns the requests that cancel them. */
async function sellOut({ system, url, secret }: OwnTestbed, orders: number, stock: number) {
  const saleId = await openBenchSale(system, { name: 'Bench: cancellations', stock, limitPerBuyer: 1_000 });
  const buyerPrefix = nanoid(8);
  const createdAt = new Date().toISOString();
  const purchases = Array.from({ length: orders }, (_, n): Purchase => {
    const [buyerId, idempotencyKey] = [`${buyerPrefix}-${n}`, `${n}`];
    const orderId = orderIdOf(buyerId, saleId, idempotencyKey);
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

/** @throws Error unless each unit was returned once: to the sale, and to its gate if there is one. */
async function requireReturned({ system }: OwnTestbed, saleId: string, returned: number, left: number) {
  const sale = await system.collections.sales.findOne({ _id: saleId });
  const gate = await system.redis.hget(system.gate.keyOf(saleId), 'left');
  const inGate = gate === null ? left : Number(gate);
  if (sale?.unitsReturned === returned && sale.stock === left && inGate === left) return;
  throw new Error(
    `Expected ${returned} units returned and ${left} left; the sale has ${sale?.unitsReturned} and ${sale?.stock}, its gate ${inGate} left`,
  );
}
