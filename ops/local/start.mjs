/**
 * `npm start`: runs all of Stampede on this machine, which needs nothing but Node. It finds or downloads MongoDB, Redis and
 * nginx, starts two servers and a worker, creates a demo sale, and shows what is running where.
 *
 *   PORT                    the port for browsers (8080)
 *   MONGO_URL, REDIS_URL    your own databases; without them it runs its own
 *   PURCHASE_QUEUE, EVENT_BUS
 *                           `rabbitmq` replaces Bull, at RABBITMQ_URL, or without it on a RabbitMQ of its own
 *   TLS_PORT                the port with TLS, after `npm run tls` (8443)
 *   STAMPEDE_DATA_DIR       the folder of data and logs (.data)
 *   STAMPEDE_WITHOUT_NGINX  1: one server without nginx
 *   STAMPEDE_WITHOUT_INSTALLING  1: what is missing is not installed by apt, which only root could
 *   STAMPEDE_SHOW_LOG       the lowest log level that is shown (warn): error, info, silent
 *
 * It uses Node built-ins only, because the dependencies may not be installed yet.
 */
import { join } from 'node:path';
import { askCommand } from './app-process.mjs';
import { checkDataFolder, checkDisk, checkPort, installDependencies, portIn, tlsPortIn } from './checks.mjs';
import { checkDatabases } from './databases/database-checks.mjs';
import { describeFileFault } from './files/file-fault.mjs';
import { jwtSecretIn } from './files/private-file.mjs';
import { dataFolder } from './folders.mjs';
import { checkLevel, followLog, openPrettyLog } from './log-lines.mjs';
import { tlsIn } from './nginx/tls.mjs';
import { claimFolder } from './processes/process-list.mjs';
import { screenOf } from './screen.mjs';
import { System } from './system.mjs';

/** @type {System | null} */
let system = null;
/** @type {Awaited<ReturnType<typeof claimFolder>> | null} */
let processes = null;
let stopping = false;

/** @param {string} line */
function report(line) {
  if (!stopping) console.log(line);
}

async function start() {
  const withNginx = process.env.STAMPEDE_WITHOUT_NGINX !== '1';
  const port = portIn(process.env.PORT);
  tlsPortIn(process.env.TLS_PORT, port);
  const level = checkLevel(process.env.STAMPEDE_SHOW_LOG || 'warn');
  const dataDir = dataFolder();
  checkDataFolder(dataDir);
  await checkDisk(dataDir);
  processes = await claimFolder(dataDir, `http://127.0.0.1:${port}`, report);
  await checkPort(port);
  const tls = tlsIn(dataDir);
  if (tls && withNginx) await checkPort(tls.port, 'TLS_PORT');
  const jwtSecret = jwtSecretIn(join(dataDir, 'secrets.json'));
  await installDependencies(report);
  await checkDatabases(process.env);

  system = new System({
    dataDir,
    port,
    processes,
    withNginx,
    jwtSecret,
    mongoUrl: process.env.MONGO_URL || undefined,
    redisUrl: process.env.REDIS_URL || undefined,
    engines: enginesOf(process.env),
    report,
  });
  const env = await system.start();
  const demo = await askCommand('commands/seed.ts', ['--if-empty'], env, report);
  report(screenOf(system, /** @type {import('./screen.mjs').Demo} */ (demo)));
  const show = await openPrettyLog(level, report);
  const { servers, workers } = system.parts;
  for (const { part } of [...servers, ...workers]) followLog(part().logFile, show);
}

/** @param {NodeJS.ProcessEnv} env */
function enginesOf(env) {
  const names = ['PURCHASE_QUEUE', 'EVENT_BUS', 'RABBITMQ_URL'];
  return Object.fromEntries(names.flatMap((name) => (env[name] ? [[name, env[name]]] : [])));
}

/** @param {number} exitCode */
async function stop(exitCode) {
  if (stopping) process.exit(1); // At the second Ctrl-C everything that is still running is killed.
  stopping = true;
  if (system) console.log('Stopping …');
  await system?.stop();
  processes?.remove();
  process.exit(exitCode);
}

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => void stop(0));

// Ignores a closed stdout, as with `npm start | head` or a closed terminal.
process.stdout.on('error', () => void stop(1));

start().catch(async (error) => {
  if (stopping) return;
  // Expected errors are one line that says what to do; any other error is a bug and is printed with its stack.
  const fault = describeFileFault(error, dataFolder());
  console.error(fault ?? (error.constructor === Error ? error.message : error.stack));
  await stop(1);
});
