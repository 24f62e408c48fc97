/**
 * `npm run campus-food`: runs the three services with their own RabbitMQ and MongoDB, on the ports of docker compose if
 * these are free, or else on the next free ones.
 *
 *   MONGO_URL, RABBITMQ_URL     your own servers, MongoDB's with the database name
 *   RESERVE_CHANCE, SEED, …     every setting of settings.ts
 *   STAMPEDE_DATA_DIR           the folder of data and logs, which are in its subfolder `campus` (.data)
 */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { openAppProcess } from '../../ops/local/app-process.mjs';
import { withDatabase } from '../../ops/local/databases/database-url.mjs';
import { openMongo } from '../../ops/local/databases/mongo.mjs';
import { openRabbit } from '../../ops/local/databases/rabbit.mjs';
import { dataFolder } from '../../ops/local/folders.mjs';
import { keepRunning, type Part } from '../../ops/local/keep-running.mjs';
import { freePort, freePortsFrom } from '../../ops/local/processes/port.mjs';
import { onLaunch } from '../../ops/local/processes/process.mjs';
import { claimFolder } from '../../ops/local/processes/process-list.mjs';

const [firstPort, rabbitPort, managementPort] = [8_101, 5_672, 15_672];
const dataDir = join(dataFolder(), 'campus');
const logsDir = join(dataDir, 'logs');

/** In the order of their start; they are stopped in reverse order. */
const kept: Awaited<ReturnType<typeof keepRunning>>[] = [];
let processList: Awaited<ReturnType<typeof claimFolder>> | null = null;
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
  return withDatabase(url, 'campus-food');
}

async function startRabbit(): Promise<string> {
  const [port = 0] = await freePortsFrom(rabbitPort, 1);
  const [management] = await freePortsFrom(managementPort, 1);
  const options = { dataDir: join(dataDir, 'rabbitmq'), port, managementPort: management, report };
  const { url, how } = await keep('rabbitmq', () => openRabbit(options));
  report(`RabbitMQ: ${how}, ${url}, management on http://127.0.0.1:${management} (guest, guest)`);
  return url;
}

async function start(): Promise<void> {
  await mkdir(logsDir, { recursive: true });
  processList = await claimFolder(dataDir, `http://127.0.0.1:${firstPort}`, report);
  // Ports are chosen after that, because processes left behind may have held the first ones.
  const ports = await freePortsFrom(firstPort, 3);
  processList.movedTo(`http://127.0.0.1:${ports[0]}`);
  onLaunch(processList.add);
  const env = {
    MONGO_URL: process.env.MONGO_URL || (await startMongo()),
    RABBITMQ_URL: process.env.RABBITMQ_URL || (await startRabbit()),
  };
  const services = ['order', 'inventory', 'notification'].map((name, index) => {
    const entry = `examples/campus-food/${name}-service.ts`;
    const options = { name: `${name}_service`, entry, port: ports[index] ?? 0, env, logsDir };
    return keep(options.name, () => openAppProcess(options));
  });
  const [order, inventory, notification] = await Promise.all(services);
  report(`
OrderService         ${order?.url}    GET /health, POST /order, GET /orders, GET /orders/{order_id}
InventoryService     ${inventory?.url}    GET /health, GET /reservations
NotificationService  ${notification?.url}    GET /health, GET /notifications

Place an order, and see what became of it:
  curl -i ${order?.url}/order -H 'Content-Type: application/json' \\
    -d '{"user_id": "s-1001", "item": "ramen", "quantity": 2}'
  curl ${order?.url}/orders
  tail ${join(logsDir, 'notification_service.log')}

Orders are accepted while InventoryService stands still, and wait for it:
  kill -STOP ${inventory?.pid}     and, to see the backlog drain,     kill -CONT ${inventory?.pid}

Their logs are in ${logsDir}. Ctrl-C stops everything.`);
}

async function stop(exitCode: number): Promise<void> {
  if (stopping) process.exit(1); // At the second Ctrl-C everything that is still running is killed.
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
