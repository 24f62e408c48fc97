import { once } from 'node:events';
import { Emitter } from '@socket.io/redis-emitter';
import express from 'express';
import { STATES } from 'mongoose';
import { readCluster } from '../insight/figures.ts';
import { openBus } from '../messages/open-bus.ts';
import { countLag } from '../messages/subscriptions.ts';
import { followClocks, mongoClock } from '../runtime/clock.ts';
import { readConfig, warningsAbout } from '../runtime/config.ts';
import {
  isMongoAway,
  openMongo,
  openPatientRedis,
  openRedis,
  writesTo,
} from '../runtime/databases/connections.ts';
import { armFailpoints } from '../runtime/failpoints.ts';
import { openHeartbeat } from '../runtime/leader/heartbeat.ts';
import { openLeaderElection } from '../runtime/leader/leader.ts';
import { openMutex } from '../runtime/mutex.ts';
import { watchDependencies } from '../runtime/observe/availability.ts';
import { openClusterMetrics } from '../runtime/observe/cluster-metrics.ts';
import { healthRoutes } from '../runtime/observe/health.ts';
import { openLog } from '../runtime/observe/log.ts';
import { metricsRoute } from '../runtime/observe/metrics.ts';
import { closeOnSignal } from '../runtime/shutdown.ts';
import { singleFlight } from '../runtime/single-flight.ts';
import { openGate } from '../sale/admission/gate.ts';
import type { RoomStatus, SaleSnapshot } from '../sale/contract.ts';
import { openProvider } from '../sale/payment/open-provider.ts';
import { openPayments } from '../sale/payment/payments.ts';
import { openPurchaseQueue } from '../sale/queue/open-queue.ts';
import { openCancellations } from '../sale/settlement/cancellation.ts';
import { openOtherWriters } from '../sale/settlement/other-writers.ts';
import { openSettlement, settleMaxPurchases } from '../sale/settlement/settlement.ts';
import type { Settled } from '../sale/settlement/transaction.ts';
import { openCollections } from '../store/collections.ts';
import { prepareDatabase } from '../store/migrations/migrate.ts';
import { auditRegularly } from './audits.ts';
import { cancelCalledOffSales } from './called-off.ts';
import { openEndedOrders } from './ended-orders.ts';
import { repairGates } from './gate-repair.ts';
import { holdExpiry } from './hold-expiry.ts';
import { settleJob } from './job.ts';
import { openWorkerObserver } from './observer.ts';
import { settlePayments } from './payments.ts';
import { openPlacesTask } from './places.ts';
import { reconciler } from './reconciler.ts';
import { relay } from './relay.ts';
import { openRoomTask } from './room.ts';
import { saleClock } from './sale-clock.ts';
import { numberStaffLog } from './staff-log.ts';
import { isTransientFault, listIdle, openSubscribers, subscribersOf } from './subscribers.ts';

/** Lifetime of the leader's lease: a worker that does not renew it for this long is replaced. */
const leaseMs = 3_000;

/** How long accepted purchases wait for an unavailable MongoDB before the attempt counts as failed. */
const settlePatienceMs = 600_000;

const config = readConfig();
armFailpoints(config.FAILPOINTS);
const log = openLog(config, 'worker');
for (const warning of warningsAbout(process.env)) log.warn(warning);

const { mongo, close: closeMongo } = openMongo(config, log);
const collections = openCollections(mongo);

const { redis, close: closeRedis } = openRedis(config, log);
const stopping = new AbortController();
const prepare = singleFlight(() => prepareDatabase({ collections, redis, log }, stopping.signal));
mongo.on('connected', () => void prepare('database'));
// Announcements after a commit wait for Redis, because the reconciler would repeat them only after its interval.
const patient = openPatientRedis(config, log);
const gate = openGate(patient.redis);
// For the comparison of the gates, which fails at once while Redis is unavailable and is repeated later.
const impatientGate = openGate(redis);
const emitter = new Emitter(patient.redis);
const announceSettled = (settled: Settled) => emitter.serverSideEmit('settled', settled);
/** Of orders that were settled before. */
const announceChanged = (settled: Settled) => {
  observer.changed(settled.orders.map(({ order }) => order));
  return announceSettled(settled);
};
const announceRoom = (status: RoomStatus) => emitter.serverSideEmit('room', status);
const announceSale = (snapshot: SaleSnapshot) => emitter.serverSideEmit('changed', snapshot);

