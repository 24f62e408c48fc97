/**
 * Compares the latency of orders with and without the broker, also while inventory is stopped. Prints the README's table:
 *
 *   node --import tsx examples/campus-food/synchronous/compare.ts
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import autocannon from 'autocannon';
import { openAppProcess } from '../../../ops/local/app-process.mjs';
import { openMongo } from '../../../ops/local/databases/mongo.mjs';
import { openRabbit } from '../../../ops/local/databases/rabbit.mjs';
import { freePort } from '../../../ops/local/processes/port.mjs';

const [orders, ordersWhileStopped, connections] = [1_000, 100, 20];
/** The duration of a reservation, on either side. */
const reserveMs = 50;

/** An order service and its inventory. */
interface Side {
  name: string;
  orderUrl: string;
  inventoryPid: number;
}

const order = JSON.stringify({ user_id: 's-1001', item: 'ramen', quantity: 2 });

async function place({ orderUrl }: Side, amount: number) {
  const headers = { 'Content-Type': 'application/json' };
  const url = `${orderUrl}/order`;
  const { latency, statusCodeStats, errors } = await autocannon({
    url,
    method: 'POST',
    headers,
    body: order,
    connections,
    amount,
    timeout: 30,
  });
  const answers = Object.entries(statusCodeStats ?? {}).map(([status, { count }]) => `${count} × ${status}`);
  return {
    p50: latency.p50,
    p99: latency.p99,
    answers: [...answers, ...(errors ? [`${errors} failed`] : [])],
  };
}

async function measure(side: Side): Promise<string[]> {
  await place(side, 100); // The processes warm up.
  const running = await place(side, orders);
  process.kill(side.inventoryPid, 'SIGSTOP');
  const stopped = await place(side, ordersWhileStopped);
  process.kill(side.inventoryPid, 'SIGCONT');
  const waits = ({ p50, p99 }: typeof running) => `${p50} ms, ${p99} ms`;
  return [side.name, waits(running), waits(stopped), stopped.answers.join(', ')];
}

const dir = await mkdtemp(join(tmpdir(), 'stampede-campus-compare-'));
const closers: (() => Promise<void>)[] = [() => rm(dir, { recursive: true })];
try {
  const mongo = await openMongo({ dataDir: join(dir, 'mongo') });
  closers.push(mongo.close);
  const rabbit = await openRabbit({ dataDir: join(dir, 'rabbitmq') });
  closers.push(rabbit.close);

  async function start(name: string, entry: string, env: Record<string, string> = {}) {
    const database = new URL(mongo.url);
    database.pathname = '/campus-food';
    const given = {
      MONGO_URL: database.href,
      RABBITMQ_URL: rabbit.url,
      RESERVE_MS: String(reserveMs),
      ...env,
    };
    const options = { name, entry: `examples/campus-food/${entry}`, port: await freePort(), env: given };
    const started = await openAppProcess({ ...options, logsDir: join(dir, 'logs') });
    closers.push(started.close);
    return started;
  }

  const service = 'synchronous/service.ts';
  const inventory = await start('inventory', service);
  const asking = await start('order', service, { INVENTORY_URL: inventory.url });
  const consuming = await start('inventory_service', 'inventory-service.ts');
  const publishing = await start('order_service', 'order-service.ts');
  const rows = [
    await measure({ name: 'RabbitMQ', orderUrl: publishing.url, inventoryPid: consuming.pid }),
    await measure({ name: 'synchronous', orderUrl: asking.url, inventoryPid: inventory.pid }),
  ];
  console.log('| | answer p50, p99 | inventory stands still: p50, p99 | and the answers |');
  console.log('| --- | --- | --- | --- |');
  for (const row of rows) console.log(`| ${row.join(' | ')} |`);
} finally {
  for (const close of closers.reverse()) await close();
}
