/** Runs MongoDB on the loopback address, as a replica set of one member, because transactions need a replica set. */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { cacheFolder } from '../folders.mjs';
import { freePort } from '../processes/port.mjs';
import { launch, stop, waitUntil } from '../processes/process.mjs';
import { findMongod } from './mongod.mjs';

const SET = 'rs0';
const START_DEADLINE_MS = 60_000;
/** Enough for a million past orders and their indexes; MongoDB allocates it on demand. */
const CACHE_GB = '1';
/** How long the open transaction of a killed worker keeps its locks on a hot product: 60 s by default. */
const TRANSACTION_SECONDS = 3;

/**
 * @typedef {object} Mongo
 * @property {string} url without a database; the caller adds it.
 * @property {number} port
 * @property {string} how where the binary was found.
 * @property {number} pid kill it and open again with the same `dataDir` to test a crash.
 * @property {string} logFile
 * @property {Promise<string>} ended resolves with the reason when the process ends.
 * @property {() => Promise<void>} close
 */

/**
 * @param {object} options
 * @param {string} options.dataDir
 * @param {number} [options.port] by default a free one; it may differ from the last start on the same data.
 * @param {string} [options.cacheDir] for downloads.
 * @param {string} [options.logFile]
 * @param {import('../programs/program.mjs').Report} [options.report]
 * @returns {Promise<Mongo>}
 */
export async function openMongo({ dataDir, port, cacheDir, logFile, report = () => {} }) {
  const { binary, how } = await findMongod({ cacheDir: cacheDir ?? cacheFolder(), report });
  mkdirSync(dataDir, { recursive: true });
  const listenOn = port ?? (await freePort());
  const where = ['--bind_ip', '127.0.0.1', '--port', String(listenOn), '--dbpath', dataDir];
  const as = ['--replSet', SET, '--wiredTigerCacheSizeGB', CACHE_GB, '--quiet', '--nounixsocket'];
  const transactions = ['--setParameter', `transactionLifetimeLimitSeconds=${TRANSACTION_SECONDS}`];
  const mongod = await launch('mongo', binary, [...where, ...as, ...transactions], {
    logFile: logFile ?? join(dataDir, 'mongo.log'),
  });
  try {
    await becomePrimary(listenOn, mongod);
  } catch (error) {
    await stop(mongod);
    throw error;
  }
  return {
    url: `mongodb://127.0.0.1:${listenOn}/?replicaSet=${SET}&directConnection=false`,
    port: listenOn,
    how,
    pid: mongod.pid,
    logFile: mongod.logFile,
    ended: mongod.ended,
    close: () => stop(mongod, { deadlineMs: 20_000 }),
  };
}

/**
 * Initiates the replica set, or reconfigures it with the new address, and waits until it accepts writes.
 * @param {number} port
 * @param {import('../processes/process.mjs').Launched} mongod
 */
async function becomePrimary(port, mongod) {
  const waiting = { deadlineMs: START_DEADLINE_MS, launched: mongod };
  const client = await waitUntil(() => connectTo(port), {
    ...waiting,
    what: `MongoDB on port ${port} did not start`,
  });
  const admin = client.db('admin');
  try {
    await waitUntil(() => nameTheOnlyMember(admin, `127.0.0.1:${port}`), {
      ...waiting,
      what: 'MongoDB did not form its replica set',
    });
    await waitUntil(async () => (await admin.command({ hello: 1 })).isWritablePrimary, {
      ...waiting,
      what: 'MongoDB did not become primary',
    });
  } finally {
    await client.close();
  }
}

/** @param {number} port */
async function connectTo(port) {
  // Imported dynamically, because this file is loaded before `npm ci` has run.
  const { default: mongoose } = await import('mongoose');
  const client = new mongoose.mongo.MongoClient(`mongodb://127.0.0.1:${port}/?directConnection=true`, {
    serverSelectionTimeoutMS: 500,
  });
  return client.connect();
}

/**
 * @param {import('mongoose').mongo.Db} admin
 * @param {string} host
 * @returns {Promise<boolean>}
 */
async function nameTheOnlyMember(admin, host) {
  const config = await admin.command({ replSetGetConfig: 1 }).then(
    (answer) => answer.config,
    (error) => {
      if (error?.codeName === 'NotYetInitialized') return null;
      throw error;
    },
  );
  if (config === null) {
    await admin.command({ replSetInitiate: { _id: SET, members: [{ _id: 0, host }] } });
  } else if (config.members[0].host !== host) {
    // With a new address the member does not find itself in the set, so there is no primary, which needs `force`.
    const members = [{ ...config.members[0], host }];
    await admin.command({
      replSetReconfig: { ...config, members, version: config.version + 1 },
      force: true,
    });
  }
  return true;
}
