import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { openSystem, type System } from '../../commands/system.ts';
import { waitUntil } from '../../ops/local/processes/process.mjs';
import { type Crowd, type Stage, startCrowd } from './buyers.ts';
import { countersOf, type FaultWindow, findFaults, linesOf } from './check.ts';
import { type Cluster, isReady, openCluster } from './cluster.ts';
import { drawFault, drawLastingFault, faultNames } from './faults.ts';
import { type Merchant, openMerchant } from './merchant.ts';
import { between, chooseFrom, openRandom } from './random.ts';
import { watchWaits } from './waits.ts';

/**
 * One run, in the namespaces that main.ts made: a crowd buys in four sales on five nodes, while faults that are drawn from the
 * seed come and go. Now and then one lasts for a minute and leaves a worker that can settle: nobody may wait long meanwhile. Then
 * everything heals, and what the crowd was told is compared with what the shop has.
 */

export interface RunOptions {
  seed: number;
  /** How long faults are injected. */
  seconds: number;
  /** For logs and results. */
  folder: string;
  buyers: number;
}

const settledWithinMs = 60_000;
/** A shorter run has no lasting faults, of which each takes a minute. */
const lastingFromSeconds = 120;
const lastingShare = 1 / 6;

/** @returns what is wrong; nothing when all is well. */
async function runNemesis({ seed, seconds, folder, buyers }: RunOptions): Promise<string[]> {
  const random = openRandom(seed);
  const cluster = await openCluster(folder);
  const system = await openSystem({ ...cluster.env, LOG_LEVEL: 'silent' });
  const beganAt = Date.now();
  const now = () => Date.now() - beganAt;
  const say = (text: string) => console.log(`${(now() / 1_000).toFixed(1).padStart(7)} s  ${text}`);
  try {
    const merchant = openMerchant(cluster.urls, cluster.env.JWT_SECRET ?? '', now);
    const stages = await createSales(merchant);
    merchant.startAdding(stages);
    const crowd = startCrowd({
      urls: cluster.urls,
      jwtSecret: cluster.env.JWT_SECRET ?? '',
      stages,
      seed,
      buyers,
      now,
    });
    const windows: FaultWindow[] = [];
    const late: string[] = [];
    while (now() < seconds * 1_000) {
      await delay(between(random, 1_000, 4_000));
      const from = now();
      if (seconds >= lastingFromSeconds && random() < lastingShare)
        late.push(...(await injectLasting(system, cluster, random, say)));
      else await injectOne(cluster, random, say);
      windows.push({ from, to: now() });
    }
    await delay(2_000);
    await crowd.stop();
    await Promise.all(cluster.urls.map(isReady));
    await merchant.stop();
    await endWaiting(merchant, stages);
    await becomeQuiet(system, crowd, say);
    const faults = await findFaults(system, crowd, stages, merchant.added);
    const counters = await countersOf(system, crowd, stages, merchant.added, windows, beganAt);
    await writeFile(join(folder, 'counters.json'), JSON.stringify(counters));
    await writeFile(join(folder, 'purchases.json'), JSON.stringify(crowd.purchases));
    say(await summaryOf(system, crowd, windows));
    return [...linesOf('waited too long', late), ...faults];
  } finally {
    await system.close();
    await cluster.close();
  }
}

type Say = (text: string) => void;

async function injectOne(cluster: Cluster, random: () => number, say: Say): Promise<void> {
  const fault = drawFault(chooseFrom(random, faultNames), cluster, random);
  say(fault.about);
  await fault.begin();
  await delay(between(random, 2_000, 8_000));
  await fault.end();
  say('healed');
}

/** @returns a line for each purchase that waited too long. */
async function injectLasting(
  system: System,
  cluster: Cluster,
  random: () => number,
  say: Say,
): Promise<string[]> {
  const fault = drawLastingFault(cluster, random);
  const lastsMs = between(random, 45_000, 75_000);
  say(`${fault.about} for ${Math.round(lastsMs / 1_000)} s`);
  await fault.begin();
  const waits = watchWaits(system, fault.about);
  await delay(lastsMs);
  await fault.end();
  say('healed');
  const { late, longestMs } = await waits.end();
  say(`the longest wait of an accepted purchase was ${(longestMs / 1_000).toFixed(1)} s`);
  return late;
}

