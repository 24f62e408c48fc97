import { Cluster, Redis, type RedisOptions } from 'ioredis';
import mongoose, { type Connection } from 'mongoose';
import type { Config } from '../config.ts';
import type { Log } from '../observe/log.ts';
import { retry } from '../retry.ts';
import { failWritesToClosedSockets } from './closed-sockets.ts';
import { type ClusterNodes, clusterOptionsOf, type SentinelOptions, sentinelOptionsOf } from './urls.ts';

const { MongoBulkWriteError, MongoError, MongoNetworkError, MongoSystemError } = mongoose.mongo;

/** Names of further driver errors which mean that there is no usable connection. */
const withoutConnection =
  /^Mongo(NotConnected|TopologyClosed|ClientClosed|ServerClosed|PoolClosed|WaitQueueTimeout|ExpiredSession|OperationTimeout)Error$/;
/** Error codes of a server that is shutting down or is no longer the primary. */
const changingPrimary =
  /^(NotWritablePrimary|NotPrimaryNoSecondaryOk|NotPrimaryOrSecondary|PrimarySteppedDown|ShutdownInProgress|Interrupted(AtShutdown|DueToReplStateChange))$/;

/** Whether the fault is that MongoDB cannot be reached, does not answer in time, or is changing its primary. */
export function isMongoAway(error: unknown): boolean {
  const { name = '', message = '', codeName = '' } = error as Error & { codeName?: string };
  // The driver wraps the cause of a failed bulk write in an error without its labels.
  if (error instanceof MongoBulkWriteError && error.errorResponse instanceof Error)
    return isMongoAway(error.errorResponse);
  return (
    error instanceof MongoNetworkError ||
    error instanceof MongoSystemError ||
    error instanceof mongoose.Error.MongooseServerSelectionError ||
    (error instanceof MongoError && error.hasErrorLabel('TransientTransactionError')) ||
    withoutConnection.test(name) ||
    changingPrimary.test(codeName) ||
    message.includes('initial connection is complete')
  );
}

const writeConflict = 112;

/** Whether the retries ran out because of other writers of the same document. */
export const isWriteConflict = (error: unknown) => (error as { code?: unknown }).code === writeConflict;

const maxTimeExpired = 50;

/** Whether a query took longer than its `maxTimeMS`. */
export const isOverTime = (error: unknown) => (error as { code?: unknown }).code === maxTimeExpired;

/** Whether the fault is that Redis cannot be reached, does not answer in time, is out of memory, or is still loading. */
export function isRedisAway(error: unknown): boolean {
  const { name = '', message = '' } = error as Error;
  return (
    /^(MaxRetriesPerRequest|ClusterAllFailed|Abort)Error$/.test(name) ||
    /Command timed out|Connection is closed|Redis is not connected|Too many Cluster redirections|Cluster is ended|non local key|^(OOM|LOADING|MISCONF|READONLY|BUSY|NOREPLICAS|MASTERDOWN|CLUSTERDOWN|TRYAGAIN)\b/.test(
      message,
    )
  );
}

/** Delay before the nth attempt to reconnect, at most 2 s. */
const retryDelayMs = (attempt: number) => Math.min(attempt * 100, 2_000);

/**
 * Opens a connection that reconnects until it is closed. While MongoDB is unavailable, an operation fails within
 * `MONGO_WAIT_MS` instead of queueing up in this process.
 * @param monitorCommands false when nothing listens to the driver's events of commands, for which it decodes every answer once more.
 */
export function openMongo(
  config: Pick<Config, 'MONGO_URL' | 'MONGO_POOL_CONNECTIONS' | 'MONGO_WAIT_MS' | 'MONGO_SILENCE_MS'>,
  log: Log,
  { monitorCommands = true }: { monitorCommands?: boolean } = {},
): { mongo: Connection; close: () => Promise<void> } {
  failWritesToClosedSockets();
  const mongo = mongoose.createConnection();
  const closing = new AbortController();
  const connect = () =>
    mongo.openUri(config.MONGO_URL, {
      maxPoolSize: config.MONGO_POOL_CONNECTIONS,
      serverSelectionTimeoutMS: config.MONGO_WAIT_MS,
      waitQueueTimeoutMS: config.MONGO_WAIT_MS,
      connectTimeoutMS: config.MONGO_WAIT_MS,
      socketTimeoutMS: config.MONGO_SILENCE_MS,
      // What a reader sees, and what was confirmed to a writer, survives the loss of the primary.
      writeConcern: { w: 'majority' },
      readConcern: { level: 'majority' },
      // Before the first connection a command fails at once; mongoose would buffer it for 10 s by default.
      bufferCommands: false,
      // Collections and indexes are created by prepareCollections only, so that a reading process creates none.
      autoCreate: false,
      autoIndex: false,
      // For watchMongo in metrics.ts.
      monitorCommands,
    });
  mongo.on('error', (error) => log.warn({ error: error.message }, 'MongoDB connection error'));
  retry(connect, {
    firstMs: 100,
    longestMs: 2_000,
    signal: closing.signal,
    onFailure({ message }, retryMs) {
      if (!closing.signal.aborted) log.warn({ error: message, retryMs }, 'MongoDB unavailable, retrying');
    },
  }).catch(() => {}); // It was closed while it waited.

  return {
    mongo,
    async close() {
      closing.abort();
      await mongo.close();
    },
  };
}

