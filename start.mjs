/**
 * `npm start`: the whole of Stampede on this machine, from nothing but Node. It finds or brings MongoDB, Redis and
 * nginx, starts two servers and a worker behind it, makes a demo sale, and shows what runs where.
 *
 *   PORT                    where browsers come in (8080)
 *   MONGO_URL, REDIS_URL    servers of yours to use; without them it runs its own
 *   PURCHASE_QUEUE, EVENT_BUS
 *                           rabbitmq: instead of Bull; on RABBITMQ_URL, or without it on a RabbitMQ of its own
 *   TLS_PORT                the same over TLS, once `npm run tls` made a certificate (8443)
 *   STAMPEDE_DATA_DIR       where everything is kept (.data)
 *   STAMPEDE_WITHOUT_NGINX  1: one server alone
 *   STAMPEDE_SHOW_LOG       how serious a line of the logs must be to be shown here (warn): error, info, silent
 *
 * Node built-ins only: the dependencies are not there yet when it begins.
 */
import { join } from 'node:path';
import { askCommand } from './embedded/app-process.mjs';
import { checkDisk, checkNode, checkPort, installDependencies } from './embedded/checks.mjs';
import { dataFolder } from './embedded/folders.mjs';
import { followLog, openPrettyLog } from './embedded/log-lines.mjs';
import { jwtSecretIn } from './embedded/private-file.mjs';
import { stopLeftovers } from './embedded/process-list.mjs';
import { screenOf } from './embedded/screen.mjs';
import { System } from './embedded/system.mjs';

/** @type {System | null} */
let system = null;
let stopping = false;

/** @param {string} line */
function report(line) {
  if (!stopping) console.log(line);
}

async function start() {
  checkNode();
  const dataDir = dataFolder();
  await checkDisk(dataDir);
  await stopLeftovers(dataDir, report);
  const port = await checkPort(process.env.PORT);
  await installDependencies(report);

  system = new System({
    dataDir,
    port,
    withNginx: process.env.STAMPEDE_WITHOUT_NGINX !== '1',
    jwtSecret: jwtSecretIn(join(dataDir, 'secrets.json')),
    mongoUrl: process.env.MONGO_URL || undefined,
    redisUrl: process.env.REDIS_URL || undefined,
    engines: enginesOf(process.env),
    report,
  });
  const env = await system.start();
  const demo = await askCommand('commands/seed.ts', ['--if-empty'], env);
  report(screenOf(system, /** @type {import('./embedded/screen.mjs').Demo} */ (demo)));
  const show = await openPrettyLog(process.env.STAMPEDE_SHOW_LOG || 'warn', report);
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
  if (stopping) process.exit(1); // The second Ctrl-C: whatever still runs is killed with us.
  stopping = true;
  if (system) console.log('Stopping …');
  await system?.stop();
  process.exit(exitCode);
}

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => void stop(0));

start().catch(async (error) => {
  if (stopping) return;
  // What is thrown on purpose is one line that says what to do; anything else is a fault of ours.
  console.error(error.constructor === Error ? error.message : error.stack);
  await stop(1);
});
