import { once } from 'node:events';
import { Emitter } from '@socket.io/redis-emitter';
import express from 'express';
import { STATES } from 'mongoose';
import { clusterFigures } from '../insight/figures.ts';
import { openBus } from '../messages/open-bus.ts';
import { countLag } from '../messages/subscriptions.ts';
import { followClocks, mongoClock } from '../runtime/clock.ts';
import { readConfig, warningsAbout } from '../runtime/config.ts';
import {
  isMongoAway,
  mastersCheckOf,
  openMongo,
  openPatientRedis,
  openRedis,
  warnOfFullCoverage,
  writesTo,
} from '../runtime/databases/connections.ts';
import { armFailpoints } from '../runtime/failpoints.ts';
import { openHeartbeat } from '../runtime/leader/heartbeat.ts';
import { openLeaderElection } from '../runtime/leader/leader.ts';
import { openSharedLeases } from '../runtime/leader/shared-leases.ts';
import { type Exclusive, openMutex } from '../runtime/mutex.ts';
import { watchDependencies } from '../runtime/observe/availability.ts';
import { openClusterMetrics } from '../runtime/observe/cluster-metrics.ts';
import { healthRoutes } from '../runtime/observe/health.ts';
import { openLog } from '../runtime/observe/log.ts';
import { metricsRoute } from '../runtime/observe/metrics.ts';
import { closeOnSignal, refuseToRun } from '../runtime/shutdown.ts';
import { singleFlight } from '../runtime/single-flight.ts';
import { withTimeout } from '../runtime/with-timeout.ts';
import { openGate } from '../sale/admission/gate.ts';
import type { RoomStatus, SaleSnapshot } from '../sale/contract.ts';
import { openProvider } from '../sale/payment/open-provider.ts';
import { openPayments } from '../sale/payment/payments.ts';
import { beaconChain, openBeacon } from '../sale/places/beacon.ts';
import { openPurchaseQueue } from '../sale/queue/open-queue.ts';
import { openCancellations } from '../sale/settlement/cancellation.ts';
import { openOtherWriters } from '../sale/settlement/other-writers.ts';
import { openSettlement, settleMaxPurchases } from '../sale/settlement/settlement.ts';
import type { Settled } from '../sale/settlement/transaction.ts';
import type { Shard } from '../sale/shard.ts';
import { openCollections } from '../store/collections.ts';
import { prepareDatabase } from '../store/migrations/migrate.ts';
import { openEndedOrders } from './ended-orders.ts';
import { settleShard } from './job.ts';
import { openWorkerObserver } from './observer.ts';
import { isTransientFault, listIdle, openSubscribers, subscribersOf } from './subscribers.ts';
import { auditRegularly } from './tasks/audits.ts';
import { cancelCalledOffSales } from './tasks/called-off.ts';
import { repairGates } from './tasks/gate-repair.ts';
import { holdExpiry } from './tasks/hold-expiry.ts';
import { settlePayments } from './tasks/payments.ts';
import { openPlacesTask } from './tasks/places.ts';
import { reconciler } from './tasks/reconciler.ts';
import { rehearseOnRequest } from './tasks/rehearsals.ts';
import { relay } from './tasks/relay.ts';
import { openRoomTask } from './tasks/room.ts';
import { saleClock } from './tasks/sale-clock.ts';
import { numberStaffLog } from './tasks/staff-log.ts';

/** Lifetime of a lease: a worker that does not renew it for this long is replaced. */
const leaseMs = 3_000;
/** Shorter, because purchases wait for it, and a fencing token keeps a worker that is only slow from doing harm. */
const shardLeaseMs = 2_400;

/** For how long the others leave gaps when the leader writes. */
const leaderWritesMs = 500;

/** How long the jobs of a settled batch wait for its gates. */
const announcePatienceMs = 10_000;

/** How long accepted purchases wait for an unavailable MongoDB before the attempt counts as failed. */
const settlePatienceMs = 600_000;

const config = readConfig();
armFailpoints(config.FAILPOINTS);
const log = openLog(config, 'worker');
for (const warning of warningsAbout(process.env)) log.warn(warning);

const { mongo, close: closeMongo } = openMongo(config, log);
const collections = openCollections(mongo);

const { redis, close: closeRedis } = openRedis(config, log);
warnOfFullCoverage(redis, log);
const stopping = new AbortController();
const prepare = singleFlight(() =>
  prepareDatabase({ collections, redis, shards: config.SHARDS, log }, stopping.signal),
);
mongo.on('connected', () => void prepare('database').catch((error) => refuseToRun(error, log)));
// Announcements after a commit wait for Redis, because the reconciler would repeat them only after its interval.
const patient = openPatientRedis(config, log);
const gate = openGate(patient.redis, config.SHARDS);
// For what is repeated later, and fails at once while Redis, or one node of a cluster, is unavailable.
const impatientGate = openGate(redis, config.SHARDS);
// Until the first heartbeats are read.
for (const each of [gate, impatientGate]) each.keepUnsharded(true);
const emitter = new Emitter(patient.redis);
const announceSettled = (settled: Settled) => emitter.serverSideEmit('settled', settled);
/** Of orders that were settled before. */
const announceChanged = (settled: Settled) => {
  observer.changed(settled.orders.map(({ order }) => order));
  return announceSettled(settled);
};
const announceRoom = (status: RoomStatus) => emitter.serverSideEmit('room', status);
const announceSale = (snapshot: SaleSnapshot) => emitter.serverSideEmit('changed', snapshot);

