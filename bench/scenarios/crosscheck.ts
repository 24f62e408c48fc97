import { pressWithAutocannon } from '../load/autocannon.ts';
import { type Load, mintTokens, pressBuy } from '../load/closed-loop.ts';
import { findK6, pressWithK6 } from '../load/k6.ts';
import { saveResult } from '../report/results.ts';
import { percentile, spreadsOf } from '../report/statistics.ts';
import { printTable, spread } from '../report/table.ts';
import { endBenchSale, openBenchSale, openOwnTestbed, waitUntilSettled } from '../systems/testbed.ts';

export interface CrosscheckOptions {
  rounds: number;
  presses: number;
  buyers: number;
  connections: number;
}

interface Measured {
  acceptedPerSecond: number;
  p50Ms: number;
}

type Press = (load: Load & { saleId: string }) => Promise<Measured>;

/**
 * Measures the same system in turns with our own load generator, with autocannon, and with k6 if it is on the PATH.
 * @throws when one of them did not sell every unit.
 */
export async function crosscheck({ rounds, ...load }: CrosscheckOptions): Promise<boolean> {
  const loads = findLoads();
  const testbed = await openOwnTestbed();
  try {
    const { system, url, secret } = testbed;
    const tokens = mintTokens(load.buyers, secret);
    const limits = { stock: load.presses, limitPerBuyer: load.presses };
    const seen = Object.fromEntries(loads.map(([name]) => [name, [] as Measured[]]));
    // The first round is not counted, because it warms the processes up.
    for (let n = -1; n < rounds; n++) {
      for (const [name, press] of n % 2 === 0 ? loads : loads.toReversed()) {
        const saleId = await openBenchSale(system, { name: 'Bench: crosscheck', ...limits });
        const turn = await press({ url, tokens, saleId, ...load, deadlineSeconds: 120 });
        await waitUntilSettled(system, 120);
        const left = (await system.collections.sales.findOne({ _id: saleId }))?.stock;
        await endBenchSale(system, saleId);
        if (left !== 0) throw new Error(`${name} left ${left} of ${load.presses} units unsold`);
        if (n >= 0) seen[name]?.push(turn);
      }
    }
    const rows = Object.entries(seen).map(([name, own]) => {
      const { acceptedPerSecond, p50Ms } = spreadsOf(own);
      return [name, spread(acceptedPerSecond), spread(p50Ms)];
    });
    printTable(['', 'accepted/s', 'p50 ms'], rows);
    console.log(`\nWritten to ${saveResult('crosscheck', { options: { rounds, ...load }, seen })}`);
    return true;
  } finally {
    await testbed.close();
  }
}

function findLoads(): [string, Press][] {
  const k6 = findK6();
  if (!k6) console.log('k6 is not on the PATH, so it is left out');
  const loads: [string, Press][] = [
    ['stampede', async (load) => measured(await pressBuy(load))],
    ['autocannon', async (load) => measured(await pressWithAutocannon(load))],
  ];
  if (k6) {
    loads.push([
      'k6',
      async (load) => {
        const { accepted, seconds, p50Ms } = await pressWithK6(k6, load);
        return { acceptedPerSecond: accepted / seconds, p50Ms };
      },
    ]);
  }
  return loads;
}

const measured = ({ accepted, seconds, acceptedMs }: Awaited<ReturnType<typeof pressBuy>>): Measured => ({
  acceptedPerSecond: accepted.length / seconds,
  p50Ms: percentile(acceptedMs, 50),
});