type Options = Omit<RedisOptions, 'replyMapping'>;

/**
 * Reconnects when the Sentinels announce a failover, because a frozen former master does not close its connections. ioredis'
 * own failover detector is not used: it permanently closes a connection that is still being established.
 * @returns a function that ends this.
 */
function followFailovers(redis: Redis, { sentinels, ...options }: SentinelOptions): () => void {
  let last = '';
  const watchers = sentinels.map(({ host, port }) => {
    const watcher = new Redis({
      host,
      port,
      ...(options.sentinelUsername && { username: options.sentinelUsername }),
      ...(options.sentinelPassword && { password: options.sentinelPassword }),
      ...(options.sentinelTLS && { tls: options.sentinelTLS }),
      retryStrategy: retryDelayMs,
      maxRetriesPerRequest: null,
    });
    watcher.on('error', () => {}); // The Redis connection itself logs its errors.
    watcher.on('message', (_channel, message) => {
      // Every Sentinel announces the same failover.
      if (message === last || message.split(' ')[0] !== options.name) return;
      last = message;
      if (['connect', 'ready'].includes(redis.status)) redis.disconnect(true);
    });
    watcher.subscribe('+switch-master').catch(() => {});
    return watcher;
  });
  return () => {
    for (const watcher of watchers) watcher.disconnect();
  };
}

/**
 * Opens a connection for commands that a request waits for: they fail while Redis is unavailable, or after
 * `FLUSH_DEADLINE_MS`, and are not sent later, because a purchase that was answered 503 must not be admitted afterwards.
 */
export function openRedis(config: Config, log: Log): { redis: Redis; close: () => Promise<void> } {
  return open(config, log, {
    enableOfflineQueue: false,
    maxRetriesPerRequest: 0,
    autoResendUnfulfilledCommands: false,
    commandTimeout: config.FLUSH_DEADLINE_MS,
  });
}

/** One key in each quarter of a cluster's slots, so that they are spread over its masters. */
const readyKeys = ['ready-0', 'ready-1', 'ready-2', 'ready-3'];

/**
 * Checks that Redis accepts writes; one that is out of memory or a replica would still answer a PING. Of a cluster one master has
 * to, because while another one is away only the sales on that are.
 */
export function writesTo(redis: Redis): () => Promise<unknown> {
  const write = (key: string) => redis.set(key, '1', 'EX', 60);
  return () => (redis.isCluster ? Promise.any(readyKeys.map(write)) : write('ready'));
}

/** Checks that every slot of a cluster has a master that answers the others; no check for a single Redis. */
export function mastersCheckOf(redis: Redis): Record<string, () => Promise<void>> {
  if (!redis.isCluster) return {};
  async function check(): Promise<void> {
    if (!/cluster_slots_ok:16384\b/.test(String(await redis.cluster('INFO'))))
      throw new Error('A master of the cluster is away');
  }
  return { 'redis-master': check };
}

/**
 * Opens a connection whose commands wait for Redis without a limit, as subscribers and Bull's clients need.
 * @param options without `enableReadyCheck`, commands are sent to a Redis that is still loading and refuses them.
 */
export function openPatientRedis(
  config: Config,
  log: Log,
  { enableReadyCheck = true }: { enableReadyCheck?: boolean } = {},
): { redis: Redis; close: () => Promise<void> } {
  return open(config, log, { maxRetriesPerRequest: null, enableReadyCheck });
}

/** Warns when a cluster refuses the keys of all masters while one is away. It may not be allowed to ask. */
export function warnOfFullCoverage(redis: Redis, log: Log): void {
  if (!redis.isCluster) return;
  const setting = 'cluster-require-full-coverage';
  retry(() => redis.config('GET', setting), { firstMs: 100, longestMs: 1_000, patienceMs: 10_000 }).then(
    (answer) => {
      if ((answer as string[])[1] === 'yes')
        log.warn(`Redis has ${setting} yes: one master that is away stops every sale. Set it to no`);
    },
    () => {},
  );
}

