import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Redis as Client } from 'ioredis';
import { afterEach, expect, test } from 'vitest';
import { openRedis } from '../../../ops/local/databases/redis.mjs';
import { freePort } from '../../../ops/local/processes/port.mjs';
import { launch, stop, waitUntil } from '../../../ops/local/processes/process.mjs';
import { findProgram } from '../../../ops/local/programs/program.mjs';
import { startSystem } from '../../support/harness.ts';
import { expectNothingLost, startBuyers, waitForAccepted } from '../support/buyers.ts';

/** Redis Sentinel: the master is killed, and its replica is promoted. */

const closers: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

const name = 'the-shop';
const env = { RECONCILE_INTERVAL_MS: '500', RECONCILE_AFTER_MS: '3000' };

async function openSentinel(dir: string, n: number, masterPort: number): Promise<number> {
  const port = await freePort();
  const file = join(dir, `sentinel-${n}.conf`);
  const lines = [
    `port ${port}`,
    'bind 127.0.0.1',
    `dir ${dir}`,
    `sentinel monitor ${name} 127.0.0.1 ${masterPort} 2`,
    `sentinel down-after-milliseconds ${name} 1000`,
    `sentinel failover-timeout ${name} 5000`,
  ];
  await writeFile(file, lines.join('\n'));
  const logFile = join(dir, `sentinel-${n}.log`);
  const sentinel = await launch(`sentinel-${n}`, findProgram('redis-server') ?? '', [file, '--sentinel'], {
    logFile,
  });
  closers.push(() => stop(sentinel));
  return port;
}

/** Waits until the master has its replica: a Sentinel that finds none at its start asks again only after 10 s. */
async function isOnline(masterPort: number): Promise<void> {
  const client = new Client(masterPort);
  await waitUntil(async () => (await client.info('replication')).includes('state=online'), {
    deadlineMs: 30_000,
    what: 'the replica follows its master',
  });
  client.disconnect();
}

/** Waits until every Sentinel knows the others and the replica. */
async function areReady(ports: number[]): Promise<void> {
  for (const port of ports) {
    const client = new Client(port);
    const count = async (what: 'sentinels' | 'replicas') =>
      ((await client.call('SENTINEL', what, name)) as unknown[]).length;
    await waitUntil(
      async () => (await count('sentinels')) === ports.length - 1 && (await count('replicas')) === 1,
      {
        deadlineMs: 30_000,
        what: `Sentinel ${port} knows the others`,
      },
    );
    client.disconnect();
  }
}

test.skipIf(!findProgram('redis-server')).each([
  ['SIGKILL', 0],
  ['SIGSTOP', 0],
  ['SIGKILL', 1],
] as const)(
  'the sale goes on at the promoted replica after %s to the master, with 503 meanwhile (awaited replicas: %i)',
  async (signal, awaited) => {
    const dir = await mkdtemp(join(tmpdir(), 'stampede-sentinel-'));
    closers.push(() => rm(dir, { recursive: true }));
    // Without a delay for further replicas.
    const master = await openRedis({
      dataDir: join(dir, 'master'),
      args: ['--repl-diskless-sync-delay', '0'],
    });
    closers.push(async () => {
      if (signal === 'SIGSTOP') process.kill(master.pid, 'SIGCONT');
      await master.close();
    });
    const args = ['--replicaof', '127.0.0.1', String(master.port)];
    const replica = await openRedis({ dataDir: join(dir, 'replica'), args });
    closers.push(replica.close);
    await isOnline(master.port);
    const sentinels = await Promise.all([0, 1, 2].map((n) => openSentinel(dir, n, master.port)));
    await areReady(sentinels);
    const hosts = sentinels.map((port) => `127.0.0.1:${port}`).join(',');
    const system = await startSystem({
      nginx: false,
      plain: true,
      env: { ...env, REDIS_WAIT_REPLICAS: String(awaited), REDIS_URL: `redis+sentinel://${hosts}/${name}` },
    });
    closers.push(system.close);

    const sale = await system.createSale({ stock: 100_000, limitPerBuyer: 500 });
    const load = startBuyers(system, sale, { triesMax: 600 });
    await waitForAccepted(load, 100);
    process.kill(master.pid, signal);
    const refused = await waitUntil(
      async () => {
        const answer = await system.buy(sale.id, system.buyerToken());
        return answer.status === 503 ? answer : null;
      },
      { deadlineMs: 10_000, what: 'a purchase is answered 503' },
    );
    expect(refused.headers.get('retry-after')).toBe('1');
    if (awaited > 0) {
      // The promoted replica has none of its own until the old master is back.
      const back = await openRedis({ dataDir: join(dir, 'master'), port: master.port });
      closers.push(back.close);
    }
    await waitForAccepted(load, 100);
    await load.stop();
    expect([...load.statuses.keys()].filter((status) => ![202, 503].includes(status))).toEqual([]);

    // Without waiting for replicas the shop may have lost purchases, and a page that gets 404 sends its purchase again.
    await waitUntil(async () => (await load.resendUnknown()) === 0, {
      deadlineMs: 30_000,
      what: 'all is known',
    });
    if (awaited > 0) expect(load.resent).toBe(0);
    await expectNothingLost(system, sale, load);
  },
  180_000,
);
