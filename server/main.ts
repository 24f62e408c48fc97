import { once } from 'node:events';
import { createServer } from 'node:http';
import { readConfig } from '../runtime/config.ts';
import { openMongo, openPatientRedis, openRedis } from '../runtime/connections.ts';
import { armFailpoints } from '../runtime/failpoints.ts';
import { openHeartbeat } from '../runtime/heartbeat.ts';
import { openLog } from '../runtime/log.ts';
import { closeOnSignal } from '../runtime/shutdown.ts';
import { openAdmission } from '../sale/admission.ts';
import { openCollections, prepareCollections } from '../sale/collections.ts';
import { openGate } from '../sale/gate.ts';
import { openPurchaseQueue } from '../sale/open-queue.ts';
import { findSale } from '../sale/sale.ts';
import { countAnswers, noteQueue, openTally } from '../sale/tally.ts';
import { createApp } from './app.ts';
import { openAudits } from './audits.ts';
import { openTokens } from './auth.ts';
import { openChallenges } from './challenge.ts';
import { peopleOf } from './control-room.ts';
import { openAccountLimits } from './limits.ts';
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
const queue = openPurchaseQueue(config, redis, log);

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

const tally = openTally(redis);
const tokens = openTokens(config.JWT_SECRET, config.TOKEN_SECONDS, config.VISITOR_TOKEN_SECONDS);
// Before the sockets, which keep their own path to themselves and pass on the rest.
let stopping = false;
const http = createServer((request, response) => {
  // nginx keeps its connections busy for ever: a stopping server lets go of each with its next answer.
  if (stopping) response.setHeader('Connection', 'close');
  app(request, response);
});
const live = openLive(http, tokens, { publisher: publisher.redis, subscriber: subscriber.redis }, config);
const audits = openAudits({ collections, gate, queue, redis }, log);
const shop = {
  collections,
  admit: countAnswers(admit, tally),
  gate,
  queue,
  redis,
  audits,
  tokens,
  limits: openAccountLimits(redis, config),
  challenges: openChallenges(config.JWT_SECRET, config.CHALLENGE_DIFFICULTY_BITS),
  bcryptCost: config.BCRYPT_COST,
  sessionSeconds: config.SESSION_SECONDS,
  allowedOrigins: config.ALLOWED_ORIGINS,
  onSessionReused: (userId: string) => log.warn({ userId }, 'a session ended: its token came twice'),
  ...live,
};
const heartbeat = openHeartbeat(
  redis,
  { role: 'server', instance: config.INSTANCE },
  live.count,
  async (beats) => {
    live.tellCrowd(peopleOf(beats));
    await noteQueue(redis, gate);
  },
);
const dependencies = {
  mongodb: () => mongo.db?.admin().ping() ?? Promise.reject(),
  redis: () => redis.ping(),
  ...queue.dependencies,
};
const app = createApp(shop, config, dependencies, log);
// Longer than nginx keeps one: see nginx.conf.
http.keepAliveTimeout = 65_000;
http.listen({ port: config.PORT, host: config.HOST, backlog: 4_096 });
await once(http, 'listening');
log.info({ address: http.address() }, 'listening');

closeOnSignal(
  async () => {
    stopping = true;
    await live.close();
    await drained();
    await heartbeat.close();
    await tally.close();
    await queue.close();
    await Promise.all([closeRedis(), publisher.close(), subscriber.close(), closeMongo()]);
  },
  log,
  config.STOP_DEADLINE_MS,
);