/** Replaces ioredis' error about its stream and its options, which tells an operator nothing. */
function sayPlainly(redis: Redis): void {
  const send = redis.sendCommand.bind(redis);
  redis.sendCommand = (command, ...others) => {
    const { reject } = command;
    command.reject = (error) =>
      reject(/enableOfflineQueue/.test(error?.message) ? new Error('Redis is not connected') : error);
    return send(command, ...others);
  };
}

/**
 * Opens a connection to each node of a Redis Cluster that is needed, and follows its slots. It has the commands of a `Redis`, as
 * long as the keys of one command are in one slot.
 */
function openCluster({ nodes, redisOptions }: ClusterNodes, options: Options): Redis {
  const { retryStrategy: _, enableOfflineQueue = true, ...ofNodes } = options;
  const cluster = new Cluster(nodes, {
    enableOfflineQueue,
    // A command of a patient connection follows slots and failovers without a limit, any other one for 1.6 s.
    maxRedirections: options.maxRetriesPerRequest === null ? Number.POSITIVE_INFINITY : 16,
    clusterRetryStrategy: retryDelayMs,
    slotsRefreshInterval: 2_000,
    // A certificate names hosts, not addresses.
    ...(redisOptions.tls && { dnsLookup: (address, callback) => callback(null, address) }),
    // Connected at once, because a node that still waits to be would queue commands whatever `enableOfflineQueue` says.
    redisOptions: { ...redisOptions, ...ofNodes, lazyConnect: false },
  });
  // A command that has timed out meanwhile must not be sent any more when a node is tried again.
  cluster.on('+node', (node: Redis) => {
    const send = node.sendCommand.bind(node);
    node.sendCommand = (command, ...others) =>
      command.isSettled ? command.promise : send(command, ...others);
  });
  return cluster as unknown as Redis;
}

/** The nodes that hold keys: one Redis, or the masters of a cluster. */
export const mastersOf = (redis: Redis): Redis[] =>
  redis.isCluster ? (redis as unknown as Cluster).nodes('master') : [redis];

/**
 * Calls back at each connect, and when the connection to a node of a cluster is made or ends: it may have lost data. Attempts that
 * fail do not count, because they follow each other for as long as a node is away.
 * @returns a function that ends this.
 */
export function onReconnect(redis: Redis, callback: () => void): () => void {
  redis.on('ready', callback);
  const connected = new WeakSet<Redis>();
  const onNode = (node: Redis) => {
    const onReady = () => connected.add(node) && callback();
    if (node.status === 'ready') connected.add(node);
    else node.once('ready', onReady);
  };
  const onNodeEnd = (node: Redis) => connected.has(node) && callback();
  if (redis.isCluster) {
    for (const node of (redis as unknown as Cluster).nodes('all')) onNode(node);
    redis.on('+node', onNode).on('-node', onNodeEnd);
  }
  return () => {
    redis.off('ready', callback).off('+node', onNode).off('-node', onNodeEnd);
  };
}

const reopenMs = 1_000;

/**
 * Opens the connection again when it ended although nobody closed it. Bull disconnects its blocking connection to interrupt
 * it and connects it again, and when it was just being established ioredis gives it up for good: a leader would then take no
 * job any more.
 * @returns a function that ends this.
 */
function reopenWhenEnded(redis: Redis, log: Log): () => void {
  let timer: NodeJS.Timeout | undefined;
  const reopen = () => {
    if (redis.status !== 'end') return;
    log.warn('Redis connection ended, connecting again');
    redis.connect().catch(() => {}); // A failure is logged as an error of the connection.
  };
  const onEnd = () => {
    clearTimeout(timer);
    timer = setTimeout(reopen, reopenMs).unref();
  };
  redis.on('end', onEnd);
  return () => {
    redis.off('end', onEnd);
    clearTimeout(timer);
  };
}

function open({ REDIS_URL: url, FLUSH_DEADLINE_MS: waitMs }: Config, log: Log, options: Options) {
  const all: Options = { retryStrategy: retryDelayMs, connectTimeout: waitMs, ...options };
  const sentinel = sentinelOptionsOf(url);
  const cluster = clusterOptionsOf(url);
  const redis = cluster
    ? openCluster(cluster, all)
    : sentinel
      ? new Redis({
          ...all,
          ...sentinel,
          sentinelCommandTimeout: waitMs,
          sentinelRetryStrategy: retryDelayMs,
          // A demoted master may keep its connections open, and answers writes with READONLY.
          reconnectOnError: ({ message }) => message.startsWith('READONLY'),
        })
      : new Redis(url, all);
  redis.on('error', (error) => log.warn({ error: error.message }, 'Redis connection error'));
  sayPlainly(redis);
  const unfollow = sentinel ? followFailovers(redis, sentinel) : () => {};
  const letEnd = reopenWhenEnded(redis, log);
  return {
    redis,
    async close() {
      unfollow();
      letEnd();
      redis.disconnect();
    },
  };
}
