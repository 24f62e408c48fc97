import { once } from 'node:events';
import { createServer } from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';
import { openAccountMails } from '../accounts/account-mail.ts';
import { openTokenSecrets } from '../accounts/one-time-token.ts';
import { openIdentityProvider, providerTokenMaxSeconds } from '../accounts/provider/provider.ts';
import { storeBacklog } from '../insight/counters.ts';
import { clusterFigures, readBacklog } from '../insight/figures.ts';
import { audienceOf } from '../insight/live-figures.ts';
import { openBus } from '../messages/open-bus.ts';
import { countLag } from '../messages/subscriptions.ts';
import { followClocks } from '../runtime/clock.ts';
import { readConfig, warningsAbout } from '../runtime/config.ts';
import {
  mastersCheckOf,
  openMongo,
  openPatientRedis,
  openRedis,
  warnOfFullCoverage,
  writesTo,
} from '../runtime/databases/connections.ts';
import { armFailpoints } from '../runtime/failpoints.ts';
import { openHeartbeat } from '../runtime/leader/heartbeat.ts';
import { watchDependencies } from '../runtime/observe/availability.ts';
import { openClusterMetrics } from '../runtime/observe/cluster-metrics.ts';
import { healthRoutes } from '../runtime/observe/health.ts';
import { openLog } from '../runtime/observe/log.ts';
import { metricsRoute } from '../runtime/observe/metrics.ts';
import { closeOnSignal, refuseToRun } from '../runtime/shutdown.ts';
import { singleFlight } from '../runtime/single-flight.ts';
import { withTimeout } from '../runtime/with-timeout.ts';
import { openDoor } from '../sale/access/door.ts';
import { admissionLimitsOf, openAdmission } from '../sale/admission/admission.ts';
import { openGate } from '../sale/admission/gate.ts';
import { openDemands } from '../sale/bots/demands.ts';
import { openNetworks } from '../sale/bots/networks.ts';
import { openPuzzles } from '../sale/bots/puzzles.ts';
import { openProvider } from '../sale/payment/open-provider.ts';
import { openPayments } from '../sale/payment/payments.ts';
import { beaconChain } from '../sale/places/beacon.ts';
import { openPlaces } from '../sale/places/places.ts';
import { openPurchaseQueue } from '../sale/queue/open-queue.ts';
import { openPasses } from '../sale/room/passes.ts';
import { openSitePasses } from '../sale/room/site-passes.ts';
import { findSale } from '../sale/sale.ts';
import { openSaleChanges } from '../sale/sale-change.ts';
import { openCancellations } from '../sale/settlement/cancellation.ts';
import { requeueLost } from '../sale/settlement/lost-purchases.ts';
import { openOtherWriters } from '../sale/settlement/other-writers.ts';
import type { Settled } from '../sale/settlement/transaction.ts';
import { openCollections } from '../store/collections.ts';
import { prepareDatabase } from '../store/migrations/migrate.ts';
import { createApp } from './app.ts';
import { openCaptcha } from './bots/captcha.ts';
import { answerInTime, uploadDeadlineMs } from './connections/deadline.ts';
import { deliverToSelf } from './connections/own-address.ts';
import { refuseNonRequests } from './connections/refusals.ts';
import { listenOnUnixSocket } from './connections/unix-socket.ts';
import { openTokens } from './http/identity/tokens.ts';
import { openAccountLimits } from './http/limits.ts';
import { ensureRequestId } from './http/request-id.ts';
import { openAnnouncements } from './live/announcements.ts';
import { openLive } from './live/live.ts';
import { followRevocations } from './live/revocations.ts';
import { openRooms } from './live/rooms.ts';
import { openSettledOrders } from './live/settled-orders.ts';
import { openServerObserver } from './observer.ts';
import { openProviderAccess } from './provider-access.ts';
import { openAudits } from './routes/admin/audits.ts';

const config = readConfig();
armFailpoints(config.FAILPOINTS);
const log = openLog(config, 'server');
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
const publisher = openPatientRedis(config, log);
const subscriber = openPatientRedis(config, log);
const queue = openPurchaseQueue(config, redis, log, { connect: openRedis });

