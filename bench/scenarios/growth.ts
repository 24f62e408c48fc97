import { mintTokens } from '../load/closed-loop.ts';
import {
  type ColdBesideHot,
  type Cost,
  deleteOrders,
  insertPastOrders,
  type Load,
  measureColdBesideHot,
  measurePurchaseCost,
  openSales,
} from '../measure/purchase-cost.ts';
import { saveResult } from '../report/results.ts';
import { type Spread, spreadsOf } from '../report/statistics.ts';
import { printTable, spread } from '../report/table.ts';
import { judge, printVerdicts, type Verdict } from '../report/targets.ts';
import { openSides, type Side, stampedeOn } from '../systems/sides.ts';
import { auditTestbed, type OwnTestbed, openOwnTestbed } from '../systems/testbed.ts';

export interface GrowthOptions {
  rounds: number;
  presses: number;
  orders: number;
  sales: number;
  connections: number;
  workers: number;
}

/** The cost of a purchase in the growing shop, and its ratio to the cost in the small shop at the same time. */
interface GrownCost extends Cost {
  ofSmall: number;
}

/** One dimension that grows, and the cost of a purchase at each of its sizes. */
interface Axis {
  what: string;
  sizes: number[];
  costs: GrownCost[][];
  /** Whether the cost should be the same at each size. */
  isFlat: boolean;
}

const buyers = 5_000;
const tolerance = 1.15;
/** Sales that are bought at, however many are open. */
const activeSales = 10;
/** V8 compiles the code during the first purchases. */
const warmUps = 3;
/** How many times more rounds `workers` gets, whose ratio comes nearest to its bound. */
const moreRounds = 3;

/**
 * Measures the cost of a purchase as the shop grows. Each round measures a second, small shop right before, because the
 * speed of a shared machine may change by half within a minute. @returns whether the cost stays flat.
 */
export async function growth(options: GrowthOptions): Promise<boolean> {
  const axes: Axis[] = [];
  const beside: ColdBesideHot[] = [];
  const holds = await besideSmallShop(options, async ({ testbed, tokens, cost, measureGrowth }) => {
    axes.push(
      await measureGrowth('connections', steps(100, options.connections), async (connections) => {
        return () => cost({ connections });
      }),
      await measureGrowth('past orders', steps(1_000, options.orders), async (orders) => {
        await insertPastOrders(testbed, orders);
        return () => cost();
      }),
    );
    const saleIds: string[] = [];
    axes.push(
      await measureGrowth('open sales', steps(activeSales, options.sales), async (sales) => {
        saleIds.push(...(await openSales(testbed.system, sales - saleIds.length)));
        return () => cost({ saleIds: saleIds.slice(0, activeSales) });
      }),
      // Not flat, because purchases of one sale share the work that a transaction does once for each sale.
      await measureGrowth(
        'sales bought at',
        steps(1, saleIds.length),
        async (sales) => () => cost({ saleIds: saleIds.slice(0, sales) }),
        { isFlat: false },
      ),
    );
    for (let n = 0; n < options.rounds; n++) beside.push(await measureColdBesideHot(testbed, tokens));
  });
  // Two new shops, so that they differ in nothing but the workers.
  const holdsWithWorkers = await besideSmallShop(options, async ({ testbed, cost, measureGrowth }) => {
    axes.push(
      await measureGrowth(
        'workers',
        doublings(options.workers),
        async (workers) => {
          while (testbed.scratch.workers.length < workers) await testbed.scratch.startWorker();
          for (let n = 0; n < warmUps; n++) await cost();
          return () => cost();
        },
        { rounds: options.rounds * moreRounds },
      ),
    );
  });
  const verdicts = verdictsOf(axes, beside, holds && holdsWithWorkers);
  printVerdicts(verdicts);
  console.log(`\nWritten to ${saveResult('growth', { options, axes, beside, verdicts })}`);
  return verdicts.every(({ pass }) => pass);
}