interface Made {
  id: string;
}

/** One sale that is free, one that is paid, one with a waiting list, and one with a waiting room, which opens soon. */
async function createSales({ insist }: Merchant): Promise<Stage[]> {
  const { id: productId } = await insist<Made>('POST', '/api/products', { name: 'A lamp' });
  const day = 24 * 3_600_000;
  const window = { opensAt: new Date(Date.now() - day), closesAt: new Date(Date.now() + day) };
  const offer = { productId, price: { amount: 4_900, currency: 'EUR' }, limitPerBuyer: 4, ...window };
  const room = { mode: 'room', roomPerMinute: 600, opensAt: new Date(Date.now() + 4_000) };
  const sales = [
    { kind: 'pressed', stock: 200 },
    { kind: 'pressed', stock: 200, paymentWindowSeconds: 10 },
    { kind: 'waiting-list', stock: 40, paymentWindowSeconds: 10, waitingList: true },
    { kind: 'room', stock: 200, paymentWindowSeconds: 10, ...room },
  ] as const;
  return Promise.all(
    sales.map(async ({ kind, ...sale }) => ({
      saleId: (await insist<Made>('POST', '/api/sales', { ...offer, ...sale })).id,
      stock: sale.stock,
      kind,
    })),
  );
}

/** Ends the sales whose units would go on being offered to those who wait. */
async function endWaiting({ insist }: Merchant, stages: Stage[]): Promise<void> {
  for (const { saleId, kind } of stages)
    if (kind !== 'pressed') await insist('PATCH', `/api/sales/${saleId}`, { closesAt: new Date() });
}

/** Waits until every outcome is known, no purchase is queued, no order is held, and no payment has a step left. */
async function becomeQuiet(system: System, crowd: Crowd, say: (text: string) => void): Promise<void> {
  const { collections, gate } = system;
  await waitUntil(
    async () => {
      const [unknown, queued, held, unpaid] = await Promise.all([
        crowd.resolveUnknown(),
        gate.countQueued(),
        collections.orders.find({ status: 'held' }).limit(3).toArray(),
        collections.payments
          .find({ dueAt: { $ne: null } })
          .limit(3)
          .toArray(),
      ]);
      if (unknown + queued + held.length + unpaid.length === 0) return true;
      const left = JSON.stringify([...held, ...unpaid]);
      throw new Error(`${unknown} unknown, ${queued} queued; held orders and unfinished payments: ${left}`);
    },
    { deadlineMs: settledWithinMs, what: 'all is settled', everyMs: 500 },
  );
  say('all is settled');
}

async function summaryOf(
  { collections }: System,
  { purchases, answers, places }: Crowd,
  windows: FaultWindow[],
): Promise<string> {
  const refused = purchases.filter((purchase) => purchase.refused !== null).length;
  const orders = await collections.orders
    .aggregate<{ _id: string; count: number }>([{ $sortByCount: '$status' }])
    .toArray();
  const statuses = [...answers].sort(([one], [other]) => one - other);
  return [
    `${windows.length} faults, ${purchases.length} purchases, ${refused} refused;`,
    `orders: ${orders.map(({ _id, count }) => `${count} ${_id}`).join(', ')}; ${places.length} places;`,
    `answers ${statuses.map(([status, times]) => `${status}×${times}`).join(' ')}`,
  ].join(' ');
}

const options: RunOptions = JSON.parse(process.argv[2] ?? '{}');
await mkdir(options.folder, { recursive: true });
const faults = await runNemesis(options);
for (const fault of faults) console.log(`FAULT ${fault}`);
process.exit(faults.length === 0 ? 0 : 1);
