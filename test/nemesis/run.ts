import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { openSystem, type System } from '../../commands/system.ts';
import { waitUntil } from '../../ops/local/processes/process.mjs';
import { openTokens } from '../../server/http/identity/tokens.ts';
import { type Crowd, type Stage, startCrowd } from './buyers.ts';
import { countersOf, type FaultWindow, findFaults } from './check.ts';
import { type Cluster, isReady, openCluster } from './cluster.ts';
import { drawFault, faultNames } from './faults.ts';
import { between, chooseFrom, openRandom } from './random.ts';

/**
 * One run, in the namespaces that main.ts made: a crowd buys in four sales on five nodes, while faults that are drawn from the
 * seed come and go. Then everything heals, and what the crowd was told is compared with what the shop has.
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

/** @returns what is wrong; nothing when all is well. */
async function runNemesis({ seed, seconds, folder, buyers }: RunOptions): Promise<string[]> {
  const random = openRandom(seed);
  const cluster = await openCluster(folder);
  const system = await openSystem({ ...cluster.env, LOG_LEVEL: 'silent' });
  const beganAt = Date.now();
  const now = () => Date.now() - beganAt;
  const say = (text: string) => console.log(`${(now() / 1_000).toFixed(1).padStart(7)} s  ${text}`);
  try {
    const admin = openAdmin(cluster);
    const stages = await createSales(admin);
    const crowd = startCrowd({
      urls: cluster.urls,
      jwtSecret: cluster.env.JWT_SECRET ?? '',
      stages,
      seed,
      buyers,
      now,
    });
    const windows: FaultWindow[] = [];
    while (now() < seconds * 1_000) {
      await delay(between(random, 1_000, 4_000));
      windows.push(await injectOne(cluster, random, now, say));
    }
    await delay(2_000);
    await crowd.stop();
    await Promise.all(cluster.urls.map(isReady));
    await endWaiting(admin, stages);
    await becomeQuiet(system, crowd, say);
    const faults = await findFaults(system, crowd, stages);
    const counters = await countersOf(system, crowd, stages, windows, beganAt);
    await writeFile(join(folder, 'counters.json'), JSON.stringify(counters));
    await writeFile(join(folder, 'purchases.json'), JSON.stringify(crowd.purchases));
    say(summaryOf(crowd, windows));
    return faults;
  } finally {
    await system.close();
    await cluster.close();
  }
}

async function injectOne(
  cluster: Cluster,
  random: () => number,
  now: () => number,
  say: (text: string) => void,
): Promise<FaultWindow> {
  const fault = drawFault(chooseFrom(random, faultNames), cluster, random);
  const from = now();
  say(fault.about);
  await fault.begin();
  await delay(between(random, 2_000, 8_000));
  await fault.end();
  say('healed');
  return { from, to: now() };
}

type Admin = (method: string, path: string, body: object) => Promise<{ id: string }>;

function openAdmin({ env, urls: [url = ''] }: Cluster): Admin {
  const token = openTokens(env.JWT_SECRET ?? '', 24 * 3_600).issue({ id: 'nemesis', role: 'admin' });
  return async (method, path, body) => {
    const answer = await fetch(url + path, {
      method,
      headers: { Authorization: `Bearer ${token}`, 'Content-Type': 'application/json' },
      body: JSON.stringify(body),
    });
    if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${await answer.text()}`);
    return (await answer.json()) as { id: string };
  };
}

/** One sale that is free, one that is paid, one with a waiting list, and one with a waiting room, which opens soon. */
async function createSales(admin: Admin): Promise<Stage[]> {
  const { id: productId } = await admin('POST', '/api/products', { name: 'A lamp' });
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
      saleId: (await admin('POST', '/api/sales', { ...offer, ...sale })).id,
      kind,
    })),
  );
}

/** Ends the sales whose units would go on being offered to those who wait. */
async function endWaiting(admin: Admin, stages: Stage[]): Promise<void> {
  for (const { saleId, kind } of stages)
    if (kind !== 'pressed') await admin('PATCH', `/api/sales/${saleId}`, { closesAt: new Date() });
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

function summaryOf({ purchases, answers, places }: Crowd, windows: FaultWindow[]): string {
  const count = (status: string) =>
    purchases.filter(({ statuses }) => statuses.includes(status as never)).length;
  const refused = purchases.filter((purchase) => purchase.refused !== null).length;
  const statuses = [...answers]
    .sort(([one], [other]) => one - other)
    .map(([status, times]) => `${status}×${times}`);
  return [
    `${windows.length} faults, ${purchases.length} purchases: ${count('paid')} paid, ${count('held')} held,`,
    `${count('expired')} expired, ${count('cancelled')} cancelled, ${refused} refused; ${places.length} places;`,
    `answers ${statuses.join(' ')}`,
  ].join(' ');
}

const options: RunOptions = JSON.parse(process.argv[2] ?? '{}');
await mkdir(options.folder, { recursive: true });
const faults = await runNemesis(options);
for (const fault of faults) console.log(`FAULT ${fault}`);
process.exit(faults.length === 0 ? 0 : 1);
