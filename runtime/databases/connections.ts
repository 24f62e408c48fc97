import { Redis, type RedisOptions } from 'ioredis';
import mongoose, { type Connection } from 'mongoose';
import type { Config } from '../config.ts';
import type { Log } from '../observe/log.ts';
import { type SentinelOptions, sentinelOptionsOf } from './urls.ts';

const { MongoBulkWriteError, MongoError, MongoNetworkError, MongoSystemError } = mongoose.mongo;

/** What the driver throws besides network and selection errors when there is no usable connection (any more). */
const withoutConnection =
  /^Mongo(NotConnected|TopologyClosed|ClientClosed|ServerClosed|PoolClosed|WaitQueueTimeout|ExpiredSession|OperationTimeout)Error$/;
/** What a server answers that is stopping, or is no longer the primary. */
const changingPrimary =
  /^(NotWritablePrimary|NotPrimaryNoSecondaryOk|NotPrimaryOrSecondary|PrimarySteppedDown|ShutdownInProgress|Interrupted(AtShutdown|DueToReplStateChange))$/;

/** Whether the fault is that MongoDB cannot be reached, does not answer in time, or is changing its primary. */
export function isMongoAway(error: unknown): boolean {
  const { name = '', message = '', codeName = '' } = error as Error & { codeName?: string };
  // The driver wraps the fault of a bulk write in an error of its own, without the labels.
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

/** Whether other writers of the same document were quicker until patience was over. */
export const isWriteConflict = (error: unknown) => (error as { code?: unknown }).code === writeConflict;

/** The same of Redis, which may also be full, or still reading its file. */
export function isRedisAway(error: unknown): boolean {
  const { name = '', message = '' } = error as Error;
  return (
    /^(MaxRetriesPerRequest|ClusterAllFailed|Abort)Error$/.test(name) ||
    /Command timed out|Connection is closed|enableOfflineQueue|^(OOM|LOADING|MISCONF|READONLY|BUSY|NOREPLICAS|MASTERDOWN)\b/.test(
      message,
    )
  );
}

/** How long to wait before the nth attempt at a lost connection: soon at first, never longer than 2 s. */
const retryDelayMs = (attempt: number) => Math.min(attempt * 100, 2_000);

/**
 * Opens a connection that looks for MongoDB until it is closed. While MongoDB is away an operation fails within
 * `MONGO_WAIT_MS` and never queues up in this process.
 */
export function openMongo(
  config: Pick<Config, 'MONGO_URL' | 'MONGO_POOL_CONNECTIONS' | 'MONGO_WAIT_MS' | 'MONGO_SILENCE_MS'>,
  log: Log,
): { mongo: Connection; close: () => Promise<void> } {
  const mongo = mongoose.createConnection();
  mongo.set('sanitizeFilter', true);
  let closed = false;
  let retry: NodeJS.Timeout | undefined;

  async function connect(attempt: number): Promise<void> {
    try {
      await mongo.openUri(config.MONGO_URL, {
        maxPoolSize: config.MONGO_POOL_CONNECTIONS,
        serverSelectionTimeoutMS: config.MONGO_WAIT_MS,
        waitQueueTimeoutMS: config.MONGO_WAIT_MS,
        connectTimeoutMS: config.MONGO_WAIT_MS,
        socketTimeoutMS: config.MONGO_SILENCE_MS,
        // Before the first connection a command fails at once; by itself mongoose would hold it back for 10 s.
        bufferCommands: false,
        // Collections and their indexes are made by prepareCollections, and not by whatever only reads.
        autoCreate: false,
        autoIndex: false,
        // For watchMongo in metrics.ts.
        monitorCommands: true,
      });
    } catch (error) {
      if (closed) return;
      log.warn({ error: (error as Error).message }, 'MongoDB is away');
      retry = setTimeout(() => void connect(attempt + 1), retryDelayMs(attempt));
    }
  }
  mongo.on('error', (error) => log.warn({ error: error.message }, 'MongoDB connection'));
  void connect(1);

  return {
    mongo,
    async close() {
      closed = true;
      clearTimeout(retry);
      await mongo.close();
    },
  };
}

type Options = Omit<RedisOptions, 'replyMapping'>;

/**
 * A master that is frozen does not say itself that it is one no more: its Sentinels do. ioredis' own detector ends for good
 * a connection that is just being made.
 * @returns what ends the watching.
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
    watcher.on('error', () => {}); // Whoever needs this Sentinel says so.
    watcher.on('message', (_channel, message) => {
      // Each of them announces the same.
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
 * A connection for commands somebody waits for: while Redis is away, or silent for `FLUSH_DEADLINE_MS`, they fail
 * and are not kept for later, since a purchase that was answered 503 must not be admitted afterwards.
 */
export function openRedis(config: Config, log: Log): { redis: Redis; close: () => Promise<void> } {
  return open(config, log, {
    enableOfflineQueue: false,
    maxRetriesPerRequest: 0,
    autoResendUnfulfilledCommands: false,
    commandTimeout: config.FLUSH_DEADLINE_MS,
  });
}

/** Whether Redis takes writes: one that is full, or only a replica, still answers a PING. */
export const writesTo = (redis: Redis) => () => redis.set('ready', '1', 'EX', 60);

/**
 * A connection that waits for Redis as long as it takes, as subscribers and Bull's own clients must.
 * @param options without the check for readiness, commands are sent to a Redis that still reads its file and refuses them.
 */
export function openPatientRedis(
  config: Config,
  log: Log,
  { enableReadyCheck = true }: { enableReadyCheck?: boolean } = {},
): { redis: Redis; close: () => Promise<void> } {
  return open(config, log, { maxRetriesPerRequest: null, enableReadyCheck });
}

function open({ REDIS_URL: url, FLUSH_DEADLINE_MS: waitMs }: Config, log: Log, options: Options) {
  const all: Options = { retryStrategy: retryDelayMs, connectTimeout: waitMs, ...options };
  const sentinel = sentinelOptionsOf(url);
  const redis = sentinel
    ? new Redis({
        ...all,
        ...sentinel,
        sentinelCommandTimeout: waitMs,
        sentinelRetryStrategy: retryDelayMs,
        // A master that became a replica may keep its connections.
        reconnectOnError: ({ message }) => message.startsWith('READONLY'),
      })
    : new Redis(url, all);
  redis.on('error', (error) => log.warn({ error: error.message }, 'Redis connection'));
  const unfollow = sentinel ? followFailovers(redis, sentinel) : () => {};
  return {
    redis,
    async close() {
      unfollow();
      redis.disconnect();
    },
  };
}
