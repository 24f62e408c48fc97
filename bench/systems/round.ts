import { setTimeout as delay } from 'node:timers/promises';
import { type Load, pressBuy } from '../load/closed-loop.ts';
import { countDatabaseTraffic } from '../measure/database-usage.ts';
import { measureCpu } from '../measure/process-usage.ts';
import { percentile, sum } from '../report/statistics.ts';
import { type Side, waitUntilDone } from './sides.ts';
import { endBenchSale, findSettledOrders, openBenchSale } from './testbed.ts';

/** The figures of one side in one round. Each is a row of the comparison. */
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
  /** Accepted purchases without an order, and presses that were not accepted. */
  broken: number;
}

const deadlineSeconds = 300;

/** Runs a closed-loop load against one side, and waits until everything accepted is settled. */
export async function runRound(
  side: Side,
  load: Pick<Load, 'tokens' | 'presses' | 'connections'>,
): Promise<Round> {
  const { name, testbed } = side;
  const { system, url, processes } = testbed;
  const limitPerBuyer = Math.ceil(load.presses / load.tokens.length);
  const saleId = await openBenchSale(system, { name: 'Bench: compare', stock: load.presses, limitPerBuyer });
  const trafficSince = await countDatabaseTraffic(system);
  const cpuSince = measureCpu(processes);

  const answers = await pressBuy({ url, saleId, deadlineSeconds, ...load });
  await waitUntilDone(side, deadlineSeconds);
  const cpu = cpuSince();
  const traffic = await trafficSince();
  if (sum(answers.failed) > 0) console.log(`${name}: ${JSON.stringify(answers.failed)}`);
  const { settled, lost, byStatus, lastSettledAt, settledMs } = await findSettledOrders(
    system,
    answers.accepted,
  );
  await endBenchSale(system, saleId);
  await delay(500); // Background writes belong to the round that caused them.

  const parts = cpuByPart(cpu, 10_000 / settled);
  return {
    acceptedPerSecond: answers.accepted.length / answers.seconds,
    p50Ms: percentile(answers.acceptedMs, 50),
    p99Ms: percentile(answers.acceptedMs, 99),
    settledPerSecond: settled / ((lastSettledAt.getTime() - answers.startedAt.getTime()) / 1_000),
    paidP50Ms: percentile(settledMs, 50),
    paidP99Ms: percentile(settledMs, 99),
    redisCommands: traffic.redisCommands / settled,
    redisBytes: traffic.redisBytes / settled,
    mongoCommands: traffic.mongoCommands / settled,
    mongoBytes: traffic.mongoBytes / settled,
    ...parts,
    broken: lost.length + sum(answers.failed) + (byStatus.rejected ?? 0) + sum(answers.refused),
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
