/** Runs RabbitMQ on the loopback address. Its data survives a SIGKILL. */
import { createHash } from 'node:crypto';
import { lstatSync, mkdirSync, readlinkSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePort } from '../processes/port.mjs';
import { launch, stop, waitUntil } from '../processes/process.mjs';
import { findProgram, installFromDebian, isExecutable } from '../programs/program.mjs';

const START_DEADLINE_MS = 60_000;

/** Not the one on the PATH, which is Debian's wrapper that switches users and keeps its data elsewhere. */
const DEBIANS_OWN = '/usr/lib/rabbitmq/bin/rabbitmq-server';

/** A constant node name, because quorum queues store the name of their node. */
const NODE_NAME = 'stampede@localhost';

/**
 * @typedef {object} Rabbit
 * @property {string} url
 * @property {number} port
 * @property {string} how where the program was found.
 * @property {number} pid kill it and open again with the same `dataDir` and `port` to test a crash.
 * @property {string} dataDir
 * @property {string} logFile
 * @property {Promise<string>} ended resolves with the reason when the process ends.
 * @property {() => Promise<void>} close
 */

/**
 * @param {object} options
 * @param {string} options.dataDir
 * @param {number} [options.port] by default a free one.
 * @param {number | undefined} [options.managementPort] the port of the management page; without it there is none.
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

  // An epmd (Erlang's port mapper) for this broker alone, because one started by RabbitMQ would outlive it.
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

/** @returns {string | null} the path of the program; null when it is not installed. */
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

/** RabbitMQ's scripts do not quote paths: with a space, a quote or a `$` in its folder the broker does not start. */
const PLAIN_PATH = /^[\w/.+@,-]{1,150}$/;

/**
 * @param {string} dataDir
 * @returns {string} the folder itself, or a symbolic link to it with a plain name that is the same at each start.
 */
function plainPathTo(dataDir) {
  if (PLAIN_PATH.test(dataDir)) return dataDir;
  const hash = createHash('sha256').update(dataDir).digest('hex').slice(0, 12);
  const link = join(tmpdir(), `stampede-rabbitmq-${hash}`);
  if (!PLAIN_PATH.test(link)) throw new Error(`RabbitMQ cannot run in ${dataDir}: set STAMPEDE_DATA_DIR.`);
  const there = lstatSync(link, { throwIfNoEntry: false });
  if (!there) symlinkSync(dataDir, link);
  // Other users can write into the temporary folder, so the link must be ours.
  else if (!there.isSymbolicLink() || there.uid !== process.getuid?.() || readlinkSync(link) !== dataDir) {
    throw new Error(`${link} already exists: remove it, because RabbitMQ needs it as a link to ${dataDir}.`);
  }
  return link;
}

/**
 * Keeps everything in the data folder, ignores the machine's own RabbitMQ, and listens on the loopback address only.
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
    // The Erlang cookie is created in HOME.
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
    // Erlang's schedulers do not spin while they wait for work, because they share the cores with everything else.
    RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS:
      '-kernel inet_dist_use_interface {127,0,0,1} +sbwt none +sbwtdcpu none +sbwtdio none',
    // Without a shell in between, so that a signal reaches the broker itself.
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
 * Whether a broker answers the AMQP protocol header, which it does only when it is completely started.
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
      // A method frame (connection.start).
      resolve(answer[0] === 1);
      socket.destroy();
    });
  });
}
