import { once } from 'node:events';
import { Emitter } from '@socket.io/redis-emitter';
import express from 'express';
import { openBus } from '../messages/open-bus.ts';
import { readConfig } from '../runtime/config.ts';
import { isMongoAway, openMongo, openPatientRedis, openRedis } from '../runtime/connections.ts';
import { armFailpoints } from '../runtime/failpoints.ts';
import { healthRoutes } from '../runtime/health.ts';
import { openHeartbeat } from '../runtime/heartbeat.ts';
import { openLog } from '../runtime/log.ts';
import { closeOnSignal } from '../runtime/shutdown.ts';
import { openCollections, prepareCollections } from '../sale/collections.ts';
import { openGate } from '../sale/gate.ts';
import { openPurchaseQueue } from '../sale/open-queue.ts';
import { openSettlement } from '../sale/settlement.ts';
import { openTally } from '../sale/tally.ts';
import type { Settled } from '../sale/transaction.ts';
import { settleJob } from './job.ts';
import { openReconciler } from './reconciler.ts';
import { openRelay } from './relay.ts';
import { openSaleClock } from './sale-clock.ts';
import { isPassingFault, openSubscribers, subscribersOf } from './subscribers.ts';

const config = readConfig();
armFailpoints(config.FAILPOINTS);
const log = openLog(config, 'worker');

const { mongo, close: closeMongo } = openMongo(config, log);
const collections = openCollections(mongo);
mongo.on('connected', () => prepareCollections(collections).catch((error) => log.error(error, 'indexes')));

const { redis, close: closeRedis } = openRedis(config, log);
// What follows a commit waits for Redis, rather than leave it to the reconciler.
const patient = openPatientRedis(config, log);
const gate = openGate(patient.redis);
const emitter = new Emitter(patient.redis);
const announceSettled = (settled: Settled) => emitter.serverSideEmit('settled', settled);

const tally = openTally(redis);
const queue = openPurchaseQueue(config, redis, log);
const heartbeat = openHeartbeat(redis, { role: 'worker', instance: config.INSTANCE }, queue.held);

const stopping = new AbortController();
const settle = openSettlement({
  collections,
  maxPurchases: config.SETTLE_MAX_PURCHASES,
  minIntervalMs: config.SETTLE_INTERVAL_MS,
  patienceMs: config.SETTLE_PATIENCE_SECONDS * 1_000,
  isPassing: isMongoAway,
  stopping: stopping.signal,
  async afterCommit({ settled, endings }) {
    tally.settled(settled);
    try {
      announceSettled(settled);
      await gate.end(endings);
    } catch (error) {
      // The orders are in MongoDB, where every page finds them when it asks; the reconciler does the rest.
      log.warn({ error: (error as Error).message, orders: endings.length }, 'settled, but not told');
    }
  },
});

queue.process(config.SETTLE_MAX_JOBS, (data) => settleJob(data, queue, settle));
const reconciler = openReconciler({ collections, gate, queue, announceSettled }, redis, config, log);

const bus = openBus(config, log, isPassingFault);
const followers = [
  openSaleClock(collections, redis, config, log),
  openRelay({ collections, bus, redis }, config, log),
  openSubscribers(subscribersOf(config), { collections, bus, redis }, config, log),
];

const dependencies = {
  mongodb: () => mongo.db?.admin().ping() ?? Promise.reject(),
  redis: () => redis.ping(),
  ...queue.dependencies,
};
const http = express().use(healthRoutes(dependencies)).listen(config.PORT, config.HOST);
await once(http, 'listening');
log.info({ address: http.address() }, 'working');

closeOnSignal(
  async () => {
    stopping.abort();
    await reconciler.close();
    await queue.close();
    await Promise.all(followers.map((follower) => follower.close()));
    await bus.close();
    await heartbeat.close();
    await tally.close();
    http.close();
    await Promise.all([closeRedis(), patient.close(), closeMongo()]);
  },
  log,
  config.STOP_DEADLINE_MS,
);
