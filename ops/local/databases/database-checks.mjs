/** Checks that the user's databases can be reached, because later each failure would take a minute to time out. */
import { hostsOf } from './database-url.mjs';

const ANSWER_DEADLINE_MS = 5_000;

/** @param {NodeJS.ProcessEnv} env */
export async function checkDatabases({ MONGO_URL, REDIS_URL, RABBITMQ_URL }) {
  if (MONGO_URL) await check('MONGO_URL', MONGO_URL, 'mongodb', checkMongo);
  if (REDIS_URL) await check('REDIS_URL', REDIS_URL, 'redis', checkRedis);
  if (RABBITMQ_URL) await check('RABBITMQ_URL', RABBITMQ_URL, 'amqp', checkRabbit);
}

/**
 * @param {string} name the setting's name.
 * @param {string} url
 * @param {string} scheme
 * @param {(url: string) => Promise<unknown>} ask
 */
async function check(name, url, scheme, ask) {
  // Accepts variants of the scheme: rediss and amqps (TLS), mongodb+srv (DNS), redis+sentinel, redis+cluster.
  const rest = /^(s|\+srv|s?\+(sentinel|cluster))?:\/\/./.exec(url.slice(scheme.length));
  if (!url.startsWith(scheme) || !rest) throw new Error(`${name} must begin with ${scheme}://`);
  // With several hosts one may be down; only MongoDB's driver accepts them all in one URL.
  if (scheme !== 'mongodb' && (/sentinel|cluster/.test(rest[1] ?? '') || hostsOf(url).includes(','))) return;
  try {
    await ask(url);
  } catch (error) {
    const { message, code } = /** @type {NodeJS.ErrnoException} */ (error);
    const why = (message || code || String(error)).replace(/\.$/, '');
    throw new Error(
      `${name} cannot be used (${hostsOf(url)}): ${why}. Start that server, or leave ${name} out.`,
    );
  }
}

/** @param {string} url */
async function checkMongo(url) {
  // Imported dynamically, because this file is loaded before `npm ci` has run.
  const { default: mongoose } = await import('mongoose');
  const client = new mongoose.mongo.MongoClient(url, { serverSelectionTimeoutMS: ANSWER_DEADLINE_MS });
  try {
    await client.connect();
    const { setName, msg } = await client.db('admin').command({ hello: 1 });
    if (!setName && msg !== 'isdbgrid') {
      throw new Error('it is not a replica set, which transactions need: start it with --replSet');
    }
  } finally {
    await client.close();
  }
}

/** @param {string} url */
async function checkRedis(url) {
  const { Redis } = await import('ioredis');
  const redis = new Redis(url, {
    lazyConnect: true,
    connectTimeout: ANSWER_DEADLINE_MS,
    commandTimeout: ANSWER_DEADLINE_MS,
    retryStrategy: () => null,
    maxRetriesPerRequest: 0,
  });
  /** The first error, which says more than the 'connection is closed' that follows. @type {Error | null} */
  let fault = null;
  redis.on('error', (error) => {
    fault ??= error;
  });
  try {
    await redis.connect();
    await redis.ping();
  } catch (error) {
    throw fault ?? error;
  } finally {
    redis.disconnect();
  }
}

/** @param {string} url */
async function checkRabbit(url) {
  const { connect } = await import('amqplib');
  const connection = await connect(url, { timeout: ANSWER_DEADLINE_MS });
  await connection.close();
}
