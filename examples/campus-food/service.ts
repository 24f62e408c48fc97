import { once } from 'node:events';
import express, { type Router } from 'express';
import type { Connection } from 'mongoose';
import { isMongoAway, openMongo } from '../../runtime/databases/connections.ts';
import { healthRoutes } from '../../runtime/observe/health.ts';
import { type Log, openLog } from '../../runtime/observe/log.ts';
import type { Consumer } from '../../runtime/rabbit/consumer.ts';
import { isRabbitAway, openRabbit, type Rabbit } from '../../runtime/rabbit/rabbit.ts';
import { retry } from '../../runtime/retry.ts';
import { closeOnSignal } from '../../runtime/shutdown.ts';
import { answerProblems, unknownRoute } from '../../server/http/problems.ts';
import { consumeEvents, type EventHandler } from './consumer.ts';
import { declareTopology, type Event, type queues, routes as routeOf } from './contract.ts';
import { readSettings, type Settings } from './settings.ts';

const retryMs = 500;

export interface Plumbing {
  settings: Settings;
  mongo: Connection;
  /** Resolves when RabbitMQ has confirmed these events. @throws RabbitAway when it does not in time. */
  publish: (events: Event[]) => Promise<void>;
  log: Log;
}

interface Service {
  routes: Router;
  queue: (typeof queues)[keyof typeof queues];
  handle: EventHandler;
  close?: () => Promise<void>;
}

/**
 * Runs one service until a signal stops it. It listens at once, and /health reports missing dependencies, so that MongoDB,
 * RabbitMQ and the services can start in any order.
 */
export async function runService(
  role: string,
  usualPort: number,
  open: (plumbing: Plumbing) => Service,
): Promise<void> {
  const settings = readSettings();
  const log = openLog(settings, role);
  const { mongo, close: closeMongo } = openMongo(settings, log);
  const rabbit = openRabbit({ url: settings.RABBITMQ_URL, waitMs: settings.RABBITMQ_WAIT_MS }, log);
  const requireTopology = rabbit.prepares(declareTopology);

  const { routes, queue, handle, close } = open({
    settings,
    mongo,
    log,
    async publish(events) {
      await requireTopology();
      await rabbit.publish(events.map(messageOf));
    },
  });
  mongo.on('connected', () => makeIndexes(mongo).catch((error) => log.error(error, 'making indexes failed')));

  let consumer: Consumer | null = null;
  const stopping = new AbortController();
  const isTransient = (error: unknown) => isMongoAway(error) || isRabbitAway(error);
  const consuming = untilThere(stopping.signal, async () => {
    await requireTopology();
    consumer = await consumeEvents(rabbit, queue, handle, {
      mongo,
      settings,
      isTransient,
      stopping: stopping.signal,
      log,
    });
  });

  const http = serve(
    routes,
    healthOf(mongo, rabbit, () => consumer !== null),
    log,
  ).listen(settings.PORT ?? usualPort, settings.HOST);
  await once(http, 'listening');
  log.info({ address: http.address() }, 'listening');

  closeOnSignal(
    async () => {
      // The database is closed last, because requests in progress need it.
      await new Promise((resolve) => http.close(resolve));
      stopping.abort();
      await Promise.all([consuming.then(() => consumer?.close()), close?.()]);
      await Promise.all([rabbit.close(), closeMongo()]);
    },
    log,
    settings.STOP_DEADLINE_MS,
  );
}

function messageOf(event: Event) {
  const content = Buffer.from(JSON.stringify(event));
  return { ...routeOf[event.event_type], id: event.event_id, content, contentType: 'application/json' };
}

/** @throws errors of RabbitMQ, such as a conflicting declaration, which end the process. */
async function untilThere(signal: AbortSignal, work: () => Promise<void>): Promise<void> {
  const options = { firstMs: retryMs, longestMs: retryMs, signal, shouldRetry: isRabbitAway };
  await retry(work, options).catch((error) => {
    if (error !== signal.reason) throw error;
  });
}

function healthOf(mongo: Connection, rabbit: Rabbit, isConsuming: () => boolean): Router {
  return healthRoutes({
    mongodb: () => mongo.db?.admin().ping() ?? Promise.reject(),
    rabbitmq: () => (isConsuming() ? rabbit.ping() : Promise.reject()),
  });
}

function serve(routes: Router, health: Router, log: Log): express.Express {
  const app = express();
  app.disable('x-powered-by');
  app.disable('etag');
  app.set('query parser', 'simple');
  app.use(express.json({ limit: '16kb' }));
  // Healthy means that the service can process requests.
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