const observer = await openWorkerObserver({ config, log, mongo, redis: [redis, patient.redis] }, () =>
  election.isLeader(),
);
const { registry } = observer;
const clocks = followClocks({ redis, mongo, registry }, log);

const queue = openPurchaseQueue(config, redis, log, { consumes: true });
const heartbeat = openHeartbeat(redis, { role: 'worker', instance: config.INSTANCE }, queue.held);

const exclusive = openMutex();
const otherWriters = openOtherWriters(redis);
const announceEnded = openEndedOrders(
  { collections, gate, announceSettled: announceChanged, announceSale },
  log,
);
const cancellations = openCancellations(collections, announceEnded, otherWriters);
const { provider } = await openProvider(config, collections);
const payments =
  provider &&
  openPayments({
    collections,
    provider,
    announce: announceChanged,
    otherWriters,
    cancel: cancellations.cancel,
    stepMs: config.PAYMENT_STEP_MS,
    log,
  });
const settle = openSettlement({
  collections,
  maxPurchases: settleMaxPurchases,
  minIntervalMs: config.SETTLE_INTERVAL_MS,
  patienceMs: settlePatienceMs,
  isTransient: isMongoAway,
  stopping: stopping.signal,
  exclusive,
  otherWriters,
  async afterCommit(batch) {
    const { settled, settledPurchases } = batch;
    observer.settled(batch);
    try {
      announceSettled(settled);
      await gate.removeSettled(settledPurchases);
    } catch (error) {
      // The orders are committed, so pages find them when they poll, and the reconciler repeats these two steps.
      log.warn(
        { error: (error as Error).message, orders: settledPurchases.length },
        'orders settled, but announcing them failed',
      );
    }
  },
});

const bus = openBus(config, log, isTransientFault);
const subscribers = openSubscribers(subscribersOf(config), { collections, bus, redis }, config, log);

/** A leader needs MongoDB, and its clock: by its own it could expire holds early. */
const isFit = () => mongo.readyState === STATES.connected && mongoClock.aheadMs() !== null;

const election = openLeaderElection(
  { redis, name: 'lead', ttlMs: leaseMs, log, isFit },
  {
    settling: (signal) =>
      queue.process(config.SETTLE_MAX_JOBS, (data) => settleJob(data, queue, settle), signal),
    reconciler: reconciler({ collections, gate, queue, announceSettled }, config, observer.repaired),
    gates: repairGates(
      { collections, gate: impatientGate, redis, queue, exclusive, announceSale },
      log,
      observer.repaired,
    ),
    ...(payments && { payments: settlePayments(payments, config) }),
    'sale-clock': saleClock(collections, exclusive, config),
    'called-off': cancelCalledOffSales(collections, exclusive, announceEnded),
    audit: auditRegularly(redis, config, log),
    'hold-expiry': holdExpiry(collections, exclusive, announceEnded),
    places: openPlacesTask({ collections, gate, exclusive, announceSettled, announceSale, observer }, log),
    room: openRoomTask(
      { collections, gate: impatientGate, announceRoom },
      { answerSeconds: config.ROOM_ANSWER_SECONDS },
      log,
    ),
    'staff-log': numberStaffLog(collections),
    relay: relay(
      {
        collections,
        bus,
        // The relay starts after the subscriptions, because subscribers miss events that are published before.
        after: subscribers.subscribed,
        listIdle: () => listIdle(collections),
        published: observer.published,
      },
      config,
      log,
    ),
  },
);

const dependencies = {
  mongodb: () => mongo.db?.admin().ping() ?? Promise.reject(),
  redis: writesTo(redis),
  subscriptions: () => subscribers.subscribed,
  ...queue.dependencies,
};
const availability = watchDependencies(dependencies, registry);
const figures = { collections, redis, gate, queue, countLag: () => countLag(collections, bus) };
const refresh = openClusterMetrics(registry, () => readCluster(figures));
const probes = [healthRoutes(dependencies, () => stopping.signal.aborted), metricsRoute(registry, refresh)];
const http = express()
  .use(...probes)
  .listen(config.PORT, config.HOST);
await once(http, 'listening');
log.info({ address: http.address() }, 'worker started');

closeOnSignal(
  async () => {
    stopping.abort();
    await Promise.all([election.close(), subscribers.close()]);
    await payments?.drained();
    await cancellations.drained();
    await queue.close();
    await bus.close();
    clocks.close();
    availability.close();
    await heartbeat.close();
    await observer.close();
    http.close();
    await Promise.all([closeRedis(), patient.close(), closeMongo()]);
  },
  log,
  config.STOP_DEADLINE_MS,
);
