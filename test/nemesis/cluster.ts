import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { Redis } from 'ioredis';
import mongoose from 'mongoose';
import { bundleOf } from '../../ops/local/bundle.mjs';
import { findMongod } from '../../ops/local/databases/mongod.mjs';
import { cacheFolder, ROOT } from '../../ops/local/folders.mjs';
import { type Launched, launch, signalGroup, stop, waitUntil } from '../../ops/local/processes/process.mjs';
import { findProgram } from '../../ops/local/programs/program.mjs';
import { pathOf } from '../support/needs.ts';
import { execute, type Network, openNetwork } from './network.ts';

/** A process on a node. It is started again when it ends, as a supervisor would, except while a fault holds it down. */
export interface Member {
  name: string;
  node: number;
  kill(): void;
  /** Keeps it from being started again until `release` is called. */
  hold(): void;
  release(): void;
  pause(): void;
  resume(): void;
}

/** Five nodes: MongoDB, Redis and a Sentinel on the first three, a server and a worker on the last two. */
export interface Cluster {
  network: Network;
  members: Member[];
  /** Nodes by what runs on them. */
  databaseNodes: number[];
  appNodes: number[];
  /** The base URLs of the servers. */
  urls: string[];
  /** The environment for a command that looks at the databases. */
  env: Record<string, string>;
  /** Cuts a node off from one kind of database, on whatever node that is. */
  cutFrom(node: number, what: 'MongoDB' | 'Redis'): Promise<void>;
  /** Sets the clock of an app node this many seconds ahead. */
  setClock(node: number, seconds: number): Promise<void>;
  /** Fills the disk of a database node, or frees it. */
  fillDisk(node: number): Promise<void>;
  freeDisk(node: number): Promise<void>;
  close(): Promise<void>;
}

const ports = { mongo: 27_017, redis: 6_379, sentinel: 26_379, server: 3_000, worker: 3_001 };
const databaseNodes = [1, 2, 3];
const appNodes = [4, 5];
const redisName = 'shop';
/** MongoDB's journal takes 100 MB at a time. */
const diskMb = 800;
const restartMs = 500;
const startMs = 60_000;

/** Shorter than in a shop, so that repairs end within a run of minutes. */
const testOptions = {
  RECONCILE_INTERVAL_MS: 1_000,
  RECONCILE_AFTER_MS: 4_000,
  AUDIT_INTERVAL_MS: 3_600_000,
  MONGO_SILENCE_MS: 3_000,
};

