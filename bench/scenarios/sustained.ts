import { mintTokens } from '../load/closed-loop.ts';
import { pressAtRate } from '../load/open-loop.ts';
import { type Sample, watchOverTime } from '../measure/samples.ts';
import { saveResult } from '../report/results.ts';
import { percentile } from '../report/statistics.ts';
import { figure, printTable } from '../report/table.ts';
import { judge, printVerdicts } from '../report/targets.ts';
import {
  auditTestbed,
  endBenchSale,
  findSettledOrders,
  openBenchSale,
  openOwnTestbed,
  waitUntilSettled,
} from '../systems/testbed.ts';

export interface SustainedOptions {
  rate: number;
  seconds: number;
  buyers: number;
  connections: number;
}

/** An open-loop load: buyers arrive at a steady rate. @returns whether every purchase was accepted and settled. */
export async function sustained(options: SustainedOptions): Promise<boolean> {
  const { answers, samples, perSecond, lost, auditOk, lagMs } = await sell(options, 1_000);
  const { acceptedMs, accepted, failed, refused, presses } = answers;
  const quantiles = [50, 90, 99, 99.9, 100].map(
    (percent) => [percent, percentile(acceptedMs, percent)] as const,
  );
  console.log(
    `${presses} buyers at ${options.rate}/s for ${options.seconds} s, latency from each intended send time:`,
  );
  console.log(`answer  ${quantiles.map(([percent, ms]) => `p${percent} ${figure(ms)} ms`).join(', ')}`);
  printSamples(samples);
  const verdicts = [
    judge('buyers without an accepted purchase', [presses - accepted.length], 'below', 1),
    judge('accepted purchases without an order', [lost], 'below', 1),
    judge('broken invariants', [auditOk ? 0 : 1], 'below', 1),
  ];
  printVerdicts(verdicts);
  const result = { options, quantiles, refused, failed, lagMs, samples, perSecond, verdicts };
  console.log(`\nWritten to ${saveResult('sustained', result)}`);
  return verdicts.every(({ pass }) => pass);
}

export interface SoakOptions extends Omit<SustainedOptions, 'seconds'> {
  minutes: number;
}

/** Redis forgets purchases within the run, so that keys that stay for another reason are noticed. */
const soakEnv = { PURCHASE_MEMORY_SECONDS: '60' };

/** The same load for minutes, which shows resources that grow and are never freed. */
export async function soak({ minutes, ...options }: SoakOptions): Promise<boolean> {
  const seconds = minutes * 60;
  const { answers, samples, perSecond, lost, auditOk } = await sell(
    { ...options, seconds },
    Math.max(1_000, seconds * 10),
    soakEnv,
  );
  printSamples(samples);
  // The first tenth is left out, because the processes warm up.
  const warm = samples.slice(Math.ceil(samples.length / 10));
  const verdicts = [
    ...Object.keys(warm[0]?.processes ?? {})
      .filter((name) => /^(server|worker|nginx)/.test(name))
      .flatMap((name) => [
        judge(
          `${name}: memory at the end, of that at the start`,
          growth(warm, name, 'memoryMb'),
          'below',
          1.3,
        ),
        judge(
          `${name}: handles at the end, of those at the start`,
          growth(warm, name, 'handles'),
          'below',
          1.3,
        ),
      ]),
    judge('Redis keys in the last third, of those in the second', [keyGrowth(samples)], 'below', 1.3),
    judge('buyers without an accepted purchase', [answers.presses - answers.accepted.length], 'below', 1),
    judge('accepted purchases without an order', [lost], 'below', 1),
    judge('broken invariants', [auditOk ? 0 : 1], 'below', 1),
  ];
  printVerdicts(verdicts);
  const p99Ms = percentile(answers.acceptedMs, 99);
  const result = { options: { ...options, minutes }, p99Ms, samples, perSecond, verdicts };
  console.log(`\nWritten to ${saveResult('soak', result)}`);
  return verdicts.every(({ pass }) => pass);
}

const mean = (some: number[]) => some.reduce((a, b) => a + b, 0) / some.length;

function keyGrowth(samples: Sample[]): number {
  const keys = samples.map(({ redisKeys }) => redisKeys);
  const third = Math.ceil(keys.length / 3);
  return mean(keys.slice(-third)) / mean(keys.slice(third, -third));
}

function growth(samples: Sample[], name: string, what: 'memoryMb' | 'handles'): number[] {
  const values = samples.map(({ processes }) => processes[name]?.[what] ?? Number.NaN);
  const third = Math.ceil(values.length / 3);
  return [mean(values.slice(-third)) / mean(values.slice(0, third))];
}

async function sell(
  { rate, seconds, buyers, connections }: SustainedOptions,
  sampleMs: number,
  env: Record<string, string> = {},
) {
  const testbed = await openOwnTestbed({ env });
  try {
    const { system, url, secret } = testbed;
    const presses = rate * seconds;
    const sale = {
      name: 'Bench: sustained',
      stock: presses * 2,
      limitPerBuyer: Math.ceil((presses * 2) / buyers) + 1, // The buyers of the warm-up buy again.
    };
    const saleId = await openBenchSale(system, sale);
    const tokens = mintTokens(buyers, secret);
    const load = { url, saleId, tokens, perSecond: rate, connections };
    await pressAtRate({ ...load, seconds: Math.min(3, seconds / 10) }); // The processes warm up.
    const watch = watchOverTime(testbed, sampleMs);
    const report = await pressAtRate({ ...load, seconds });
    await waitUntilSettled(system, 120);
    const { samples, perSecond } = await watch.stop();
    const { lost, lastSettledAt } = await findSettledOrders(system, report.accepted);
    const lastAnswerAt = report.startedAt.getTime() + report.seconds * 1_000;
    await endBenchSale(system, saleId);
    const auditOk = await auditTestbed(system);
    const lagMs = lastSettledAt.getTime() - lastAnswerAt;
    return { answers: report, samples, perSecond, lost: lost.length, auditOk, lagMs };
  } finally {
    await testbed.close();
  }
}

const rowsShown = 12;

function printSamples(samples: Sample[]): void {
  const names = Object.keys(samples[0]?.processes ?? {});
  const step = Math.ceil(samples.length / rowsShown);
  const rows = samples
    .filter((_, n) => n % step === 0)
    .map(({ seconds, queued, redisKeys, processes }) => [
      figure(seconds),
      figure(queued),
      figure(redisKeys),
      ...names.map((name) => {
        const { cpu = 0, memoryMb = 0 } = processes[name] ?? {};
        return `${(cpu * 100).toFixed(0)}% ${memoryMb.toFixed(0)} MB`;
      }),
    ]);
  printTable(['at s', 'queued', 'Redis keys', ...names], rows);
}
