import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { nanoid } from 'nanoid';
import { testOptionNames } from '../../runtime/config.ts';
import { openAppProcess } from './app-process.mjs';
import { withDatabase } from './databases/database-url.mjs';
import { type Mongo, openMongo } from './databases/mongo.mjs';
import { openRabbit, type Rabbit } from './databases/rabbit.mjs';
import { openRedis, type Redis } from './databases/redis.mjs';
import { unixSocketIn } from './files/unix-socket.mjs';
import { answersIn, openNginx } from './nginx/nginx.mjs';
import { freePort } from './processes/port.mjs';

type AppProcess = Awaited<ReturnType<typeof openAppProcess>>;
type Kind = 'server' | 'worker';

/** A complete Stampede of real processes on free ports, with its own folder, database and Redis. */
export interface ScratchSystem {
  /** The URL of nginx, or of the first server without nginx. */
  url: string;
  /** The environment of its processes, for starting more of them or a command. */
  env: Record<string, string>;
  servers: AppProcess[];
  workers: AppProcess[];
  redis(): Redis;
  /** Its own MongoDB; null when it uses a given one. */
  mongo(): Mongo | null;
  /** Its own RabbitMQ; null when none is needed. */
  rabbit(): Rabbit | null;
  /** All running processes by name. */
  processes(): { name: string; pid: number }[];
  startServer(env?: Record<string, string>): Promise<AppProcess>;
  startWorker(env?: Record<string, string>): Promise<AppProcess>;
  /** Restarts a server or worker with SIGTERM, at the same address. */
  restart(part: AppProcess): Promise<void>;
  /** Restarts Redis on the same data and port. */
  restartRedis(): Promise<void>;
  /** Restarts its own MongoDB on the same data and port. */
  restartMongo(): Promise<void>;
  /** Restarts its RabbitMQ on the same data and port. */
  restartRabbit(): Promise<void>;
  close(): Promise<void>;
}

/** An environment whose test options are where config.ts reads them, behind those that are there already. */
function withTestOptions(env: Record<string, string>): Record<string, string> {
  const isOption = ([name]: [string, string]) => testOptionNames.includes(name);
  const options = Object.entries(env).filter(isOption);
  const others = Object.fromEntries(Object.entries(env).filter((entry) => !isOption(entry)));
  if (options.length === 0) return others;
  const given = [others.TEST_OPTIONS, ...options.map((option) => option.join('='))].filter(Boolean);
  return { ...others, TEST_OPTIONS: given.join(',') };
}

/**
 * @param mongoUrl a replica set, in which it uses its own database; by default one is started.
 * @param entries the entry files of its servers and workers.
 * @param clients concurrent clients for nginx; by default as many as with `npm start`.
 * @param plain without the optimisations of `npm start`: nginx reaches the servers by TCP only.
 * @param env settings, and constants that config.ts lets a test change; with PURCHASE_QUEUE or EVENT_BUS `rabbitmq` it also
 *   starts a RabbitMQ.
 */