/** @param folder an empty folder for logs and data. */
export async function openCluster(folder: string): Promise<Cluster> {
  const network = await openNetwork(databaseNodes.length + appNodes.length);
  const { addressOf } = network;
  const logsDir = join(folder, 'logs');
  const diskOf = (node: number) => join(folder, `disk-${node}`);
  const clockOf = (node: number) => join(folder, `clock-${node}`);
  const members: Member[] = [];
  const closers: (() => Promise<void>)[] = [];

  async function supervise(name: string, node: number, command: string, args: string[], env = {}) {
    const [program, all] = network.on(node, command, args);
    let isHeld = false;
    let isClosed = false;
    let current: Launched;
    const start = async () => {
      current = await launch(name, program, all, {
        cwd: ROOT,
        env: { ...process.env, ...env },
        logFile: join(logsDir, `${name}.log`),
      });
      if (isClosed) signalGroup(current.pid, 'SIGKILL');
    };
    await start();
    async function keepRunning(): Promise<void> {
      while (!isClosed) {
        await current.ended;
        await delay(restartMs);
        while (isHeld && !isClosed) await delay(50);
        if (!isClosed) await start();
      }
    }
    const running = keepRunning();
    const signal = (name: NodeJS.Signals) => signalGroup(current.pid, name);
    members.push({
      name,
      node,
      kill: () => signal('SIGKILL'),
      hold: () => {
        isHeld = true;
      },
      release: () => {
        isHeld = false;
      },
      pause: () => signal('SIGSTOP'),
      resume: () => signal('SIGCONT'),
    });
    closers.push(async () => {
      isClosed = true;
      await stop(current, { signal: 'SIGKILL' });
      await running;
    });
  }

  async function startDatabases(node: number): Promise<void> {
    const address = addressOf(node);
    const disk = diskOf(node);
    await mkdir(disk, { recursive: true });
    await execute('mount', '-t', 'tmpfs', '-o', `size=${diskMb}m`, `disk-${node}`, disk);
    await Promise.all(['mongo', 'redis', 'sentinel'].map((name) => mkdir(join(disk, name))));

    const { binary } = await findMongod({ cacheDir: cacheFolder(), report: console.error });
    const where = ['--bind_ip', `127.0.0.1,${address}`, '--port', `${ports.mongo}`, '--nounixsocket'];
    const as = ['--dbpath', join(disk, 'mongo'), '--replSet', 'five', '--oplogSize', '64', '--quiet'];
    const limits = ['--wiredTigerCacheSizeGB', '0.25', '--setParameter', 'transactionLifetimeLimitSeconds=3'];
    await supervise(`mongo-${node}`, node, binary, [...where, ...as, ...limits]);

    const redis = findProgram('redis-server') ?? 'redis-server';
    // Sentinel rewrites both files, so that a restarted process knows which one is the master.
    const redisFile = join(disk, 'redis', 'redis.conf');
    const sentinelFile = join(disk, 'sentinel', 'sentinel.conf');
    const isFirst = node === databaseNodes[0];
    const master = `${addressOf(databaseNodes[0] ?? 1)} ${ports.redis}`;
    const redisLines = [
      `bind 127.0.0.1 ${address}`,
      `port ${ports.redis}`,
      'protected-mode no',
      `dir ${join(disk, 'redis')}`,
      'save ""',
      'appendonly yes',
      'appendfsync always',
      'maxmemory-policy noeviction',
      'repl-diskless-sync-delay 0',
      // A master without a replica refuses writes, as docs/OPERATIONS.md advises.
      'min-replicas-to-write 1',
      'min-replicas-max-lag 2',
      ...(isFirst ? [] : [`replicaof ${master}`]),
    ];
    const sentinelLines = [
      `bind 127.0.0.1 ${address}`,
      `port ${ports.sentinel}`,
      'protected-mode no',
      `dir ${join(disk, 'sentinel')}`,
      `sentinel monitor ${redisName} ${master} 2`,
      `sentinel down-after-milliseconds ${redisName} 1000`,
      `sentinel failover-timeout ${redisName} 5000`,
    ];
    await writeFile(redisFile, redisLines.join('\n'));
    await writeFile(sentinelFile, sentinelLines.join('\n'));
    await supervise(`redis-${node}`, node, redis, [redisFile]);
    await supervise(`sentinel-${node}`, node, redis, [sentinelFile, '--sentinel']);
  }

  async function startApp(node: number, kind: 'server' | 'worker'): Promise<void> {
    const bundle = await bundleOf(`${kind}/main.ts`);
    if (!bundle) throw new Error(`${kind}/main.ts cannot be bundled`);
    await supervise(
      `${kind}-${node}`,
      node,
      'sh',
      [join(ROOT, 'ops/node.sh'), '--enable-source-maps', bundle],
      {
        ...env,
        NODE: process.execPath,
        HOST: addressOf(node),
        PORT: String(ports[kind]),
        INSTANCE: `${kind}-${node}`,
        LD_PRELOAD: pathOf('libfaketime') ?? '',
        FAKETIME_TIMESTAMP_FILE: clockOf(node),
        FAKETIME_CACHE_DURATION: '1',
        FAKETIME_DONT_FAKE_MONOTONIC: '1',
      },
    );
  }

  const hosts = (port: number) => databaseNodes.map((node) => `${addressOf(node)}:${port}`).join(',');
  const env = {
    MONGO_URL: `mongodb://${hosts(ports.mongo)}/nemesis?replicaSet=five`,
    REDIS_URL: `redis+sentinel://${hosts(ports.sentinel)}/${redisName}`,
    JWT_SECRET: 'only-for-a-run-of-the-nemesis-0123456789',
    LIMIT_FACTOR: '0',
    LOG_LEVEL: 'info',
    TEST_OPTIONS: Object.entries(testOptions)
      .map((option) => option.join('='))
      .join(','),
  };
  const urls = appNodes.map((node) => `http://${addressOf(node)}:${ports.server}`);
  const setClock = (node: number, seconds: number) =>
    writeFile(clockOf(node), `${seconds < 0 ? '' : '+'}${seconds}s\n`);
  const ballast = (node: number) => join(diskOf(node), 'ballast');

  async function close(): Promise<void> {
    await Promise.all(closers.map((end) => end()));
  }
  try {
    await Promise.all(databaseNodes.map(startDatabases));
    await Promise.all([initiate(hosts(ports.mongo)), areReplicating(databaseNodes.map(addressOf))]);
    for (const node of appNodes) {
      await setClock(node, 0);
      await startApp(node, 'server');
      await startApp(node, 'worker');
    }
    await Promise.all(urls.map(isReady));
    // So that the same seed draws the same ones.
    members.sort((one, other) => one.name.localeCompare(other.name));
  } catch (error) {
    await close();
    throw error;
  }

  return {
    network,
    members,
    databaseNodes,
    appNodes,
    urls,
    env,
    async cutFrom(node, what) {
      const cut = what === 'MongoDB' ? [ports.mongo] : [ports.redis, ports.sentinel];
      for (const port of cut) await network.cutPort(node, port);
    },
    setClock,
    fillDisk: (node) => execute('sh', '-c', `cat /dev/zero > "${ballast(node)}" 2>/dev/null || true`),
    freeDisk: (node) => rm(ballast(node), { force: true }),
    close,
  };
}

async function initiate(hosts: string): Promise<void> {
  const [first = ''] = hosts.split(',');
  const direct = new mongoose.mongo.MongoClient(`mongodb://${first}/?directConnection=true`);
  await waitUntil(() => direct.connect(), {
    deadlineMs: startMs,
    what: 'the first member of MongoDB answers',
  });
  const members = hosts.split(',').map((host, _id) => ({ _id, host }));
  const settings = { electionTimeoutMillis: 2_000, heartbeatTimeoutSecs: 2 };
  const command = { replSetInitiate: { _id: 'five', members, settings } };
  // It fails until every member answers.
  await waitUntil(() => direct.db('admin').command(command), {
    deadlineMs: startMs,
    what: 'MongoDB is a replica set',
  });
  await direct.close();
}

/** Waits until the first Redis has its replicas, because the Sentinels find them by asking it. */
async function areReplicating(addresses: string[]): Promise<void> {
  const client = new Redis(ports.redis, addresses[0] ?? '');
  client.on('error', () => {});
  const count = async () => (await client.info('replication')).match(/state=online/g)?.length ?? 0;
  await waitUntil(async () => (await count()) === addresses.length - 1, {
    deadlineMs: startMs,
    what: 'Redis has its replicas',
  });
  client.disconnect();
}

export async function isReady(url: string): Promise<void> {
  const answers = async () => (await fetch(`${url}/readyz`, { signal: AbortSignal.timeout(2_000) })).ok;
  await waitUntil(answers, { deadlineMs: startMs, what: `${url} is ready`, everyMs: 200 });
}
