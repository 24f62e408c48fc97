import { setTimeout as delay } from 'node:timers/promises';
import { createAdapter as overPubSub } from '@socket.io/redis-adapter';
import { createAdapter as overStreams } from '@socket.io/redis-streams-adapter';
import { Redis } from 'ioredis';
import { Server } from 'socket.io';
import type { Settled } from '../../sale/settlement/transaction.ts';
import { saveResult } from '../report/results.ts';
import { percentile, spreadsOf } from '../report/statistics.ts';
import { printTable, spread } from '../report/table.ts';
import { openOwnTestbed } from '../systems/testbed.ts';

export interface AdaptersOptions {
  rounds: number;
  /** Batches broadcast a second, and the orders in each. */
  rate: number;
  orders: number;
  seconds: number;
}

interface Deliveries {
  p50Ms: number;
  p99Ms: number;
  /** CPU milliseconds for each message: of the sender and the two receivers, and of Redis. */
  nodeCpuMs: number;
  redisCpuMs: number;
  lost: number;
}

/** Compares the latency of broadcasts between instances by socket.io's two Redis adapters. @returns whether none was lost. */
export async function adapters({ rounds, ...load }: AdaptersOptions): Promise<boolean> {
  const testbed = await openOwnTestbed({ workers: 0 });
  const redisUrl = testbed.scratch.env.REDIS_URL ?? '';
  try {
    const deliveries: Record<string, Deliveries[]> = { 'pub/sub': [], streams: [] };
    for (let n = -1; n < rounds; n++) {
      for (const name of n % 2 === 0 ? ['pub/sub', 'streams'] : ['streams', 'pub/sub']) {
        const round = await measureAdapter(redisUrl, name, load);
        // The first round is not counted, because it warms the processes up.
        if (n >= 0) deliveries[name]?.push(round);
      }
    }
    const rows = Object.entries(deliveries).map(([name, own]) => {
      const { p50Ms, p99Ms, nodeCpuMs, redisCpuMs, lost } = spreadsOf(own);
      return [name, ...[p50Ms, p99Ms, nodeCpuMs, redisCpuMs, lost].map((column) => spread(column))];
    });
    printTable(['', 'p50 ms', 'p99 ms', 'CPU ms a message: Node', 'Redis', 'lost'], rows);
    console.log(`\nWritten to ${saveResult('adapters', { options: { rounds, ...load }, deliveries })}`);
    return Object.values(deliveries)
      .flat()
      .every(({ lost }) => lost === 0);
  } finally {
    await testbed.close();
  }
}

async function measureAdapter(
  redisUrl: string,
  name: string,
  { rate, orders, seconds }: Omit<AdaptersOptions, 'rounds'>,
): Promise<Deliveries> {
  const clients: Redis[] = [];
  const client = () => {
    const redis = new Redis(redisUrl);
    clients.push(redis);
    return redis;
  };
  const open = () =>
    new Server({ adapter: name === 'streams' ? overStreams(client()) : overPubSub(client(), client()) });
  const [sender, ...receivers] = [open(), open(), open()];
  await delay(500); // An adapter does not report when its subscription is ready.

  const delayMs: number[] = [];
  for (const receiver of receivers) {
    receiver.on('settled', (settled: Settled) => {
      delayMs.push(Date.now() - Date.parse(settled.stocks[0]?.at ?? ''));
    });
  }
  const redis = client();
  const [nodeBefore, redisBefore] = [process.cpuUsage(), await redisCpuSeconds(redis)];
  for (let n = 0; n < rate * seconds; n++) {
    sender.serverSideEmit('settled', batchOf(orders, n));
    await delay(1_000 / rate);
  }
  await delay(500);
  const { user, system } = process.cpuUsage(nodeBefore);
  const redisSeconds = (await redisCpuSeconds(redis)) - redisBefore;
  for (const server of [sender, ...receivers]) server.of('/').adapter.close();
  for (const each of clients) each.disconnect();

  delayMs.sort((one, other) => one - other);
  const messages = rate * seconds;
  return {
    p50Ms: percentile(delayMs, 50),
    p99Ms: percentile(delayMs, 99),
    nodeCpuMs: (user + system) / 1_000 / messages,
    redisCpuMs: (redisSeconds * 1_000) / messages,
    lost: messages * receivers.length - delayMs.length,
  };
}

function batchOf(orders: number, stockVersion: number): Settled {
  const at = new Date().toISOString();
  const order = {
    saleId: 'the-sale-that-is-on',
    quantity: 1,
    lines: [{ itemId: '1', label: '', quantity: 1, amount: 100 }],
    amount: 100,
    currency: 'EUR',
    status: 'paid' as const,
    reason: null,
    createdAt: at,
    settledAt: at,
    holdExpiresAt: null,
  };
  return {
    stocks: [{ saleId: order.saleId, stock: 1_000_000 - stockVersion, stockVersion, at }],
    orders: Array.from({ length: orders }, (_, n) => ({
      buyerId: `buyer-${stockVersion}-${n}`,
      order: { id: `order-${stockVersion}-${n}`, ...order },
    })),
  };
}

async function redisCpuSeconds(redis: Redis): Promise<number> {
  const info = await redis.info('cpu');
  const used = (what: string) => Number(new RegExp(`^used_cpu_${what}:([\\d.]+)`, 'm').exec(info)?.[1]);
  return used('user') + used('sys');
}
