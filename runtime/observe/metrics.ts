import { isIP } from 'node:net';
import { type RequestHandler, Router } from 'express';
import type { Redis } from 'ioredis';
import ipaddr from 'ipaddr.js';
import type { Connection } from 'mongoose';
import { Counter, collectDefaultMetrics, Histogram, Registry } from 'prom-client';

/** Buckets in seconds, from a millisecond to more than most deadlines. */
export const secondsBuckets = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];
/** Buckets for the sizes of batches. */
export const sizeBuckets = [1, 2, 5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000];

/**
 * Interval at which the lag of the event loop is measured. The measured values contain it, and the chart in ops/grafana
 * subtracts it. The usual 10 ms took a third of an idle process' CPU.
 */
export const lagSampleMs = 50;

/**
 * The metrics of this process: its event loop, CPU and memory, and the commands on these connections. Prometheus sums them
 * over all processes.
 */
export function openMetrics({ mongo, redis }: { mongo: Connection; redis: Redis[] }): Registry {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry, eventLoopMonitoringPrecision: lagSampleMs });
  watchMongo(mongo, registry);
  watchRedis(redis, registry);
  return registry;
}

/** Exports counts that are kept outside prom-client; `read` returns them whenever Prometheus asks. */
export function exposeCounts<Label extends string>(
  registry: Registry,
  { name, help, label }: { name: string; help: string; label: Label },
  read: () => Readonly<Record<string, number>>,
): void {
  new Counter({
    name,
    help,
    labelNames: [label],
    registers: [registry],
    collect() {
      this.reset();
      for (const [value, count] of Object.entries(read()))
        this.inc({ [label]: value } as Record<Label, string>, count);
    },
  });
}

/** @param refresh updates the metrics that are read from the databases, in bounded time; it must not throw. */
export function metricsRoute(registry: Registry, refresh: () => Promise<void>): Router {
  const router = Router();
  router.get('/metrics', onlyPrivate, async (_request, response) => {
    await refresh();
    response.set({ 'Content-Type': registry.contentType, 'Cache-Control': 'no-store' });
    response.end(await registry.metrics());
  });
  return router;
}

/** Address ranges of this machine and of the private network. */
const privateRanges = new Set(['loopback', 'private', 'uniqueLocal']);

export function isPrivateAddress(address: string): boolean {
  // `isIP` is checked first, because ipaddr.js accepts a bare number as an address.
  return isIP(address) !== 0 && privateRanges.has(ipaddr.process(address).range());
}

/** Requests from public addresses get 404. Express' `ip` is the address of the client, not of a proxy. */
const onlyPrivate: RequestHandler = ({ ip = '' }, _response, next) => {
  next(isPrivateAddress(ip) ? undefined : 'router');
};

/** Measures the time of MongoDB's commands, and counts committed and aborted transactions. */
function watchMongo(mongo: Connection, registry: Registry): void {
  const seconds = new Histogram({
    name: 'stampede_mongodb_command_seconds',
    help: 'Time that MongoDB took for a command, by its name',
    labelNames: ['command', 'result'],
    buckets: secondsBuckets,
    registers: [registry],
  });
  const transactions = new Counter({
    name: 'stampede_mongodb_transactions_total',
    help: 'Transactions by result; aborted transactions are retried',
    labelNames: ['end'],
    registers: [registry],
  });
  for (const end of Object.values(transactionEnds)) transactions.inc({ end }, 0);
  let watched: ReturnType<Connection['getClient']> | null = null;
  mongo.on('connected', () => {
    const client = mongo.getClient();
    if (client === watched) return;
    watched = client;
    client.on('commandSucceeded', ({ commandName, duration }) => {
      seconds.observe({ command: commandName, result: 'ok' }, duration / 1_000);
      const end = transactionEnds[commandName];
      if (end) transactions.inc({ end });
    });
    client.on('commandFailed', ({ commandName, duration }) => {
      seconds.observe({ command: commandName, result: 'failed' }, duration / 1_000);
      // The command fails when MongoDB has already aborted the transaction itself.
      if (commandName === 'abortTransaction') transactions.inc({ end: 'aborted' });
    });
  });
}

const transactionEnds: Record<string, string> = {
  commitTransaction: 'committed',
  abortTransaction: 'aborted',
};

/** Measures the time of the commands on these connections, from the call to the answer. */
function watchRedis(connections: Redis[], registry: Registry): void {
  const seconds = new Histogram({
    name: 'stampede_redis_command_seconds',
    help: 'Time until the answer of Redis to a command, by its name',
    labelNames: ['command', 'result'],
    buckets: secondsBuckets,
    registers: [registry],
  });
  for (const redis of connections) {
    const send = redis.sendCommand.bind(redis);
    redis.sendCommand = (command, ...others) => {
      const startedAt = performance.now();
      const noteAs = (result: string) => () =>
        seconds.observe({ command: command.name, result }, (performance.now() - startedAt) / 1_000);
      command.promise.then(noteAs('ok'), noteAs('failed'));
      return send(command, ...others);
    };
  }
}