/** Two equal shops, of which one grows. */
interface TwoShops {
  /** Of the growing shop, as are the tokens and the cost. */
  testbed: OwnTestbed;
  tokens: string[];
  cost(load?: Partial<Load>): Promise<Cost>;
  /** Measures at each size in turn. @param grow makes the shop that large, and returns the function that runs a round. */
  measureGrowth(
    what: string,
    sizes: number[],
    grow: (size: number) => Promise<() => Promise<Cost>>,
    how?: { isFlat?: boolean; rounds?: number },
  ): Promise<Axis>;
}

/** @returns whether the invariants hold in the shop that grew. */
async function besideSmallShop(
  { rounds: usualRounds, presses, connections }: GrowthOptions,
  work: (shops: TwoShops) => Promise<void>,
): Promise<boolean> {
  const open = async () => stampedeOn(await openOwnTestbed({ clients: connections }));
  const { sides, close } = await openSides([open, open]);
  const [grown, small] = sides as [Side, Side];
  try {
    const { testbed } = grown;
    const tokens = mintTokens(buyers, testbed.secret);
    const tokensOfSmall = mintTokens(buyers, small.testbed.secret);
    const cost = (load: Partial<Load> = {}) => measurePurchaseCost(grown, { presses, tokens, ...load });
    const costOfSmall = () => measurePurchaseCost(small, { presses, tokens: tokensOfSmall });
    for (let n = 0; n < warmUps; n++) {
      await costOfSmall();
      await cost();
    }
    await work({
      testbed,
      tokens,
      cost,
      async measureGrowth(what, sizes, grow, { isFlat = true, rounds = usualRounds } = {}) {
        const axis: Axis = { what, sizes, costs: [], isFlat };
        for (const size of sizes) {
          await deleteOrders(small.testbed);
          const once = await grow(size);
          const costs = [];
          for (let n = 0; n < rounds; n++) {
            const { cpuMicros } = await costOfSmall();
            const grownCost = await once();
            costs.push({ ...grownCost, ofSmall: grownCost.cpuMicros / cpuMicros });
          }
          axis.costs.push(costs);
        }
        print(axis);
        return axis;
      },
    });
    return await auditTestbed(testbed.system, { withLog: false });
  } finally {
    await close();
  }
}

/** Powers of ten times `first`, and `last`. */
function steps(first: number, last: number): number[] {
  const sizes = [];
  for (let size = first; size < last; size *= 10) sizes.push(size);
  return [...sizes, last];
}

function doublings(last: number): number[] {
  const sizes = [];
  for (let size = 1; size <= last; size *= 2) sizes.push(size);
  return sizes;
}

function verdictsOf(axes: Axis[], beside: ColdBesideHot[], ok: boolean): Verdict[] {
  const flat = axes.flatMap(({ what, sizes, costs, isFlat }) => {
    if (!isFlat) return [];
    const first = spreadsOf(costs[0] ?? []).ofSmall.median;
    const ratios = costs.at(-1)?.map(({ ofSmall }) => ofSmall / first) ?? [];
    return judge(`CPU of a purchase, ${sizes.at(-1)} ${what} to ${sizes[0]}`, ratios, 'below', tolerance);
  });
  const cold = judge(
    "a cold sale's p99 beside a hot one",
    beside.map(({ besideHotP99Ms, quietP99Ms }) => besideHotP99Ms / quietP99Ms),
    'below',
    2,
  );
  return [...flat, cold, judge('broken invariants', [ok ? 0 : 1], 'below', 1)];
}

function print({ what, sizes, costs }: Axis): void {
  const cells = costs.map((own) => {
    const { cpuMicros, ofSmall, settledPerSecond, p99Ms }: Record<keyof GrownCost, Spread> = spreadsOf(own);
    return [spread(cpuMicros), spread(ofSmall), spread(settledPerSecond), spread(p99Ms)];
  });
  const rows = sizes.map((size, n) => [size.toLocaleString('en-US'), ...(cells[n] ?? [])]);
  printTable([what, 'CPU µs a purchase', "of a small shop's", 'settled/s', 'p99 ms'], rows);
  console.log();
}