const observer = await openServerObserver({ config, log, mongo, redis });
const { registry } = observer;
const clocks = followClocks({ redis, mongo, registry }, log);

const gate = openGate(redis, config.SHARDS);
// Until the first heartbeats are read.
gate.keepUnsharded(true);
const door = openDoor(collections, config.PERSON_ALIAS_DOMAINS);
const { admit, drained } = openAdmission({
  redis,
  gate,
  queue,
  findSale: (saleId) => findSale(collections, saleId),
  door,
  requeueLost: ({ orderId, saleId }) =>
    requeueLost({ collections, gate, queue }, gate.shardOf(saleId), [orderId]),
  limits: admissionLimitsOf(config),
  observer,
});

const identityProvider = config.OIDC_ISSUER
  ? openIdentityProvider({
      issuer: config.OIDC_ISSUER,
      name: config.OIDC_NAME || new URL(config.OIDC_ISSUER).hostname,
      audience: config.OIDC_AUDIENCE,
      jwksUri: config.OIDC_JWKS_URI,
      clientId: config.OIDC_CLIENT_ID,
      clientSecret: config.OIDC_CLIENT_SECRET,
      personClaim: config.OIDC_PERSON_CLAIM,
      rolesClaim: config.OIDC_ROLES_CLAIM,
      timeoutMs: config.OIDC_TIMEOUT_MS,
      intervalMs: config.OIDC_KEYS_INTERVAL_MS,
    })
  : null;
