import { once } from 'node:events';
import { createServer } from 'node:http';
import { readConfig } from '../runtime/config.ts';
import { openMongo, openPatientRedis, openRedis } from '../runtime/connections.ts';
import { armFailpoints } from '../runtime/failpoints.ts';
import { openLog } from '../runtime/log.ts';
import { closeOnSignal } from '../runtime/shutdown.ts';
import { openAdmission } from '../sale/admission.ts';
import { openCollections, prepareCollections } from '../sale/collections.ts';
import { openGate } from '../sale/gate.ts';
import { openPurchaseQueue } from '../sale/queue.ts';
import { findSale } from '../sale/sale.ts';
import { createApp } from './app.ts';
import { openTokens } from './auth.ts';
import { openLive } from './live.ts';

const config = readConfig();
armFailpoints(config.FAILPOINTS);
const log = openLog(config, 'server');

const { mongo, close: closeMongo } = openMongo(config, log);
const collections = openCollections(mongo);
mongo.on('connected', () => prepareCollections(collections).catch((error) => log.error(error, 'indexes')));

const { redis, close: closeRedis } = openRedis(config, log);
const publisher = openPatientRedis(config, log);
const subscriber = openPatientRedis(config, log);
const bullClient = openPatientRedis(config, log);
const queue = openPurchaseQueue(() => bullClient.redis, { lockMs: config.JOB_LOCK_MS });

const gate = openGate(redis);
const { admit, drained } = openAdmission({
  redis,
  gate,
  queue,
  findSale: (saleId) => findSale(collections, saleId),
  limits: {
    flushMaxPurchases: config.FLUSH_MAX_PURCHASES,
    flushMaxWaiting: config.FLUSH_MAX_WAITING,
    queueMaxPurchases: config.QUEUE_MAX_PURCHASES,
    memorySeconds: config.PURCHASE_MEMORY_SECONDS,
  },
});

const tokens = openTokens(config.JWT_SECRET, config.TOKEN_SECONDS);
// Before the sockets, which keep their own path to themselves and pass on the rest.
let stopping = false;
const http = createServer((request, response) => {
  // nginx keeps its connections busy for ever: a stopping server lets go of each with its next answer.
  if (stopping) response.setHeader('Connection', 'close');
  app(request, response);
});
const live = openLive(http, tokens, { publisher: publisher.redis, subscriber: subscriber.redis }, config);
const shop = { collections, admit, gate, queue, tokens, bcryptCost: config.BCRYPT_COST, ...live };
const dependencies = {
  mongodb: () => mongo.db?.admin().ping() ?? Promise.reject(),
  redis: () => redis.ping(),
};
const app = createApp(shop, config, dependencies, log);
http.listen(config.PORT, config.HOST);
await once(http, 'listening');
log.info({ address: http.address() }, 'listening');

closeOnSignal(
  async () => {
    stopping = true;
    await live.close();
    await drained();
    await queue.close();
    await Promise.all([
      closeRedis(),
      publisher.close(),
      subscriber.close(),
      bullClient.close(),
      closeMongo(),
    ]);
  },
  log,
  config.STOP_DEADLINE_MS,
);
