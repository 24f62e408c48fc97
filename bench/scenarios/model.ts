import { availableParallelism } from 'node:os';
import { mintTokens, pressBuy } from '../load/closed-loop.ts';
import { measureCpu } from '../measure/process-usage.ts';
import { fitCosts, type Usage } from '../model/fit.ts';
import { type Layout, simulateLoad } from '../model/simulate.ts';
import { saveResult } from '../report/results.ts';
import { percentile, spreadOf } from '../report/statistics.ts';
import { figure, printTable } from '../report/table.ts';
import { judge, printVerdicts } from '../report/targets.ts';
import {
  auditTestbed,
  endBenchSale,
  findSettledOrders,
  type OwnTestbed,
  openBenchSale,
  openOwnTestbed,
  waitUntilSettled,
} from '../systems/testbed.ts';

export interface ModelOptions {
  rounds: number;
  seconds: number;
  buyers: number;
}

/** The loads that the costs are fitted to, and those in between that are only predicted. */
const fitted = [1, 20, 200, 1_000];
const predicted = [5, 60, 500];
const units = 5_000_000;
const deadlineSeconds = 60;

/** The machine of a bench: everything on the cores that are here. */
const here = (cores: number): Layout => ({
  machines: [cores],
  ...{ clients: [0], nginx: [0], servers: [0, 0], redis: [0], workers: [0], mongo: [0] },
});

interface Measured {
  connections: number;
  acceptedPerSecond: number;
  answerP50Ms: number;
  /** Cores that all processes together used. */
  cores: number;
  usage: Usage;
}

/**
 * Measures loads of few and many clients, fits the costs of the simulation to some of them, and compares what it predicts with
 * what was measured, all in one run. @returns whether every prediction of the throughput and of the median wait was within 15%.
 */
export async function model({ rounds, seconds, buyers }: ModelOptions): Promise<boolean> {
  const testbed = await openOwnTestbed();
  try {
    const tokens = mintTokens(buyers, testbed.secret);
    await measure(testbed, tokens, 200, 8);
    const all: Measured[][] = [];
    for (let n = 0; n < rounds; n++) {
      const round: Measured[] = [];
      for (const connections of [...fitted, ...predicted]) {
        round.push(await measure(testbed, tokens, connections, seconds));
      }
      all.push(round);
    }
    const isWell = await auditTestbed(testbed.system);
    const medianOf = (connections: number, of: (measured: Measured) => number) =>
      spreadOf(
        all
          .flat()
          .filter((one) => one.connections === connections)
          .map(of),
      ).median;
    const costs = fitCosts(
      all.flat().flatMap(({ connections, usage }) => (fitted.includes(connections) ? [usage] : [])),
    );
    // Processes that take the cores from each other cannot use all of them.
    const fittedLoads = all.flat().filter(({ connections }) => fitted.includes(connections));
    const cores = Math.min(availableParallelism(), Math.max(...fittedLoads.map((one) => one.cores)));
    console.log(`The busiest load used ${figure(cores)} of ${availableParallelism()} cores.`);
    const layout = here(cores);
    const points = [...fitted, ...predicted].map((connections) => {
      const perSecond = medianOf(connections, (one) => one.acceptedPerSecond);
      const presses = Math.max(500, Math.round(Math.min(20_000, perSecond * seconds)));
      const { acceptedPerSecond, answerMs } = simulateLoad(costs, layout, { presses, connections, sales: 1 });
      return {
        connections,
        ...{ measured: perSecond, simulated: acceptedPerSecond },
        ...{ measuredP50Ms: medianOf(connections, (one) => one.answerP50Ms), simulatedP50Ms: answerMs.p50 },
      };
    });
    printTable(
      ['clients', 'accepted/s', 'simulated', 'p50 ms', 'simulated'],
      points.map((point) => [
        `${point.connections}${predicted.includes(point.connections) ? '' : ' (fitted)'}`,
        ...[point.measured, point.simulated, point.measuredP50Ms, point.simulatedP50Ms].map(figure),
      ]),
    );
    const verdicts = [
      ...points.flatMap(({ connections, measured, simulated, measuredP50Ms, simulatedP50Ms }) => [
        judge(
          `${connections} clients: throughput, off by`,
          [Math.abs(simulated / measured - 1)],
          'below',
          0.15,
        ),
        judge(
          `${connections} clients: wait, off by`,
          [Math.abs(simulatedP50Ms / measuredP50Ms - 1)],
          'below',
          0.15,
        ),
      ]),
      judge('broken invariants', [isWell ? 0 : 1], 'below', 1),
    ];
    printVerdicts(verdicts);
    console.log(
      `\nWritten to ${saveResult('model', { options: { rounds, seconds, buyers }, cores, costs, points, verdicts })}`,
    );
    return verdicts.every(({ pass }) => pass);
  } finally {
    await testbed.close();
  }
}

async function measure(
  testbed: OwnTestbed,
  tokens: string[],
  connections: number,
  seconds: number,
): Promise<Measured> {
  const { system, url, processes } = testbed;
  const saleId = await openBenchSale(system, { name: 'Bench: model', stock: units, limitPerBuyer: units });
  const countsBefore = await readCounts(testbed);
  const [cpuSince, beganAt] = [measureCpu(processes), performance.now()];
  const load = { url, tokens, saleId, presses: units, connections, seconds, deadlineSeconds };
  const { accepted, acceptedMs, seconds: took } = await pressBuy(load);
  const cores = sumOf(cpuSince()) / ((performance.now() - beganAt) / 1_000);
  await waitUntilSettled(system, deadlineSeconds);
  const cpu = cpuSince();
  const counts = await readCounts(testbed);
  const { settledMs } = await findSettledOrders(system, accepted);
  await endBenchSale(system, saleId);
  const cpuOf = (kind: string) =>
    Object.entries(cpu).reduce((sum, [name, used]) => sum + (name.startsWith(kind) ? used : 0), 0);
  return {
    connections,
    acceptedPerSecond: accepted.length / took,
    answerP50Ms: percentile(acceptedMs, 50),
    cores,
    usage: {
      presses: accepted.length,
      flushes: counts.flushes - countsBefore.flushes,
      batches: counts.batches - countsBefore.batches,
      cpu: {
        client: cpuOf('load'),
        nginx: cpuOf('nginx'),
        server: cpuOf('server'),
        redis: cpuOf('redis'),
        worker: cpuOf('worker'),
        mongo: cpuOf('mongo'),
      },
      waits: {
        flush: (counts.flushSeconds - countsBefore.flushSeconds) / (counts.flushes - countsBefore.flushes),
        commit: percentile(settledMs, 50) / 1_000,
      },
    },
  };
}

const sumOf = (cpu: Record<string, number>) => Object.values(cpu).reduce((sum, seconds) => sum + seconds, 0);

/** Flushes and transactions until now, by the metrics of servers and workers. */
async function readCounts({ scratch }: OwnTestbed) {
  const texts = await Promise.all(
    [...scratch.servers, ...scratch.workers].map(async ({ url }) => (await fetch(`${url}/metrics`)).text()),
  );
  const total = (name: string) =>
    texts.reduce(
      (sum, text) => sum + Number(new RegExp(`^${name}(?:{.*})? (\\S+)$`, 'm').exec(text)?.[1] ?? 0),
      0,
    );
  return {
    flushes: total('stampede_flush_purchases_count'),
    flushSeconds: total('stampede_flush_seconds_sum'),
    batches: total('stampede_settle_batch_purchases_count'),
  };
}
