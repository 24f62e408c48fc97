import { nanoid } from 'nanoid';
import { waitUntil } from '../../ops/local/processes/process.mjs';
import type { Purchase } from '../../sale/contract.ts';
import { orderIdOf } from '../../sale/order.ts';
import { changeSale } from '../../sale/sale-change.ts';
import { settleBatch } from '../../sale/settlement/transaction.ts';
import { openTokens } from '../../server/http/tokens.ts';
import { mintTokens, pressBuy, requireLoopback } from '../load/closed-loop.ts';
import { openConnection, type Reply } from '../load/connection.ts';
import { saveResult } from '../report/results.ts';
import { percentile, spreadOf } from '../report/statistics.ts';
import { printTable, spread } from '../report/table.ts';
import { judge, printVerdicts } from '../report/targets.ts';
import { auditStage, type OwnStage, openBenchSale, openOwnStage, waitForQuiet } from '../systems/stage.ts';

interface CancellationsOptions {
  rounds: number;
  /** Paid orders that are cancelled with nobody else there. */
  orders: number;
  /** Cancellations that are on their way at once; beside a crowd as many in all, and a tenth as many changes of the sale. */
  atOnce: number;
  /** Of the crowd that presses Buy on the same sale meanwhile. */
  connections: number;
}

const whatOf = {
  alone: 'cancelled, alone',
  cancelled: 'cancelled, beside a crowd',
  changed: 'stock added, beside a crowd',
};
type Kind = keyof typeof whatOf;
const kinds = Object.keys(whatOf) as Kind[];

/** What the requests of one kind came to. */
interface Answers {
  /** Answers that were not 200. */
  failed: number;
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
    const played: Record<Kind, Answers>[] = [];
    // One more than is counted, so that V8 has seen the code.
    for (let round = 0; round <= rounds; round++) {
      const alone = await playAlone(stage, orders, atOnce);
      const beside = await playBeside(stage, atOnce, connections);
      if (round > 0) played.push({ alone, ...beside });
    }
    const invariants = await auditStage(stage.system);
    const figures = kinds.map((kind) => ({
      kind,
      perSecond: spreadOf(played.map((round) => round[kind].perSecond)),
      p50Ms: spreadOf(played.map((round) => percentile(round[kind].ms, 50))),
      p99Ms: spreadOf(played.map((round) => percentile(round[kind].ms, 99))),
      // One answer that is not 200 is a failure, however fast.
      failed: played.reduce((count, round) => count + round[kind].failed, 0),
    }));
    printTable(
      ['', 'a second', 'p50 ms', 'p99 ms', 'not 200'],
      figures.map(({ kind, perSecond, p50Ms, p99Ms, failed }) => [
        whatOf[kind],
        ...[perSecond, p50Ms, p99Ms].map(spread),
        String(failed),
      ]),
    );
    const p99Of = (kind: Kind) => played.map((round) => percentile(round[kind].ms, 99));
    const verdicts = [
      judge(
        'cancelled a second, alone',
        played.map(({ alone }) => alone.perSecond),
        'at least',
        targetPerSecond,
      ),
      judge('p99 of a cancellation beside a crowd, ms', p99Of('cancelled'), 'below', targetP99Ms),
      judge('p99 of a change beside a crowd, ms', p99Of('changed'), 'below', targetP99Ms),
    ];
    printVerdicts(verdicts);
    console.log(`audit  ${invariants ? 'every invariant holds' : 'BROKEN'}`);
    console.log(
      saveResult('cancellations', { options: { rounds, orders, atOnce, connections }, figures, verdicts }),
    );
    const isWhole = figures.every(({ failed }) => failed === 0);
    return invariants && isWhole && verdicts.every(({ pass }) => pass);
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
  let isOver = false;
  async function crowd(): Promise<void> {
    const pressing = { url: stage.url, tokens, saleId, presses: 2_000, connections, deadlineSeconds };
    while (!isOver) await pressBuy(pressing);
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
  await pressing;
  await waitForQuiet(stage.system, deadlineSeconds);
  const bought = await stage.system.collections.orders.countDocuments({ saleId, status: 'paid' });
  await requireReturned(stage, saleId, atOnce, stock + additions - bought);
  await changeSale(stage.system.collections, saleId, { closesAt: new Date() });
  return { cancelled, changed };
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

/** Asks all of it, so many at once. */
async function askAll(url: string, requests: string[], atOnce: number): Promise<Answers> {
  const began = performance.now();
  const answers: Answers = { failed: 0, ms: [], perSecond: 0 };
  let next = 0;
  async function askInTurns(): Promise<void> {
    const connection = openConnection(new URL(url));
    while (next < requests.length) {
      const request = requests[next++] as string;
      const askedAt = performance.now();
      const reply = await new Promise<Reply | null>((resolve) => connection.ask(request, resolve));
      answers.ms.push(performance.now() - askedAt);
      if (reply?.status !== 200) answers.failed += 1;
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
