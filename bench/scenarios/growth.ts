import { mintTokens } from '../load/closed-loop.ts';
import {
  type ColdBesideHot,
  type Cost,
  coldBesideHot,
  costOf,
  fillWithOrders,
  forgetOrders,
  type Load,
  openSales,
} from '../measure/cost.ts';
import { saveResult } from '../report/results.ts';
import { type Spread, spreadsOf } from '../report/statistics.ts';
import { printTable, spread } from '../report/table.ts';
import { judge, printVerdicts, type Verdict } from '../report/targets.ts';
import { openSides, type Side, stampedeOn } from '../systems/sides.ts';
import { auditStage, type OwnStage, openOwnStage } from '../systems/stage.ts';

export interface GrowthOptions {
  rounds: number;
  presses: number;
  orders: number;
  sales: number;
  connections: number;
  workers: number;
}

/** What a purchase costs in the shop that grows, and what part that is of one in a small shop at the same time. */
interface GrownCost extends Cost {
  ofSmall: number;
}

/** One thing that grows, and what a purchase costs at each of its sizes. */
interface Axis {
  what: string;
  sizes: number[];
  costs: GrownCost[][];
  /** Whether a purchase should cost the same at each size. */
  isFlat: boolean;
}

const buyers = 5_000;
const tolerance = 1.15;
/** Sales that the crowd buys at, however many are open. */
const crowdedSales = 10;
/** A process compiles its code while it works on its first purchases. */
const warmUps = 3;
/** So many times the rounds for what comes nearest to what is tolerated. */
const moreRounds = 3;

/**
 * What a purchase costs as the shop grows. Each round asks a second shop, which stays small, right before: a machine that
 * others use too may take half as long again a minute later. @returns whether it stays flat.
 */
export async function growth(options: GrowthOptions): Promise<boolean> {
  const axes: Axis[] = [];
  const beside: ColdBesideHot[] = [];
  const holds = await inTwoShops(options, async ({ stage, tokens, cost, climb }) => {
    axes.push(
      await climb('connections', steps(100, options.connections), async (connections) => {
        return () => cost({ connections });
      }),
      await climb('past orders', steps(1_000, options.orders), async (orders) => {
        await fillWithOrders(stage, orders);
        return () => cost();
      }),
    );
    const saleIds: string[] = [];
    axes.push(
      await climb('open sales', steps(crowdedSales, options.sales), async (sales) => {
        saleIds.push(...(await openSales(stage.system, sales - saleIds.length)));
        return () => cost({ saleIds: saleIds.slice(0, crowdedSales) });
      }),
      // Not flat: what a transaction does once for each sale is shared by those who buy at it together.
      await climb(
        'sales bought at',
        steps(1, saleIds.length),
        async (sales) => () => cost({ saleIds: saleIds.slice(0, sales) }),
        { isFlat: false },
      ),
    );
    for (let n = 0; n < options.rounds; n++) beside.push(await coldBesideHot(stage, tokens));
  });
  // Two new shops, so that nothing else is more in one than in the other.
  const holdsWithWorkers = await inTwoShops(options, async ({ stage, cost, climb }) => {
    axes.push(
      await climb(
        'workers',
        doublings(options.workers),
        async (workers) => {
          while (stage.scratch.workers.length < workers) await stage.scratch.startWorker();
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

/** Two shops alike, of which one grows. */
interface TwoShops {
  /** Of the one that grows, as are the tokens and the cost. */
  stage: OwnStage;
  tokens: string[];
  cost(load?: Partial<Load>): Promise<Cost>;
  /** Lets it grow to each size in turn. @param grow makes it so large, and returns what a round is there. */
  climb(
    what: string,
    sizes: number[],
    grow: (size: number) => Promise<() => Promise<Cost>>,
    how?: { isFlat?: boolean; rounds?: number },
  ): Promise<Axis>;
}

/** @returns whether the invariants hold in the shop that grew. */
async function inTwoShops(
  { rounds: usualRounds, presses, connections }: GrowthOptions,
  work: (shops: TwoShops) => Promise<void>,
): Promise<boolean> {
  const open = async () => stampedeOn(await openOwnStage({ clients: connections }));
  const { sides, close } = await openSides([open, open]);
  const [grown, small] = sides as [Side, Side];
  try {
    const { stage } = grown;
    const tokens = mintTokens(buyers, stage.secret);
    const tokensOfSmall = mintTokens(buyers, small.stage.secret);
    const cost = (load: Partial<Load> = {}) => costOf(grown, { presses, tokens, ...load });
    const costOfSmall = () => costOf(small, { presses, tokens: tokensOfSmall });
    for (let n = 0; n < warmUps; n++) {
      await costOfSmall();
      await cost();
    }
    await work({
      stage,
      tokens,
      cost,
      async climb(what, sizes, grow, { isFlat = true, rounds = usualRounds } = {}) {
        const axis: Axis = { what, sizes, costs: [], isFlat };
        for (const size of sizes) {
          await forgetOrders(small.stage);
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
    return await auditStage(stage.system, { withLog: false });
  } finally {
    await close();
  }
}

/** From `first` by tens to `last`. */
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
