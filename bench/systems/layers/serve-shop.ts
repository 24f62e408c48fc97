import type { Redis } from 'ioredis';
import { openTokenSecrets } from '../../../accounts/one-time-token.ts';
import { type Config, readConfig } from '../../../runtime/config.ts';
import { openMongo, openPatientRedis } from '../../../runtime/databases/connections.ts';
import { healthRoutes } from '../../../runtime/observe/health.ts';
import { openLog } from '../../../runtime/observe/log.ts';
import { openDoor } from '../../../sale/access/door.ts';
import type { Admit } from '../../../sale/admission/admission.ts';
import { type Gate, openGate } from '../../../sale/admission/gate.ts';
import { openNetworks } from '../../../sale/bots/networks.ts';
import { openPuzzles } from '../../../sale/bots/puzzles.ts';
import { beaconChain } from '../../../sale/places/beacon.ts';
import { openPurchaseQueue } from '../../../sale/queue/open-queue.ts';
import type { PurchaseQueue } from '../../../sale/queue/queue.ts';
import { openPasses } from '../../../sale/room/passes.ts';
import { openSitePasses } from '../../../sale/room/site-passes.ts';
import { createApp } from '../../../server/app.ts';
import { openTokens } from '../../../server/http/identity/tokens.ts';
import { openAccountLimits } from '../../../server/http/limits.ts';
import { openSettledOrders } from '../../../server/live/settled-orders.ts';
import { openAudits } from '../../../server/routes/admin/audits.ts';
import type { Shop } from '../../../server/shop.ts';
import { type Collections, openCollections } from '../../../store/collections.ts';
import { serve } from './serve.ts';

interface Parts {
  config: Config;
  redis: Redis;
  collections: Collections;
  gate: Gate;
  queue: PurchaseQueue;
}

/** Serves Stampede's app with the admission of one layer, and broadcasts nothing. */
export async function serveShop(admission: (parts: Parts) => Admit): Promise<void> {
  const config = readConfig();
  const log = openLog(config, 'layer');
  const { redis } = openPatientRedis(config, log);
  const collections = openCollections(openMongo(config, log).mongo);
  const gate = openGate(redis, config.SHARDS);
  const queue = openPurchaseQueue(config, redis, log);
  const shop: Shop = {
    collections,
    door: openDoor(collections, []),
    demandsOf: () => null,
    admit: admission({ config, redis, collections, gate, queue }),
    cancel: async () => ({ answer: null, isAnnounced: true }),
    changeSale: async () => 'unknown_sale',
    changePlace: async () => 'unknown_sale',
    payments: null,
    simulatedPayments: null,
    stripePublishableKey: '',
    gate,
    queue,
    redis,
    countLag: async () => ({}),
    audits: openAudits(redis),
    maxRehearsalBuyers: 0,
    availability: { away: () => [], isAway: () => false, close() {} },
    tokens: openTokens(config.JWT_SECRET, config.TOKEN_SECONDS),
    limits: openAccountLimits(redis, config),
    puzzles: openPuzzles(config.JWT_SECRET),
    difficultyBits: config.CHALLENGE_DIFFICULTY_BITS,
    captcha: null,
    networks: openNetworks(redis, collections, config.SHARDS),
    rooms: { keep() {}, read: async () => null },
    passes: openPasses(config.JWT_SECRET),
    sitePasses: openSitePasses(collections, { keys: '', sites: [] }),
    roomPassSeconds: config.ROOM_PASS_SECONDS,
    bcryptCost: config.BCRYPT_COST,
    takesPasswords: true,
    beaconChain: beaconChain(''),
    sessionSeconds: config.SESSION_SECONDS,
    allowedOrigins: config.ALLOWED_ORIGINS,
    settledOrders: openSettledOrders({ gate, stopping: new AbortController().signal, ...config }),
    mails: null,
    provider: null,
    publicUrl: '',
    log,
    aliasDomains: [],
    tokenSecrets: openTokenSecrets(config.JWT_SECRET),
    revokeTokens() {},
    onSessionReused() {},
    announceSale() {},
    announceSettled() {},
  };
  await serve(createApp(shop, config, [healthRoutes({})], log));
}
