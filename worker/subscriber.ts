import { once } from 'node:events';
import express from 'express';
import { openBus } from '../messages/open-bus.ts';
import { followClocks } from '../runtime/clock.ts';
import { readConfig, warningsAbout } from '../runtime/config.ts';
import { openMongo, openRedis, writesTo } from '../runtime/databases/connections.ts';
import { armFailpoints } from '../runtime/failpoints.ts';
import { healthRoutes } from '../runtime/observe/health.ts';
import { openLog } from '../runtime/observe/log.ts';
import { metricsRoute, openMetrics } from '../runtime/observe/metrics.ts';
import { closeOnSignal } from '../runtime/shutdown.ts';
import { openCollections, prepareCollections } from '../store/collections.ts';
import { isTransientFault, openSubscribers, subscribersOf } from './subscribers.ts';

/**
 * Runs subscribers in a process of their own, so that they do not compete with settling:
 * `npm run subscriber -- analytics,webhooks`. SUBSCRIBERS of the workers then names the remaining ones, or none.
 */
const [names] = process.argv.slice(2);
const config = readConfig({ ...process.env, ...(names && { SUBSCRIBERS: names }) });
armFailpoints(config.FAILPOINTS);
const log = openLog(config, 'subscriber');
for (const warning of warningsAbout(process.env)) log.warn(warning);

const { mongo, close: closeMongo } = openMongo(config, log);
const collections = openCollections(mongo);
mongo.on('connected', () =>
  prepareCollections(collections).catch((error) => log.error(error, 'creating indexes failed')),
);
const { redis, close: closeRedis } = openRedis(config, log);
const bus = openBus(config, log, isTransientFault);
const subscribers = openSubscribers(subscribersOf(config), { collections, bus, redis }, config, log);

const dependencies = {
  mongodb: () => mongo.db?.admin().ping() ?? Promise.reject(),
  redis: writesTo(redis),
  subscriptions: () => subscribers.subscribed,
};
const registry = openMetrics({ mongo, redis: [redis] });
const clocks = followClocks({ redis, mongo, registry }, log);
let stopping = false;
// Servers and workers export the metrics of the whole cluster, so this process has nothing to refresh.
const probes = [healthRoutes(dependencies, () => stopping), metricsRoute(registry, async () => {})];
const http = express()
  .use(...probes)
  .listen(config.PORT, config.HOST);
await once(http, 'listening');
await subscribers.subscribed;
log.info({ subscribers: subscribersOf(config) }, 'subscriber process started');

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