const observer = await openWorkerObserver(
  { config, log, mongo, redis: [redis, patient.redis] },
  () => election.isLeader(),
  () => shardLeases.held().map((name) => shardByLease.get(name) as Shard),
);
const { registry } = observer;
const clocks = followClocks({ redis, mongo, registry }, log);

const queue = openPurchaseQueue(config, redis, log, { consumes: true });
const impatientQueue = openPurchaseQueue(config, redis, log, { connect: openRedis });
/** A leader needs MongoDB, and its clock: by its own it could expire holds early. */
const isFit = () => mongo.readyState === STATES.connected && mongoClock.aheadMs() !== null;

const heartbeat = openHeartbeat(
  redis,
  { role: 'worker', instance: config.INSTANCE },
  () => ({ ...queue.held(), ...(isFit() && { shards: shardLeases.held().length }) }),
  (beats) => {
    for (const each of [gate, impatientGate]) each.keepUnsharded(beats.some(({ isSharded }) => !isSharded));
    shardLeases.balance(beats.flatMap(({ shards }) => shards ?? []));
  },
);

const otherWriters = openOtherWriters(redis);
const settlingExclusive = openMutex();
/** Keeps this worker from settling meanwhile; the others leave gaps. */
const exclusive: Exclusive = (work) => {
  if (shardLeases.held().length < queue.shards.length) otherWriters.announce(leaderWritesMs);
  return settlingExclusive(work);
};
const announceEnded = openEndedOrders(
  { collections, gate: impatientGate, announceSettled: announceChanged, announceSale },
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
    changed: (payment) => observer.payment(payment),
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
  exclusive: settlingExclusive,
  otherWriters,
  async afterCommit(batch) {
    const { settled, settledPurchases } = batch;
    observer.settled(batch);
    try {
      announceSettled(settled);
      // The batch may be of several shards, of which one may be away for long.
      await withTimeout(gate.removeSettled(settledPurchases), announcePatienceMs);
    } catch (error) {
      // The orders are committed, so pages find them when they poll, and the reconciler repeats these two steps.
      log.warn(
        { error: (error as Error).message, orders: settledPurchases.length },
        'orders settled, but announcing them failed',
      );
    }
  },
});

const beacon = openBeacon(
  { url: config.DRAND_URL, chain: beaconChain(config.DRAND_CHAIN), retryMs: config.DRAND_RETRY_MS },
  log,
);
const bus = openBus(config, log, isTransientFault);
const subscribers = openSubscribers(subscribersOf(config), { collections, bus, redis }, config, log);

/** The lease of each shard. */
const shardByLease = new Map(queue.shards.map((shard) => [`shard-${shard}`, shard]));
const shardLeases = openSharedLeases(
  { redis, names: [...shardByLease.keys()], ttlMs: shardLeaseMs, log, isFit },
  (name, signal, taken) =>
    settleShard(
      { collections, gate, queue, settle },
      shardByLease.get(name) as Shard,
      config.SETTLE_MAX_JOBS,
      {
        signal,
        taken,
      },
    ),
);

const election = openLeaderElection(
  { redis, name: 'lead', ttlMs: leaseMs, log, isFit },
  {
    reconciler: reconciler(
      { collections, gate: impatientGate, queue: impatientQueue, announceSettled },
      config,
      log,
      observer.repaired,
    ),
    gates: repairGates(
      { collections, gate: impatientGate, redis, queue: impatientQueue, exclusive, announceSale },
      log,
      observer.repaired,
    ),
    ...(payments && { payments: settlePayments(payments, config) }),
    'sale-clock': saleClock(collections, exclusive, config),
    'called-off': cancelCalledOffSales(collections, exclusive, announceEnded),
    audit: auditRegularly(redis, config, log),
    rehearsals: rehearseOnRequest({ redis, collections, gate }, config, log),
    'hold-expiry': holdExpiry(collections, exclusive, { paid: announceChanged, expired: announceEnded }),
    places: openPlacesTask(
      { collections, gate: impatientGate, exclusive, announceSettled, announceSale, observer, beacon },
      log,
    ),
    room: openRoomTask(
      { collections, gate: impatientGate, announceRoom },
      { answerSeconds: config.ROOM_ANSWER_SECONDS, hasMails: config.SMTP_URL !== '' },
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
const availability = watchDependencies({ ...dependencies, ...mastersCheckOf(redis) }, registry);
const figures = {
  collections,
  redis,
  gate: impatientGate,
  queue: impatientQueue,
  countLag: () => countLag(collections, bus),
};
const refresh = openClusterMetrics(registry, clusterFigures(figures));
const probes = [healthRoutes(dependencies, () => stopping.signal.aborted), metricsRoute(registry, refresh)];
const http = express()
  .use(...probes)
  .listen(config.PORT, config.HOST);
await once(http, 'listening');
log.info({ address: http.address() }, 'worker started');

closeOnSignal(
  async () => {
    stopping.abort();
    await Promise.all([shardLeases.close(), election.close(), subscribers.close()]);
    await payments?.drained();
    await cancellations.drained();
    await Promise.all([queue.close(), impatientQueue.close()]);
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
