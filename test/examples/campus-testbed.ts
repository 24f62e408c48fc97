import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type ConfirmChannel, connect } from 'amqplib';
import mongoose from 'mongoose';
import { nanoid } from 'nanoid';
import { inject } from 'vitest';
import type { OrderStatus } from '../../examples/campus-food/contract.ts';
import { openAppProcess } from '../../ops/local/app-process.mjs';
import { openRabbit } from '../../ops/local/databases/rabbit.mjs';
import { freePort } from '../../ops/local/processes/port.mjs';
import { waitUntil } from '../../ops/local/processes/process.mjs';

export type Service = 'order' | 'inventory' | 'notification';

export interface Order {
  order_id: string;
  user_id: string;
  item: string;
  quantity: number;
  status: OrderStatus;
  timestamp: string;
  decided_at: string | null;
}

/** Long timeouts, because a machine that runs other tests is slow. */
const patient = { RABBITMQ_WAIT_MS: '15000', MONGO_WAIT_MS: '15000', MONGO_SILENCE_MS: '30000' };

interface Request {
  body?: unknown;
  headers?: Record<string, string>;
}

export type CampusTestbed = Awaited<ReturnType<typeof openCampus>>;

/**
 * Opens the three services of examples/campus-food as real processes, with their own RabbitMQ and database. It starts
 * OrderService; `start` starts the others.
 */
export async function openCampus(env: Record<string, string>) {
  const dir = await mkdtemp(join(tmpdir(), 'stampede-campus-'));
  let rabbit = await openRabbit({ dataDir: join(dir, 'rabbitmq') });
  const database = new URL(inject('mongoUrl'));
  database.pathname = `/campus-${nanoid(8)}`;
  const running = new Map<Service, Awaited<ReturnType<typeof openAppProcess>>>();
  const ports = { order: await freePort(), inventory: await freePort(), notification: await freePort() };

  function optionsOf(service: Service, name: string, port: number) {
    const given = { ...patient, ...env, MONGO_URL: database.href, RABBITMQ_URL: rabbit.url };
    const entry = `examples/campus-food/${service}-service.ts`;
    return { name, entry, port, env: given, logsDir: join(dir, 'logs') };
  }

  async function start(service: Service): Promise<void> {
    running.set(service, await openAppProcess(optionsOf(service, service, ports[service])));
  }
  await start('order');
  const mongo = await mongoose.createConnection(database.href).asPromise();

  // biome-ignore lint/suspicious/noExplicitAny: a test says what it expects of the body by its assertions.
  async function ask(service: Service, path: string, { body, headers }: Request = {}): Promise<any> {
    const response = await fetch(`http://127.0.0.1:${ports[service]}${path}`, {
      method: body === undefined ? 'GET' : 'POST',
      headers: { ...(body !== undefined && { 'Content-Type': 'application/json' }), ...headers },
      ...(body !== undefined && { body: typeof body === 'string' ? body : JSON.stringify(body) }),
      signal: AbortSignal.timeout(20_000),
    });
    return { status: response.status, headers: response.headers, body: await response.json() };
  }

  const findOrder = async (id: string): Promise<Order | null> => {
    const { status, body } = await ask('order', `/orders/${id}`);
    return status === 200 ? body : null;
  };

  return {
    /** The services' database. */
    mongo,
    start,
    /** Starts a second instance. @returns a function that stops it. */
    async startAnother(service: Service): Promise<() => Promise<void>> {
      const options = optionsOf(service, `${service}-2`, await freePort());
      return (await openAppProcess(options)).close;
    },
    ask,
    findOrder,
    /** Orders noodles. */
    order: (key: string, user_id = 's-1001') =>
      ask('order', '/order', {
        body: { user_id, item: 'noodles', quantity: 1 },
        headers: { 'Idempotency-Key': key },
      }),
    /** Waits until inventory has decided about an order. */
    decided: (id: string) =>
      waitUntil(
        async () => {
          const order = await findOrder(id);
          return order && order.status !== 'accepted' ? order : null;
        },
        { deadlineMs: 40_000, what: `order ${id} is not decided` },
      ),
    stop: (service: Service) => running.get(service)?.close(),
    async kill(service: Service) {
      const { pid, ended } = running.get(service) ?? {};
      if (pid) process.kill(pid, 'SIGKILL');
      await ended;
    },
    /** Opens a channel for publishing messages that the services would not publish. */
    async stranger<Result>(work: (channel: ConfirmChannel) => Promise<Result>): Promise<Result> {
      const connection = await connect(rabbit.url);
      try {
        const channel = await connection.createConfirmChannel();
        const result = await work(channel);
        await channel.waitForConfirms();
        return result;
      } finally {
        await connection.close();
      }
    },
    stopRabbit: () => rabbit.close(),
    async startRabbit() {
      rabbit = await openRabbit({ dataDir: join(dir, 'rabbitmq'), port: rabbit.port });
    },
    async close() {
      await Promise.all([...running.values()].map((service) => service.close()));
      await rabbit.close();
      await mongo.dropDatabase();
      await mongo.close();
      await rm(dir, { recursive: true });
    },
  };
}
