import { once } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import express, { type Router } from 'express';
import type { Connection } from 'mongoose';
import type { EventBus, Subscription } from '../../messages/bus.ts';
import { openRabbitBus } from '../../messages/rabbit-bus.ts';
import { eventRetryWaitsMs } from '../../runtime/config.ts';
import { isMongoAway, openMongo } from '../../runtime/connections.ts';
import { healthRoutes } from '../../runtime/health.ts';
import { type Log, openLog } from '../../runtime/log.ts';
import { isRabbitAway, openRabbit } from '../../runtime/rabbit.ts';
import { closeOnSignal } from '../../runtime/shutdown.ts';
import { answerProblems, unknownRoute } from '../../server/problems.ts';
import { subscriptions, topology } from './contract.ts';
import { readSettings, type Settings } from './settings.ts';

const retryMs = 500;

interface Plumbing {
  settings: Settings;
  mongo: Connection;
  bus: EventBus;
  log: Log;
}

/**
 * Runs one service until it is told to stop. It listens at once, and says on /health what it still waits for: neither
 * MongoDB nor RabbitMQ nor another service has to be there first.
 */
export async function runService(
  role: string,
  open: (plumbing: Plumbing) => { routes: Router; subscription: Subscription },
): Promise<void> {
  const settings = readSettings();
  const log = openLog(settings, role);
  const { mongo, close: closeMongo } = openMongo(settings, log);
  const rabbit = openRabbit({ url: settings.RABBITMQ_URL, waitMs: settings.RABBITMQ_WAIT_MS }, log);
  // What passes by itself is waited out, and makes nobody's event a dead letter.
  const isPassing = (error: unknown) => isMongoAway(error) || isRabbitAway(error);
  const rules = { isPassing, retryWaitsMs: eventRetryWaitsMs(settings) };
  const bus = openRabbitBus(rabbit, { topology, prefetch: settings.RABBITMQ_PREFETCH, rules }, log);

  const { routes, subscription } = open({ settings, mongo, bus, log });
  mongo.on('connected', () => makeIndexes(mongo).catch((error) => log.error(error, 'indexes')));
  let consumer: Awaited<ReturnType<EventBus['subscribe']>> | null = null;
  const stopping = new AbortController();
  const subscribing = untilThere(stopping.signal, async () => {
    // Everybody's queues: what is published waits for a service that was never started, too.
    await bus.declare(Object.values(subscriptions));
    consumer = await bus.subscribe(subscription);
  });

  const health = healthRoutes({
    mongodb: () => mongo.db?.admin().ping() ?? Promise.reject(),
    rabbitmq: () => (consumer ? rabbit.ping() : Promise.reject()),
  });
  const http = serve(routes, health, log).listen(settings.PORT, settings.HOST);
  await once(http, 'listening');
  log.info({ address: http.address() }, 'listening');

  closeOnSignal(
    async () => {
      // Who is being answered still needs the rest.
      await new Promise((resolve) => http.close(resolve));
      stopping.abort();
      await subscribing;
      await consumer?.close();
      await bus.close();
      await Promise.all([rabbit.close(), closeMongo()]);
    },
    log,
    settings.STOP_DEADLINE_MS,
  );
}

/** @throws what RabbitMQ refuses: that is a mistake, and nobody catches it. */
async function untilThere(signal: AbortSignal, work: () => Promise<void>): Promise<void> {
  while (!signal.aborted) {
    try {
      return await work();
    } catch (error) {
      if (!isRabbitAway(error)) throw error;
    }
    await delay(retryMs, undefined, { signal }).catch(() => {});
  }
}

function serve(routes: Router, health: Router, log: Log): express.Express {
  const app = express();
  app.disable('x-powered-by');
  app.disable('etag');
  app.set('query parser', 'simple');
  app.use(express.json({ limit: '16kb' }));
  // Here "healthy" means able to work.
  app.get('/health', (request, _response, next) => {
    request.url = '/readyz';
    next();
  });
  app.use(health, routes, unknownRoute, answerProblems(log));
  return app;
}

async function makeIndexes(mongo: Connection): Promise<void> {
  for (const model of Object.values(mongo.models)) await model.createIndexes();
}
