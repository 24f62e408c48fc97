import { pressWithAutocannon } from '../load/cannon.ts';
import { type Crowd, mintTokens, pressBuy } from '../load/closed-loop.ts';
import { findK6, pressWithK6 } from '../load/k6.ts';
import { saveResult } from '../report/results.ts';
import { percentile, spreadsOf } from '../report/statistics.ts';
import { printTable, spread } from '../report/table.ts';
import { endBenchSale, openBenchSale, openOwnStage, waitForQuiet } from '../systems/stage.ts';

export interface CrosscheckOptions {
  rounds: number;
  presses: number;
  buyers: number;
  connections: number;
}

interface Seen {
  acceptedPerSecond: number;
  p50Ms: number;
}

type Press = (crowd: Crowd & { saleId: string }) => Promise<Seen>;

/**
 * Our own crowd, autocannon, and k6 when it is on the PATH, press on the same system in turns.
 * @throws when one of them left a unit unsold.
 */
export async function crosscheck({ rounds, ...load }: CrosscheckOptions): Promise<boolean> {
  const loads = findLoads();
  const stage = await openOwnStage();
  try {
    const { system, url, secret } = stage;
    const tokens = mintTokens(load.buyers, secret);
    const limits = { stock: load.presses, limitPerBuyer: load.presses };
    const seen = Object.fromEntries(loads.map(([name]) => [name, [] as Seen[]]));
    // The first turn of each warms the processes up.
    for (let n = -1; n < rounds; n++) {
      for (const [name, press] of n % 2 === 0 ? loads : loads.toReversed()) {
        const saleId = await openBenchSale(system, { name: 'Bench: crosscheck', ...limits });
        const turn = await press({ url, tokens, saleId, ...load, deadlineSeconds: 120 });
        await waitForQuiet(system, 120);
        const left = (await system.collections.sales.findById(saleId).lean())?.stock;
        await endBenchSale(system, saleId);
        if (left !== 0) throw new Error(`${name}: ${left} of ${load.presses} units were not bought`);
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
    await stage.close();
  }
}

function findLoads(): [string, Press][] {
  const k6 = findK6();
  if (!k6) console.log('k6 is not on the PATH: without it');
  const loads: [string, Press][] = [
    ['crowd', async (crowd) => seenBy(await pressBuy(crowd))],
    ['autocannon', async (crowd) => seenBy(await pressWithAutocannon(crowd))],
  ];
  if (k6) {
    loads.push([
      'k6',
      async (crowd) => {
        const { accepted, seconds, p50Ms } = await pressWithK6(k6, crowd);
        return { acceptedPerSecond: accepted / seconds, p50Ms };
      },
    ]);
  }
  return loads;
}

const seenBy = ({ accepted, seconds, acceptedMs }: Awaited<ReturnType<typeof pressBuy>>): Seen => ({
  acceptedPerSecond: accepted.length / seconds,
  p50Ms: percentile(acceptedMs, 50),
});
