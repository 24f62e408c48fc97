/** A RabbitMQ of our own, on the loopback address, whose data survives a kill. */
import { createHash } from 'node:crypto';
import { lstatSync, mkdirSync, readlinkSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePort } from '../processes/port.mjs';
import { launch, stop, waitUntil } from '../processes/process.mjs';
import { findProgram, installFromDebian, isExecutable } from '../programs/program.mjs';

const START_DEADLINE_MS = 60_000;

/** The one on the PATH is Debian's wrapper, which wants to be another user and keeps the data elsewhere. */
const DEBIANS_OWN = '/usr/lib/rabbitmq/bin/rabbitmq-server';

/** Quorum queues remember the node that they live on, so it keeps its name over restarts. */
const NODE_NAME = 'stampede@localhost';

/**
 * @typedef {object} Rabbit
 * @property {string} url
 * @property {number} port
 * @property {string} how where its program was found.
 * @property {number} pid kill it and open again with the same `dataDir` and `port` to test a crash.
 * @property {string} dataDir
 * @property {string} logFile
 * @property {Promise<string>} ended resolves when the process ended, with how.
 * @property {() => Promise<void>} close
 */

/**
 * @param {object} options
 * @param {string} options.dataDir
 * @param {number} [options.port] a free one when absent.
 * @param {number | undefined} [options.managementPort] where its management page answers; none when absent.
 * @param {string} [options.logFile]
 * @param {import('../programs/program.mjs').Report} [options.report]
 * @returns {Promise<Rabbit>}
 */
export async function openRabbit({ dataDir, port, managementPort, logFile, report = () => {} }) {
  const { program, how } = await findRabbit(report);
  const listenOn = port ?? (await freePort());
  const [names, distribution] = [await freePort(), await freePort()];
  const log = logFile ?? join(dataDir, 'rabbitmq.log');
  mkdirSync(dataDir, { recursive: true });
  const plainDir = plainPathTo(dataDir);
  const env = environmentOf({ dataDir: plainDir, port: listenOn, managementPort, names, distribution });

  // Erlang's register of names, for this broker alone: one that RabbitMQ starts would outlive it.
  const epmd = await launch('epmd', findProgram('epmd') ?? 'epmd', ['-port', String(names)], {
    logFile: log,
    env,
  });
  const rabbit = await launch('rabbitmq', program, [], { logFile: log, env });
  const ended = rabbit.ended.finally(async () => {
    await stop(epmd);
    if (plainDir !== dataDir) rmSync(plainDir, { force: true });
  });
  try {
    await waitUntil(() => greets(listenOn), {
      deadlineMs: START_DEADLINE_MS,
      what: `RabbitMQ on port ${listenOn} did not start`,
      launched: rabbit,
      everyMs: 100,
    });
  } catch (error) {
    await stop(rabbit);
    await ended;
    throw error;
  }
  return {
    url: `amqp://127.0.0.1:${listenOn}`,
    port: listenOn,
    dataDir,
    how,
    pid: rabbit.pid,
    logFile: rabbit.logFile,
    ended,
    async close() {
      await stop(rabbit);
      await ended;
    },
  };
}

/** @returns {string | null} the path of the program; null when this machine has none. */
export function findRabbitHere() {
  return isExecutable(DEBIANS_OWN) ? DEBIANS_OWN : findProgram('rabbitmq-server');
}

/** @param {import('../programs/program.mjs').Report} report */
async function findRabbit(report) {
  const installed = findRabbitHere();
  if (installed) return { program: installed, how: installed };
  const packaged = (await installFromDebian('rabbitmq-server', report)) ? findRabbitHere() : null;
  if (packaged) return { program: packaged, how: `${packaged} (Debian's package)` };
  throw new Error('No RabbitMQ: install rabbitmq-server or set RABBITMQ_URL.');
}