export async function startScratchSystem({
  mongoUrl,
  servers: serverCount = 2,
  workers: workerCount = 1,
  nginx: withNginx = true,
  clients,
  entries = { server: 'server/main.ts', worker: 'worker/main.ts' },
  plain = false,
  env: extraEnv = {},
}: {
  mongoUrl?: string;
  servers?: number;
  workers?: number;
  nginx?: boolean;
  clients?: number;
  entries?: { server: string; worker: string };
  plain?: boolean;
  env?: Record<string, string>;
} = {}): Promise<ScratchSystem> {
  const dir = await mkdtemp(join(tmpdir(), 'stampede-'));
  const logsDir = join(dir, 'logs');
  const mongoOptions = { dataDir: join(dir, 'mongo') };
  const needsRabbit = [extraEnv.PURCHASE_QUEUE, extraEnv.EVENT_BUS].includes('rabbitmq');
  let [mongo, redis, rabbit] = await Promise.all([
    mongoUrl ? null : openMongo(mongoOptions),
    openRedis({ dataDir: join(dir, 'redis') }),
    needsRabbit ? openRabbit({ dataDir: join(dir, 'rabbitmq') }) : null,
  ]);
  const nginxPort = withNginx ? await freePort() : 0;
  const env = withTestOptions({
    MONGO_URL: withDatabase(mongoUrl ?? mongo?.url ?? '', `scratch-${nanoid(8)}`),
    REDIS_URL: plain ? redis.tcpUrl : redis.url,
    ...(rabbit && { RABBITMQ_URL: rabbit.url }),
    JWT_SECRET: nanoid(48),
    // Rate limits are high, because one machine makes the whole load.
    LIMIT_FACTOR: '0',
    ...(nginxPort && { PUBLIC_URL: `http://127.0.0.1:${nginxPort}` }),
    TRUST_PROXY_HOPS: withNginx ? '1' : '0',
    PROXY_ANSWERS_DIR: withNginx ? answersIn(join(dir, 'nginx')) : '',
    ...extraEnv,
  });

  /** Functions that restart each process at the same address. */
  const restarts = new Map<AppProcess, () => Promise<AppProcess>>();

  const socketOf = (name: string) => (plain ? undefined : unixSocketIn(dir, name));
  const counts = { server: 0, worker: 0 };

  /** Chooses the name and the address of a process, which nginx has to know before the process listens. */
  async function plan(kind: Kind, more: Record<string, string> = {}) {
    counts[kind] += 1;
    const name = `${kind}-${counts[kind]}`;
    return {
      name,
      entry: entries[kind],
      port: await freePort(),
      env: withTestOptions({ ...env, ...more }),
      logsDir,
      socket: kind === 'server' ? socketOf(name) : undefined,
    };
  }
  async function open(planned: Awaited<ReturnType<typeof plan>>): Promise<AppProcess> {
    const started = await openAppProcess(planned);
    restarts.set(started, () => openAppProcess(planned));
    return started;
  }
  const planAll = (kind: Kind, count: number) => Promise.all(Array.from({ length: count }, () => plan(kind)));
  const plannedServers = await planAll('server', serverCount);
  const plannedWorkers = await planAll('worker', workerCount);
  const [servers, workers, nginx] = await Promise.all([
    Promise.all(plannedServers.map(open)),
    Promise.all(plannedWorkers.map(open)),
    withNginx
      ? openNginx({
          dataDir: join(dir, 'nginx'),
          port: nginxPort,
          clients,
          origins: env.ALLOWED_ORIGINS?.split(',') ?? [],
          servers: plannedServers.map(({ port, socket }) => ({ host: '127.0.0.1', port, socket })),
        })
      : null,
  ]);
  const lists = { server: servers, worker: workers };

  async function start(kind: Kind, more?: Record<string, string>): Promise<AppProcess> {
    const started = await open(await plan(kind, more));
    lists[kind].push(started);
    return started;
  }

  return {
    get url() {
      return nginx?.url ?? servers[0]?.url ?? '';
    },
    env,
    servers,
    workers,
    redis: () => redis,
    mongo: () => mongo,
    rabbit: () => rabbit,
    processes: () => [
      ...(nginx ? [{ name: 'nginx', pid: nginx.pid }] : []),
      ...[...servers, ...workers].map(({ name, pid }) => ({ name, pid })),
      { name: 'redis', pid: redis.pid },
      ...(mongo ? [{ name: 'mongo', pid: mongo.pid }] : []),
      ...(rabbit ? [{ name: 'rabbitmq', pid: rabbit.pid }] : []),
    ],
    startServer: (more) => start('server', more),
    startWorker: (more) => start('worker', more),
    async restart(part) {
      const startAgain = restarts.get(part);
      const list = [servers, workers].find((parts) => parts.includes(part));
      if (!startAgain || !list) throw new Error(`${part.name} does not belong to this system`);
      await part.close();
      const started = await startAgain();
      restarts.set(started, startAgain);
      list[list.indexOf(part)] = started;
    },
    async restartRedis() {
      const { port } = redis;
      await redis.close();
      redis = await openRedis({ dataDir: join(dir, 'redis'), port });
    },
    async restartMongo() {
      if (!mongo) throw new Error('This system has no MongoDB of its own');
      const { port } = mongo;
      await mongo.close();
      mongo = await openMongo({ ...mongoOptions, port });
    },
    async restartRabbit() {
      if (!rabbit) throw new Error('This system has no RabbitMQ');
      const { port } = rabbit;
      await rabbit.close();
      rabbit = await openRabbit({ dataDir: join(dir, 'rabbitmq'), port });
    },
    async close() {
      await nginx?.close();
      await Promise.all([...servers, ...workers].map((part) => part.close()));
      await Promise.all([rabbit?.close(), redis.close(), mongo?.close()]);
      await rm(dir, { recursive: true });
    },
  };
}
