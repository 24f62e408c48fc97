import { setTimeout as delay } from 'node:timers/promises';
import { type Crowd, pressBuy } from '../load/closed-loop.ts';
import { watchTraffic } from '../measure/meters.ts';
import { watchCpu } from '../measure/usage.ts';
import { percentile, sum } from '../report/statistics.ts';
import { type Side, waitUntilDone } from './sides.ts';
import { endBenchSale, lookUpOrders, openBenchSale } from './stage.ts';

/** What one side did in one round. Every figure is a column of the comparison. */
export interface Round {
  acceptedPerSecond: number;
  p50Ms: number;
  p99Ms: number;
  /** From the first press to the last order in MongoDB. */
  settledPerSecond: number;
  /** From the press to the committed order. */
  paidP50Ms: number;
  paidP99Ms: number;
  redisCommands: number;
  redisBytes: number;
  mongoCommands: number;
  mongoBytes: number;
  /** CPU seconds for each 10,000 settled purchases, by part and in total; the load generator is left out. */
  cpuNginx: number;
  cpuServers: number;
  cpuWorkers: number;
  cpuRedis: number;
  cpuMongo: number;
  cpuTotal: number;
  /** Accepted purchases without an order, and presses that got no proper answer. */
  broken: number;
}

const deadlineSeconds = 300;

/** One crowd presses Buy on one side, and everything it accepted is settled. */
export async function playRound(
  side: Side,
  load: Pick<Crowd, 'tokens' | 'presses' | 'connections'>,
): Promise<Round> {
  const { name, stage } = side;
  const { system, url, processes } = stage;
  const limitPerBuyer = Math.ceil(load.presses / load.tokens.length);
  const saleId = await openBenchSale(system, { name: 'Bench: compare', stock: load.presses, limitPerBuyer });
  const trafficSince = await watchTraffic(system);
  const cpuSince = watchCpu(processes);

  const crowd = await pressBuy({ url, saleId, deadlineSeconds, ...load });
  await waitUntilDone(side, deadlineSeconds);
  const cpu = cpuSince();
  const traffic = await trafficSince();
  if (sum(crowd.failed) > 0) console.log(`${name}: ${JSON.stringify(crowd.failed)}`);
  const { settled, lost, byStatus, lastSettledAt, settledMs } = await lookUpOrders(system, crowd.accepted);
  await endBenchSale(system, saleId);
  await delay(500); // What is still being written in the background belongs to this side's round.

  const parts = cpuByPart(cpu, 10_000 / settled);
  return {
    acceptedPerSecond: crowd.accepted.length / crowd.seconds,
    p50Ms: percentile(crowd.acceptedMs, 50),
    p99Ms: percentile(crowd.acceptedMs, 99),
    settledPerSecond: settled / ((lastSettledAt.getTime() - crowd.startedAt.getTime()) / 1_000),
    paidP50Ms: percentile(settledMs, 50),
    paidP99Ms: percentile(settledMs, 99),
    redisCommands: traffic.redisCommands / settled,
    redisBytes: traffic.redisBytes / settled,
    mongoCommands: traffic.mongoCommands / settled,
    mongoBytes: traffic.mongoBytes / settled,
    ...parts,
    broken: lost.length + sum(crowd.failed) + (byStatus.rejected ?? 0) + sum(crowd.refused),
  };
}

function cpuByPart(cpu: Record<string, number>, scale: number) {
  const of = (part: string) =>
    scale * sum(Object.fromEntries(Object.entries(cpu).filter(([name]) => name.startsWith(part))));
  const parts = {
    cpuNginx: of('nginx'),
    cpuServers: of('server'),
    cpuWorkers: of('worker'),
    cpuRedis: of('redis'),
    cpuMongo: of('mongo'),
  };
  return { ...parts, cpuTotal: sum(parts) };
}