/** What RabbitMQ's scripts pass on unchanged: with a space, a quote or a `$` in its folder the broker never starts. */
const PLAIN_PATH = /^[\w/.+@,-]{1,150}$/;

/**
 * @param {string} dataDir
 * @returns {string} the folder itself, or a link to it with a plain name, the same at each start.
 */
function plainPathTo(dataDir) {
  if (PLAIN_PATH.test(dataDir)) return dataDir;
  const hash = createHash('sha256').update(dataDir).digest('hex').slice(0, 12);
  const link = join(tmpdir(), `stampede-rabbitmq-${hash}`);
  if (!PLAIN_PATH.test(link)) throw new Error(`RabbitMQ cannot run in ${dataDir}: set STAMPEDE_DATA_DIR.`);
  const there = lstatSync(link, { throwIfNoEntry: false });
  if (!there) symlinkSync(dataDir, link);
  // Anybody may write into the folder of temporary files.
  else if (!there.isSymbolicLink() || there.uid !== process.getuid?.() || readlinkSync(link) !== dataDir) {
    throw new Error(`${link} is in the way: remove it, RabbitMQ needs it as a link to ${dataDir}.`);
  }
  return link;
}

/**
 * Everything in the data folder, nothing of the machine's own RabbitMQ, and no port beyond the loopback address.
 * @param {{ dataDir: string, port: number, managementPort: number | undefined, names: number, distribution: number }}
 *   options
 */
function environmentOf({ dataDir, port, managementPort, names, distribution }) {
  /** @param {string} name @param {string} content */
  const file = (name, content) => {
    writeFileSync(join(dataDir, name), content);
    return join(dataDir, name);
  };
  return {
    ...process.env,
    // The cookie that whoever speaks to the node must know is made there.
    HOME: dataDir,
    ERL_EPMD_ADDRESS: '127.0.0.1',
    ERL_EPMD_PORT: String(names),
    RABBITMQ_NODENAME: NODE_NAME,
    RABBITMQ_DIST_PORT: String(distribution),
    RABBITMQ_CONF_ENV_FILE: file('rabbitmq-env.conf', ''),
    RABBITMQ_CONFIG_FILE: file('rabbitmq.conf', configOf(port, managementPort)),
    RABBITMQ_ENABLED_PLUGINS_FILE: file(
      'enabled_plugins',
      managementPort ? '[rabbitmq_management].\n' : '[].\n',
    ),
    RABBITMQ_MNESIA_BASE: join(dataDir, 'data'),
    RABBITMQ_FEATURE_FLAGS_FILE: join(dataDir, 'feature_flags'),
    RABBITMQ_PID_FILE: join(dataDir, 'pid'),
    RABBITMQ_LOG_BASE: dataDir,
    RABBITMQ_LOGS: '-',
    RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS: '-kernel inet_dist_use_interface {127,0,0,1}',
    // No shell between us and the broker: what is killed is the broker.
    RUNNING_UNDER_SYSTEMD: '1',
  };
}

/** @param {number} port @param {number | undefined} managementPort */
function configOf(port, managementPort) {
  const lines = [`listeners.tcp.default = 127.0.0.1:${port}`, 'log.console.level = warning'];
  if (managementPort) lines.push('management.tcp.ip = 127.0.0.1', `management.tcp.port = ${managementPort}`);
  return `${lines.join('\n')}\n`;
}

/**
 * Whether a broker answers AMQP's first words. It listens last of all when it starts.
 * @param {number} port
 * @returns {Promise<boolean>}
 */
function greets(port) {
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1', () => socket.write('AMQP\0\0\x09\x01'));
    socket.setTimeout(2_000, () => socket.destroy(new Error('no answer')));
    socket.once('error', reject);
    socket.once('close', () => reject(new Error('the connection was closed')));
    socket.once('data', (answer) => {
      // A method frame: it wants to know who we are.
      resolve(answer[0] === 1);
      socket.destroy();
    });
  });
}
