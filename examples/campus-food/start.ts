/**
 * `npm run campus-food`: the three services on free ports, with a RabbitMQ and a MongoDB of their own.
 *
 *   MONGO_URL, RABBITMQ_URL   servers of yours to use, MongoDB's with the database
 *   RESERVE_CHANCE, SEED      see settings.ts
 *   STAMPEDE_DATA_DIR         where everything is kept, in a folder `campus-food` (.data)
 */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { openAppProcess } from '../../embedded/app-process.mjs';
import { dataFolder } from '../../embedded/folders.mjs';
import { keepRunning, type Part } from '../../embedded/keep-running.mjs';
import { openMongo } from '../../embedded/mongo.mjs';
import { freePort, freePortsFrom } from '../../embedded/port.mjs';
import { onLaunch } from '../../embedded/process.mjs';
import { openProcessList, stopLeftovers } from '../../embedded/process-list.mjs';
import { openRabbit } from '../../embedded/rabbit.mjs';

const firstPort = 4_001;
const dataDir = join(dataFolder(), 'campus-food');
const logsDir = join(dataDir, 'logs');

/** In the order of their start; the stop goes the other way. */
const kept: Awaited<ReturnType<typeof keepRunning>>[] = [];
let processList: ReturnType<typeof openProcessList> | null = null;
let stopping = false;

function report(line: string): void {
  if (!stopping) console.log(line);
}

async function keep<Opened extends Part>(name: string, open: () => Promise<Opened>): Promise<Part> {
  const running = await keepRunning(name, open, { report, onRestart: () => {} });
  kept.push(running);
  return running.part();
}

async function startMongo(): Promise<string> {
  const options = { dataDir: join(dataDir, 'mongo'), port: await freePort(), report };
  const { url, how } = await keep('mongo', () => openMongo(options));
  report(`MongoDB:  ${how}, ${url}`);
  const database = new URL(url);
  database.pathname = '/campus-food';
  return database.href;
}

async function startRabbit(): Promise<string> {
  const options = { dataDir: join(dataDir, 'rabbitmq'), port: await freePort(), report };
  const { url, how } = await keep('rabbitmq', () => openRabbit(options));
  report(`RabbitMQ: ${how}, ${url}`);
  return url;
}

async function start(): Promise<void> {
  await mkdir(logsDir, { recursive: true });
  await stopLeftovers(dataDir, report);
  const ports = await freePortsFrom(firstPort, 3);
  processList = openProcessList(dataDir, `http://127.0.0.1:${ports[0]}`);
  onLaunch(processList.add);
  const env = {
    MONGO_URL: process.env.MONGO_URL || (await startMongo()),
    RABBITMQ_URL: process.env.RABBITMQ_URL || (await startRabbit()),
  };
  const services = ['order', 'inventory', 'notification'].map((name, index) => {
    const entry = `examples/campus-food/${name}-service.ts`;
    const options = { name: `${name}-service`, entry, port: ports[index] ?? 0, env, logsDir };
    return keep(options.name, () => openAppProcess(options));
  });
  const [orders, inventory, notifications] = await Promise.all(services);
  report(`
OrderService         ${orders?.url}    GET /health, POST /order, GET /orders, GET /orders/:id
InventoryService     ${inventory?.url}    GET /health, GET /reservations
NotificationService  ${notifications?.url}    GET /health, GET /notifications

Place an order, and see what became of it:
  curl -i ${orders?.url}/order -H 'Content-Type: application/json' \\
    -d '{"studentId": "s-1001", "dishes": [{"dish": "ramen", "quantity": 2}]}'
  curl ${orders?.url}/orders
  curl ${notifications?.url}/notifications

Orders are accepted without InventoryService as well, and wait for it:
  kill -STOP ${inventory?.pid}     and, when you want to see the backlog drain,     kill -CONT ${inventory?.pid}

Their logs are in ${logsDir}. Ctrl-C stops everything.`);
}

async function stop(exitCode: number): Promise<void> {
  if (stopping) process.exit(1); // The second Ctrl-C: whatever still runs is killed with us.
  console.log('Stopping …');
  stopping = true;
  for (const running of kept.reverse()) await running.close();
  processList?.remove();
  process.exit(exitCode);
}

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => void stop(0));

start().catch(async (error) => {
  if (stopping) return;
  console.error(error.constructor === Error ? error.message : error.stack);
  await stop(1);
});
