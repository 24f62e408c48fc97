import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openRedis } from '../../ops/local/databases/redis.mjs';
import { mintTokens, pressBuy } from '../load/closed-loop.ts';
import { saveResult } from '../report/results.ts';
import { percentile, spreadOf } from '../report/statistics.ts';
import { figure, printTable } from '../report/table.ts';
import {
  auditTestbed,
  endBenchSale,
  type OwnTestbed,
  openBenchSale,
  openOwnTestbed,
  waitUntilSettled,
} from '../systems/testbed.ts';

export interface ReplicasOptions {
  rounds: number;
  seconds: number;
  connections: number;
  buyers: number;
}

const deadlineSeconds = 60;
const units = 5_000_000;

/**
 * What it costs that a purchase waits for a replica of Redis (REDIS_WAIT_REPLICAS): two shops with a replica each, in turns.
 * @returns whether every purchase was accepted and every invariant held.
 */
export async function replicas({ rounds, seconds, connections, buyers }: ReplicasOptions): Promise<boolean> {
  const sides = [await openSide(0), await openSide(1)];
  try {
    const figures = sides.map(() => ({
      perSecond: [] as number[],
      p50Ms: [] as number[],
      p99Ms: [] as number[],
    }));
    let isWell = true;
    for (let round = -1; round < rounds; round++) {
      for (const [n, { testbed }] of sides.entries()) {
        const { acceptedMs, perSecond, failed } = await press(testbed, { seconds, connections, buyers });
        isWell &&= failed === 0;
        // The first round warms up.
        if (round < 0) continue;
        figures[n]?.perSecond.push(perSecond);
        figures[n]?.p50Ms.push(percentile(acceptedMs, 50));
        figures[n]?.p99Ms.push(percentile(acceptedMs, 99));
      }
    }
    for (const { testbed } of sides) isWell &&= await auditTestbed(testbed.system);
    const names = ['not awaited', 'awaited'];
    printTable(
      ['replica', 'accepted/s', 'p50 ms', 'p99 ms'],
      figures.map(({ perSecond, p50Ms, p99Ms }, n) => [
        names[n] ?? '',
        ...[perSecond, p50Ms, p99Ms].map((values) => figure(spreadOf(values).median)),
      ]),
    );
    console.log(
      `\nWritten to ${saveResult('replicas', { options: { rounds, seconds, connections, buyers }, figures })}`,
    );
    return isWell;
  } finally {
    for (const { close } of sides) await close();
  }
}

async function openSide(awaited: number): Promise<{ testbed: OwnTestbed; close: () => Promise<void> }> {
  const testbed = await openOwnTestbed({ env: { REDIS_WAIT_REPLICAS: String(awaited) } });
  const dataDir = await mkdtemp(join(tmpdir(), 'stampede-replica-'));
  const args = ['--replicaof', '127.0.0.1', String(testbed.scratch.redis().port)];
  const replica = await openRedis({ dataDir, args });
  return {
    testbed,
    async close() {
      await replica.close();
      await testbed.close();
      await rm(dataDir, { recursive: true });
    },
  };
}

async function press(
  { system, url, secret }: OwnTestbed,
  { seconds, connections, buyers }: Pick<ReplicasOptions, 'seconds' | 'connections' | 'buyers'>,
) {
  const saleId = await openBenchSale(system, { name: 'Bench: replicas', stock: units, limitPerBuyer: units });
  const load = { url, tokens: mintTokens(buyers, secret), saleId, presses: units, deadlineSeconds };
  const report = await pressBuy({ ...load, connections, seconds });
  await waitUntilSettled(system, deadlineSeconds);
  await endBenchSale(system, saleId);
  const failed = Object.values(report.failed).reduce((sum, count) => sum + count, 0);
  return { acceptedMs: report.acceptedMs, perSecond: report.accepted.length / report.seconds, failed };
}