const tokenSecrets = openTokenSecrets(config.JWT_SECRET);
const revocableSeconds = Math.max(config.TOKEN_SECONDS, providerTokenMaxSeconds);
const tokens = openTokens(config.JWT_SECRET, config.TOKEN_SECONDS, revocableSeconds);
const bounds = {
  // More than nginx accepts, because nginx adds headers.
  maxHeaderSize: 32_768,
  headersTimeout: 10_000,
  // Longer than every deadline for an answer, so that connections/deadline.ts answers first.
  requestTimeout: Math.max(config.ANSWER_DEADLINE_MS, uploadDeadlineMs, 10_000) + 2_000,
  connectionsCheckingInterval: 1_000,
  // Longer than nginx keeps an idle connection, so that nginx never uses one that is being closed.
  keepAliveTimeout: 65_000,
};
// Created before the sockets, because socket.io takes over its own path and passes on all other requests.
const http = createServer(bounds, (request, response) => {
  // nginx reuses its connections without end, so a stopping server closes each one with its next answer.
  if (stopping.signal.aborted) response.setHeader('Connection', 'close');
  ensureRequestId(request);
  answerInTime(request, response, config);
  observer.request(request, response);
  app(request, response);
});
http.setTimeout(30_000);
refuseNonRequests(http);
const settledOrders = openSettledOrders({ gate, stopping: stopping.signal, ...config });
const rooms = openRooms(collections, gate);
const live = openLive(
  http,
  tokens,
  { publisher: publisher.redis, subscriber: subscriber.redis },
  config,
  settledOrders.addSettled,
  rooms.keep,
);
/** Of orders that were settled before. */
function announceChanged(settled: Settled): void {
  observer.changed(settled.orders.map(({ order }) => order));
  live.announceSettled(settled);
}
const announcements = openAnnouncements(
  { collections, gate, ...live, announceSettled: announceChanged },
  log,
);
const otherWriters = openOtherWriters(redis);
const cancellations = openCancellations(collections, announcements.cancelled, otherWriters);
const saleChanges = openSaleChanges(collections, announcements.changed, otherWriters);
const places = openPlaces(collections, announcements.changed, otherWriters);
const { provider, simulated } = await openProvider(config, collections, deliverToSelf(http));
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
const revocations = followRevocations(collections, live, revocableSeconds, log);
const dependencies = {
  mongodb: () => mongo.db?.admin().ping() ?? Promise.reject(),
  redis: writesTo(redis),
  ...queue.dependencies,
};
const availability = watchDependencies({ ...dependencies, ...mastersCheckOf(redis) }, registry);
const audits = openAudits(redis);
// Only for reading the consumer lag, because the workers publish and subscribe.
const bus = openBus(config, log, () => true);
const shop = {
  collections,
  admit,
  door,
  demandsOf: openDemands(gate, (saleId) => findSale(collections, saleId), observer.failedBefore),
  cancel: cancellations.cancel,
  changePlace: places.change,
  changeSale: saleChanges.change,
  payments,
  simulatedPayments: simulated,
  stripePublishableKey: config.STRIPE_PUBLISHABLE_KEY,
  gate,
  queue,
  redis,
  countLag: () => countLag(collections, bus),
  audits,
  maxRehearsalBuyers: config.REHEARSAL_MAX_BUYERS,
  availability,
  tokens,
  limits: openAccountLimits(redis, config),
  puzzles: openPuzzles(config.JWT_SECRET),
  difficultyBits: config.CHALLENGE_DIFFICULTY_BITS,
  captcha: openCaptcha(config, log),
  networks: openNetworks(redis, collections, config.SHARDS),
  rooms,
  passes: openPasses(config.JWT_SECRET),
  sitePasses: openSitePasses(collections, { keys: config.ROOM_PASS_KEYS, sites: config.ROOM_SITES }),
  roomPassSeconds: config.ROOM_PASS_SECONDS,
  mails: config.SMTP_URL ? openAccountMails(collections, tokenSecrets) : null,
  tokenSecrets,
  bcryptCost: config.BCRYPT_COST,
  takesPasswords: config.PASSWORD_ACCOUNTS === 'on',
  provider: config.OIDC_CLIENT_ID ? identityProvider : null,
  beaconChain: beaconChain(config.DRAND_CHAIN),
  publicUrl: config.PUBLIC_URL.replace(/\/$/, ''),
  log,
  aliasDomains: config.PERSON_ALIAS_DOMAINS,
  sessionSeconds: config.SESSION_SECONDS,
  allowedOrigins: config.ALLOWED_ORIGINS,
  settledOrders,
  onSessionReused: (userId: string) => log.warn({ userId }, 'a session ended: its token came twice'),
  ...live,
};
const heartbeat = openHeartbeat(
  redis,
  { role: 'server', instance: config.INSTANCE },
  live.count,
  async (beats) => {
    gate.keepUnsharded(beats.some(({ isSharded }) => !isSharded));
    live.updateAudience(audienceOf(beats));
    await storeBacklog(redis, await readBacklog(shop));
  },
);
observer.watchSockets(live);
const probes = [
  healthRoutes(dependencies, () => stopping.signal.aborted),
  metricsRoute(registry, openClusterMetrics(registry, clusterFigures(shop))),
];
const providerAccess =
  identityProvider && openProviderAccess(identityProvider, collections, tokens, config.PERSON_ALIAS_DOMAINS);
const app = createApp(shop, config, probes, log, providerAccess);
// Without Redis it listens all the same.
await withTimeout(heartbeat.started, config.FLUSH_DEADLINE_MS).catch(() => {});
http.listen({ port: config.PORT, host: config.HOST, backlog: 4_096 });
await once(http, 'listening');
const unixSocket = config.UNIX_SOCKET ? await listenOnUnixSocket(http, config.UNIX_SOCKET) : null;
log.info({ address: http.address() }, 'listening');

closeOnSignal(
  async () => {
    stopping.abort();
    await delay(config.DRAIN_NOTICE_MS);
    await Promise.all([unixSocket?.close(), live.close()]);
    await Promise.all([
      drained(),
      cancellations.drained(),
      saleChanges.drained(),
      places.drained(),
      payments?.drained(),
    ]);
    await revocations.close();
    availability.close();
    await heartbeat.close();
    await bus.close();
    await observer.close();
    clocks.close();
    await queue.close();
    await Promise.all([closeRedis(), publisher.close(), subscriber.close(), closeMongo()]);
  },
  log,
  config.STOP_DEADLINE_MS,
);
