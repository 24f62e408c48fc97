import { once } from 'node:events';
import express from 'express';
import { openBus } from '../messages/open-bus.ts';
import { followClocks } from '../runtime/clock.ts';
import { readConfig } from '../runtime/config.ts';
import { openMongo, openRedis, writesTo } from '../runtime/databases/connections.ts';
import { armFailpoints } from '../runtime/failpoints.ts';
import { healthRoutes } from '../runtime/observe/health.ts';
import { openLog } from '../runtime/observe/log.ts';
import { metricsRoute, openMetrics, watchMongo, watchRedis } from '../runtime/observe/metrics.ts';
import { closeOnSignal } from '../runtime/shutdown.ts';
import { openCollections, prepareCollections } from '../store/collections.ts';
import { isPassingFault, openSubscribers, subscribersOf } from './subscribers.ts';

/**
 * Subscribers in a process of their own, away from the settling: `npm run subscriber -- analytics,webhooks`. The workers
 * are then started with SUBSCRIBERS naming the others, or none.
 */
const [names] = process.argv.slice(2);
const config = readConfig({ ...process.env, ...(names && { SUBSCRIBERS: names }) });
armFailpoints(config.FAILPOINTS);
const log = openLog(config, 'subscriber');

const { mongo, close: closeMongo } = openMongo(config, log);
const collections = openCollections(mongo);
mongo.on('connected', () => prepareCollections(collections).catch((error) => log.error(error, 'indexes')));
const { redis, close: closeRedis } = openRedis(config, log);
const bus = openBus(config, log, isPassingFault);
const subscribers = openSubscribers(subscribersOf(config), { collections, bus, redis }, config, log);

const dependencies = {
  mongodb: () => mongo.db?.admin().ping() ?? Promise.reject(),
  redis: writesTo(redis),
  subscriptions: () => subscribers.subscribed,
};
const registry = openMetrics();
watchMongo(mongo, registry);
watchRedis([redis], registry);
const clocks = followClocks({ redis, mongo, registry }, log);
let stopping = false;
// What is of the whole cluster, servers and workers tell.
const probes = [healthRoutes(dependencies, () => stopping), metricsRoute(registry, async () => {})];
const http = express()
  .use(...probes)
  .listen(config.PORT, config.HOST);
await once(http, 'listening');
await subscribers.subscribed;
log.info({ subscribers: subscribersOf(config) }, 'subscribed');

closeOnSignal(
  async () => {
    stopping = true;
    await subscribers.close();
    await bus.close();
    clocks.close();
    http.close();
    await Promise.all([closeRedis(), closeMongo()]);
  },
  log,
  config.STOP_DEADLINE_MS,
);
