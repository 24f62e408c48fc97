import { setTimeout as delay } from 'node:timers/promises';
import type { System } from '../../commands/system.ts';
import { waitUntil } from '../../ops/local/processes/process.mjs';
import { mintTokens } from '../load/closed-loop.ts';
import { type PayingCrowd, startPayingCrowd } from '../load/paying-crowd.ts';
import { saveResult } from '../report/results.ts';
import { percentile, sum } from '../report/statistics.ts';
import { figure } from '../report/table.ts';
import { judge, printVerdicts } from '../report/targets.ts';
import {
  auditTestbed,
  endBenchSale,
  openBenchSale,
  openOwnTestbed,
  waitUntilPaymentsEnd,
  waitUntilSettled,
} from '../systems/testbed.ts';

interface SellOutOptions {
  stock: number;
  buyers: number;
  windowSeconds: number;
  connections: number;
}

const deadlineSeconds = 600;
const warmUpSeconds = 8;

/**
 * Sells all units to buyers of whom 60% pay at once, 20% late and 20% never, so that units expire and are sold again, until
 * every unit is sold and paid. @returns whether it came to that, and every invariant holds.
 */
export async function sellOut(options: SellOutOptions): Promise<boolean> {
  const { stock, buyers, windowSeconds, connections } = options;
  const testbed = await openOwnTestbed({
    clients: connections + 200,
    env: { PAYMENT_PROVIDER: 'simulated' },
  });
  try {
    const { system, url, secret } = testbed;
    const { orders, payments } = system.collections;
    const tokens = mintTokens(buyers, secret);
    const sale = { name: 'Bench: sell-out', stock, limitPerBuyer: 1, paymentWindowSeconds: windowSeconds };
    const load = { url, tokens, windowSeconds, connections };
    await warmUp(system, { ...load, saleId: await openBenchSale(system, sale) });

    const saleId = await openBenchSale(system, sale);
    const startedAt = Date.now();
    const crowd = startPayingCrowd({ ...load, saleId });
    const allPaid = waitUntil(
      async () => (await orders.countDocuments({ saleId, status: 'paid' })) >= stock,
      { deadlineMs: deadlineSeconds * 1_000, what: 'not every unit is paid', everyMs: 500 },
    );
    // After its deadline too, what the crowd did is printed.
    await allPaid.catch((error) => console.log(error.message));
    const { presses, heldMs, heldAtMs, paidAt, tooLate, failed } = await crowd.stop();
    await waitUntilSettled(system, deadlineSeconds);
    await waitUntilPaymentsEnd(system, deadlineSeconds);

    const [paid, expired] = await Promise.all(
      (['paid', 'expired'] as const).map((status) => orders.countDocuments({ saleId, status })),
    );
    const captured = await payments.find({ saleId, state: 'captured' }).toArray();
    const capturedAt = captured.map((payment) => payment.capturedAt?.getTime() ?? Number.NaN);
    const paidMs = captured.map(({ _id }, n) => (capturedAt[n] as number) - (paidAt.get(_id) ?? Number.NaN));
    const captureMs = captured.map(
      ({ authorisedAt }, n) => (capturedAt[n] as number) - (authorisedAt?.getTime() ?? Number.NaN),
    );
    for (const times of [heldMs, paidMs, captureMs]) times.sort((a, b) => a - b);
    await endBenchSale(system, saleId);
    const ok = await auditTestbed(system);

    const seconds = (Math.max(...capturedAt) - startedAt) / 1_000;
    const allHeldSeconds = (heldAtMs[stock - 1] ?? Number.NaN) / 1_000;
    const measured = {
      seconds,
      allHeldSeconds,
      heldPerSecond: stock / allHeldSeconds,
      paidPerSecond: stock / seconds,
      paidInBusiestSecond: busiestSecond(capturedAt, startedAt),
      pressesPerSecond: presses / seconds,
      ...{ expired, tooLate },
      heldP50Ms: percentile(heldMs, 50),
      heldP99Ms: percentile(heldMs, 99),
      paidP50Ms: percentile(paidMs, 50),
      paidP99Ms: percentile(paidMs, 99),
      captureP50Ms: percentile(captureMs, 50),
      captureP99Ms: percentile(captureMs, 99),
    };
    const of = (what: keyof typeof measured) => figure(measured[what] ?? Number.NaN);
    console.log(
      `${stock} units, ${buyers} buyers: all held once after ${of('allHeldSeconds')} s (${of('heldPerSecond')}/s), ` +
        `all sold and paid after ${of('seconds')} s (${of('paidPerSecond')}/s, ${of('paidInBusiestSecond')} in the busiest second)`,
    );
    console.log(
      `${of('pressesPerSecond')} presses a second; ${expired} holds expired and were sold again, ${tooLate} payments came too late`,
    );
    console.log(`press → held       p50 ${of('heldP50Ms')} ms, p99 ${of('heldP99Ms')} ms`);
    console.log(`payment → captured p50 ${of('paidP50Ms')} ms, p99 ${of('paidP99Ms')} ms`);
    console.log(`  of it, from authorised on: p50 ${of('captureP50Ms')} ms, p99 ${of('captureP99Ms')} ms`);
    for (const [what, times] of Object.entries(failed)) console.log(`${times} times: ${what}`);
    const verdicts = [
      judge('units that are not sold and paid', [stock - Math.min(paid ?? 0, captured.length)], 'below', 1),
      judge('press → held p50, ms', [measured.heldP50Ms], 'below', 250),
      judge('press → held p99, ms', [measured.heldP99Ms], 'below', 1_000),
      judge('requests that failed', [sum(failed)], 'below', 1),
      judge('broken invariants', [ok ? 0 : 1], 'below', 1),
    ];
    printVerdicts(verdicts);
    console.log(`\nWritten to ${saveResult('sell-out', { options, ...measured, verdicts })}`);
    return verdicts.every(({ pass }) => pass);
  } finally {
    await testbed.close();
  }
}

/** Sells to the same crowd for a while, until nothing is held any more. */
async function warmUp(system: System, crowd: PayingCrowd): Promise<void> {
  const { stop } = startPayingCrowd(crowd);
  await delay(warmUpSeconds * 1_000);
  await stop();
  await endBenchSale(system, crowd.saleId);
  await waitUntilSettled(system, deadlineSeconds);
  const held = { saleId: crowd.saleId, status: 'held' as const };
  await waitUntil(async () => (await system.collections.orders.countDocuments(held)) === 0, {
    deadlineMs: deadlineSeconds * 1_000,
    what: 'orders of the warm-up are still held',
    everyMs: 500,
  });
  await waitUntilPaymentsEnd(system, deadlineSeconds);
}

/** How many of these times are in the second with most of them. */
function busiestSecond(times: number[], startedAt: number): number {
  const counts = new Map<number, number>();
  for (const time of times) {
    const second = Math.floor((time - startedAt) / 1_000);
    counts.set(second, (counts.get(second) ?? 0) + 1);
  }
  return Math.max(0, ...counts.values());
}
