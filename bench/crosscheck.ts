import { pressWithAutocannon } from './cannon.ts';
import { mintTokens, pressBuy } from './crowd.ts';
import { endBenchSale, openBenchSale, openOwnStage, waitForQuiet } from './stage.ts';
import { percentile, spreadsOf } from './statistics.ts';
import { printTable, spread } from './table.ts';

export interface CrosscheckOptions {
  rounds: number;
  presses: number;
  buyers: number;
  connections: number;
}

interface Seen {
  acceptedPerSecond: number;
  p50Ms: number;
  /** CPU microseconds of the load generator for each press. */
  loadMicros: number;
}

/** Our own crowd and autocannon press on the same system in turns. @returns whether they saw the same rates. */
export async function crosscheck({ rounds, ...load }: CrosscheckOptions): Promise<boolean> {
  const stage = await openOwnStage();
  try {
    const { system, url, secret } = stage;
    const tokens = mintTokens(load.buyers, secret);
    const limits = { stock: load.presses, limitPerBuyer: load.presses };
    const seen: Record<string, Seen[]> = { crowd: [], autocannon: [] };
    for (let n = -1; n < rounds; n++) {
      for (const name of n % 2 === 0 ? ['crowd', 'autocannon'] : ['autocannon', 'crowd']) {
        const saleId = await openBenchSale(system, { name: 'Bench: crosscheck', ...limits });
        const press = name === 'crowd' ? pressBuy : pressWithAutocannon;
        const before = process.cpuUsage();
        const crowd = await press({ url, tokens, saleId, ...load, deadlineSeconds: 120 });
        const { user, system: kernel } = process.cpuUsage(before);
        await waitForQuiet(system, 120);
        await endBenchSale(system, saleId);
        // The first turn of each warms the processes up.
        if (n < 0) continue;
        seen[name]?.push({
          acceptedPerSecond: crowd.accepted.length / crowd.seconds,
          p50Ms: percentile(crowd.acceptedMs, 50),
          loadMicros: (user + kernel) / load.presses,
        });
      }
    }
    const rows = Object.entries(seen).map(([name, own]) => {
      const { acceptedPerSecond, p50Ms, loadMicros } = spreadsOf(own);
      return [name, spread(acceptedPerSecond), spread(p50Ms), spread(loadMicros)];
    });
    printTable(['', 'accepted/s', 'p50 ms', 'CPU µs of the load for each press'], rows);
    return Object.values(seen)
      .flat()
      .every(({ acceptedPerSecond }) => acceptedPerSecond > 0);
  } finally {
    await stage.close();
  }
}
