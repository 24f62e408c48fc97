import ipaddr from 'ipaddr.js';
import { z } from 'zod';
import { expectedUrls, isMongoUrl, isRabbitUrl, isRedisUrl } from './databases/urls.ts';
import { faultOfKeys, readSigningKeys } from './signing-keys.ts';

const isTimeZone = (name: string) =>
  /^[A-Z]/i.test(name) && isAccepted(() => Intl.DateTimeFormat('en', { timeZone: name }));
const isRange = (text: string) => ipaddr.isValid(text) || ipaddr.isValidCIDR(text);
const isLocale = (tag: string) => isAccepted(() => Intl.NumberFormat.supportedLocalesOf(tag)[0]);

/** Whether it is the address of a site in front of which a waiting room can stand. */
export function isSite(address: string): boolean {
  if (!URL.canParse(address)) return false;
  const { protocol, username, password, search, hash } = new URL(address);
  return /^https?:$/.test(protocol) && !(username || password || search || hash);
}

function isAccepted(make: () => unknown): boolean {
  try {
    return make() !== undefined;
  } catch {
    return false;
  }
}

/**
 * Every setting, with its unit in its name. Servers, workers and commands read the environment only here; the rest of the
 * code receives a frozen `Config`. The settings of `npm start` are in ops/local/start.mjs.
 */
const settings = z
  .object({
    NODE_ENV: z.string().default('development'),
    LOG_LEVEL: z.enum(['fatal', 'error', 'warn', 'info', 'debug', 'silent']).default('info'),
    /** Maximum number of log lines about single purchases per process and second; lines left out are counted. */
    LOG_PURCHASES_PER_SECOND: z.coerce.number().int().min(0).max(10_000).default(20),

    HOST: z.string().default('127.0.0.1'),
    PORT: z.coerce.number().int().min(0).max(65_535).default(8080),
    /** Path of a Unix socket for a proxy on this machine; empty for none. */
    UNIX_SOCKET: z.string().max(100).default(''),
    /** Number of proxies in front whose X-Forwarded-For is trusted. */
    TRUST_PROXY_HOPS: z.coerce.number().int().min(0).max(10).default(0),
    /** Proxies that are trusted wherever they stand in front, e.g. those of a CDN: addresses and ranges, separated by commas. */
    TRUSTED_PROXIES: z
      .string()
      .default('')
      .transform((list) => list.split(',').filter(Boolean))
      .refine((ranges) => ranges.every(isRange), 'expected addresses or ranges, e.g. 192.0.2.0/24'),
    /** Other origins whose pages may use sockets, sessions and what the API offers buyers (CORS), separated by commas. */
    ALLOWED_ORIGINS: z
      .string()
      .default('')
      .transform((list) => list.split(',').filter(Boolean)),
    /**
     * Pages of other sites to which waiting rooms that sell something here send people back: addresses or their beginnings, separated by
     * commas, e.g. `https://shop.example.com/drop`. A sale may have a site of its own instead. See docs/WAITING-ROOM.md.
     */
    ROOM_SITES: z
      .string()
      .default('')
      .transform((list) => list.split(',').filter(Boolean))
      .refine(
        (sites) => sites.every(isSite),
        'expected http(s) addresses without a query, e.g. https://shop.example.com/',
      ),
    /**
     * Keys of the passes into other sites, `kid:secret,kid:secret`, of which the first one signs. The site of a sale gets keys that
     * follow from these; the sites above have these keys and no others. To rotate, add the new one at the sites, then put it in front
     * here, and remove the old one at the sites an hour later.
     */
    ROOM_PASS_KEYS: z.string().default(''),
    /** For how long a pass into a sale with a waiting room, or into one of these sites, lets its person in. */
    ROOM_PASS_SECONDS: z.coerce.number().int().min(1).max(3_600).default(180),
    /** Name of the instance in the `X-Instance` header and in the log. */
    INSTANCE: z.string().max(64).default('1'),

    /** One host or several, or `mongodb+srv://`. */
    MONGO_URL: z.string().refine(isMongoUrl, expectedUrls.mongo),
    /** One host, or Sentinels with the name of their master: `redis+sentinel://host:26379,host:26379/name`. */
    REDIS_URL: z.string().refine(isRedisUrl, expectedUrls.redis),
    /** One or several members of a cluster. Required when PURCHASE_QUEUE or EVENT_BUS is `rabbitmq`. */
    RABBITMQ_URL: z.string().refine(isRabbitUrl, expectedUrls.rabbit).optional(),
    /** Queue of admitted purchases. `bull`: in Redis, written by the flush; `rabbitmq`: published after the flush. */
    PURCHASE_QUEUE: z.enum(['bull', 'rabbitmq']).default('bull'),
    MONGO_POOL_CONNECTIONS: z.coerce.number().int().min(1).max(500).default(20),
    /** How long an operation waits for an unavailable MongoDB before the answer is 503. */
    MONGO_WAIT_MS: z.coerce.number().int().min(100).default(2_000),

    /**
     * Secret of the tokens, of at least 32 characters, or a list `kid:secret,kid:secret` of which the first one signs and all
     * verify. To rotate it, put the new secret in front, and remove the old one when its tokens have expired.
     */
    JWT_SECRET: z.string(),
    /** Lifetime of an access token; a page renews it with its session. */
    TOKEN_SECONDS: z.coerce
      .number()
      .int()
      .min(1)
      .default(15 * 60),
    /** Time from a sign-in until the password is required again. */
    SESSION_SECONDS: z.coerce
      .number()
      .int()
      .min(1)
      .default(30 * 86_400),
    /**
     * Domains, separated by commas, at which addresses that differ only in a `+tag` or in dots before the @ are one person
     * with one limit, e.g. `gmail.com,googlemail.com`; `all` for every domain. They stay different accounts.
     */
    PERSON_ALIAS_DOMAINS: z
      .string()
      .regex(/^(all|([a-z0-9-]+(\.[a-z0-9-]+)+)(,([a-z0-9-]+(\.[a-z0-9-]+)+))*)?$/, {
        error: 'expected `all`, or domains in lower case, separated by commas',
      })
      .default('')
      .transform((list) => (list === 'all' ? ('all' as const) : list.split(',').filter(Boolean))),
    BCRYPT_COST: z.coerce.number().int().min(4).max(15).default(10),

    /**
     * Identity provider of the shop (OpenID Connect), e.g. `https://id.example.com/realms/shop`; empty for none. Its access
     * tokens for OIDC_AUDIENCE are valid for the API, and with OIDC_CLIENT_ID the pages offer to sign in there.
     */
    OIDC_ISSUER: z
      .url({ protocol: /^https?$/ })
      .or(z.literal(''))
      .default(''),
    OIDC_AUDIENCE: z.string().max(255).default(''),
    /** Where the provider's keys are; by default where its description says. */
    OIDC_JWKS_URI: z
      .url({ protocol: /^https?$/ })
      .or(z.literal(''))
      .default(''),
    OIDC_CLIENT_ID: z.string().max(255).default(''),
    /** Empty for a public client; PKCE is used with and without it. */
    OIDC_CLIENT_SECRET: z.string().max(1_000).default(''),
    /** Name of the provider on the button of the sign-in; by default its host. */
    OIDC_NAME: z.string().max(60).default(''),
    /** `off`: nobody signs up or in with a password, only at the identity provider. */
    PASSWORD_ACCOUNTS: z.enum(['on', 'off']).default('on'),
    /** Claim that names the person whose limits count. Several accounts of the provider can be one person. */
    OIDC_PERSON_CLAIM: z.string().min(1).max(255).default('sub'),
    /** Claim with the role of staff, one or a list, by the names of the roles here; empty: tokens make nobody staff. */
    OIDC_ROLES_CLAIM: z.string().max(255).default(''),

    /** A server of drand, which has the public random numbers of draws. It need not be trusted, because each is signed. */
    DRAND_URL: z.url({ protocol: /^https?$/ }).default('https://api.drand.sh'),

    /** Factor of every rate limit, for a load test from one address; 0 turns all of them off. */
    LIMIT_FACTOR: z.coerce.number().min(0).default(1),
    /** Limits by address are generous, because an address may be a whole office behind one router. */
    SIGN_INS_PER_ADDRESS_PER_MINUTE: z.coerce.number().int().min(1).default(300),
    SIGN_UPS_PER_ADDRESS_PER_MINUTE: z.coerce.number().int().min(1).default(600),
    /** This limit and the following ones are counted by each instance separately. */
    PURCHASES_PER_ACCOUNT_PER_MINUTE: z.coerce.number().int().min(1).default(300),
    REQUESTS_PER_ADDRESS_PER_MINUTE: z.coerce.number().int().min(1).default(60_000),
    REQUESTS_PER_API_KEY_PER_MINUTE: z.coerce.number().int().min(1).default(1_200),
    SOCKETS_PER_ADDRESS: z.coerce.number().int().min(1).default(20_000),

    /**
     * Proof of work for a sign-up and for a purchase in every sale; each bit doubles the work. 0 requires none but what a sale
     * demands itself.
     */
    CHALLENGE_DIFFICULTY_BITS: z.coerce.number().int().min(0).max(24).default(0),
    /** Captcha for sign-ups, and for places in sales that demand one: see server/bots/captcha.ts. */
    CAPTCHA_PROVIDER: z.enum(['none', 'turnstile', 'hcaptcha']).default('none'),
    CAPTCHA_SITE_KEY: z.string().max(200).default(''),
    CAPTCHA_SECRET: z.string().max(200).default(''),
    CAPTCHA_SIGN_UPS: z.enum(['on', 'off']).default('off'),
    /** While the provider does not answer: `refuse` with 503, or let people in with a `proof-of-work` alone. */
    CAPTCHA_WHEN_AWAY: z.enum(['refuse', 'proof-of-work']).default('refuse'),
    /** Another server that speaks the provider's API, for tests. */
    CAPTCHA_VERIFY_URL: z
      .url({ protocol: /^https?$/ })
      .or(z.literal(''))
      .default(''),

    /** Deadline after which a request is answered 408 or 503. It is below the proxy's time-out of 15 s in nginx.conf. */
    ANSWER_DEADLINE_MS: z.coerce.number().int().min(100).max(14_000).default(12_000),

    /** Deadline for Redis to acknowledge a flush, after which its purchases are answered 503. */
    FLUSH_DEADLINE_MS: z.coerce.number().int().min(50).default(2_000),
    /**
     * How many replicas of Redis must have a purchase before it is answered 202, so that a failover loses none; without so many
     * of them purchases are answered 503. 0 does not wait. Redis Cluster has no such wait.
     */
    REDIS_WAIT_REPLICAS: z.coerce.number().int().min(0).max(5).default(0),
    /** How long Redis stores a purchase, for its Idempotency-Key and while it is queued. */
    PURCHASE_MEMORY_SECONDS: z.coerce.number().int().min(60).default(86_400),

    /**
     * Over how many shards the sales are spread: each has its own slot of Redis Cluster and its own queue. It is the same for all
     * processes and stays what it was when the database was made.
     */
    SHARDS: z.coerce.number().int().min(1).max(64).default(16),

    /** Maximum number of unsettled purchases over all instances; further ones are answered 503. */
    QUEUE_MAX_PURCHASES: z.coerce.number().int().min(1).default(250_000),

    /**
     * Minimum time between the starts of two settling transactions, unless the next one is full. A transaction costs about
     * 5 ms of CPU, and one client's order waits for the interval: 14 ms until paid with 10, 50 ms with 50.
     */
    SETTLE_INTERVAL_MS: z.coerce.number().int().min(0).max(1_000).default(10),

    /** Engine that delivers the events of the log to their subscribers: see docs/MESSAGING.md. */
    EVENT_BUS: z.enum(['bull', 'rabbitmq']).default('bull'),
    /**
     * Subscribers that the worker runs, separated by commas; `none` for none. `auto` (null here) runs analytics, webhooks, and
     * notifications if SMTP_URL is set.
     */
    SUBSCRIBERS: z
      .string()
      .default('auto')
      .transform((list) => (list === 'auto' ? null : list.split(',').filter((name) => name !== 'none')))
      .pipe(z.array(z.enum(['analytics', 'notifications', 'webhooks'])).nullable()),

    /**
     * Mail server, e.g. `smtps://user:password@mail.example.com`, for servers and workers; without it no mail is sent, and
     * nobody can verify an address or replace a forgotten password.
     */
    SMTP_URL: z
      .url({ protocol: /^smtps?$/ })
      .or(z.literal(''))
      .default(''),
    MAIL_FROM: z.string().max(320).default('Stampede <orders@localhost>'),
    /** Name of the shop in mails. */
    SHOP_NAME: z.string().min(1).max(100).default('Stampede'),
    /** Time zone of the shop, in which the control room reads typed times, and in which all pages show times. */
    SHOP_TIME_ZONE: z
      .string()
      .refine(isTimeZone, 'expected the name of a time zone, e.g. Europe/Berlin')
      .default('UTC'),
    /** Locale in which the control room reads and shows money and numbers, e.g. `de-CH`. */
    SHOP_LOCALE: z.string().refine(isLocale, 'expected a language tag, e.g. de-CH').default('en'),
    /** Address of the shop in mails. */
    PUBLIC_URL: z.url({ protocol: /^https?$/ }).default('http://localhost:8080'),

    /** Whether webhooks may be sent to private addresses (SSRF); `auto` allows it except in production. */
    WEBHOOK_PRIVATE_ADDRESSES: z.enum(['auto', 'allowed', 'refused']).default('auto'),

    /**
     * Who takes the money of sales with a payment window. `auto`: the simulated provider, and in production `none`, which is
     * for shops without such sales. `external`: the shop's own checkout.
     */
    PAYMENT_PROVIDER: z.enum(['auto', 'none', 'simulated', 'stripe', 'external']).default('auto'),
    STRIPE_SECRET_KEY: z.string().default(''),
    /** Stripe's key for pages. */
    STRIPE_PUBLISHABLE_KEY: z.string().default(''),
    /** The signing secret of the webhook endpoint; two, separated by a comma, while one replaces the other. */
    STRIPE_WEBHOOK_SECRETS: z
      .string()
      .default('')
      .transform((list) => list.split(',').filter(Boolean)),
    /** Another server that speaks Stripe's API, for tests. */
    STRIPE_API_URL: z
      .url({ protocol: /^https?$/ })
      .or(z.literal(''))
      .default(''),
    /** Where the page of a held order sends its buyer, with `{orderId}` in it. */
    EXTERNAL_CHECKOUT_URL: z.string().max(2_000).default(''),

    /** Maximum number of buyers in a rehearsal; 0 allows none. */
    REHEARSAL_MAX_BUYERS: z.coerce.number().int().min(0).max(100_000).default(5_000),
    /** Where the buyers of a rehearsal go, if PUBLIC_URL cannot be reached from the workers. */
    REHEARSAL_URL: z
      .url({ protocol: /^https?$/ })
      .or(z.literal(''))
      .default(''),

    /** Collector that receives spans of purchases as OTLP over HTTP, e.g. `http://collector:4318`; without it none are sent. */
    OTEL_EXPORTER_OTLP_ENDPOINT: z
      .url({ protocol: /^https?$/ })
      .or(z.literal(''))
      .default(''),
    /** Share of traces that is sent, from 0 to 1. */
    OTEL_TRACES_SAMPLER_ARG: z.coerce.number().min(0).max(1).default(1),

    /** Deadline of a graceful stop, after which the process exits at once. */
    STOP_DEADLINE_MS: z.coerce.number().int().min(100).default(10_000),
    /**
     * How long a stopping server keeps listening while `/readyz` is 503, for load balancers that check it. nginx needs no
     * notice, because it tries another instance.
     */
    DRAIN_NOTICE_MS: z.coerce.number().int().min(0).default(0),

    /** Folder in which nginx counts the answers it made itself; empty for none. See runtime/observe/proxy-answers.ts. */
    PROXY_ANSWERS_DIR: z.string().default(''),

    /** Faults that tests inject: see runtime/failpoints.ts. */
    FAILPOINTS: z.string().default(''),
    /** Values that tests give the constants below: `NAME=value,NAME=value`. */
    TEST_OPTIONS: z.string().default(''),
  })
  .refine(({ NODE_ENV, FAILPOINTS }) => NODE_ENV !== 'production' || FAILPOINTS === '', {
    path: ['FAILPOINTS'],
    error: 'expected none in production',
  })
  .refine(({ NODE_ENV, TEST_OPTIONS }) => NODE_ENV !== 'production' || TEST_OPTIONS === '', {
    path: ['TEST_OPTIONS'],
    error: 'expected none in production',
  })
  .refine(
    ({ REDIS_WAIT_REPLICAS, REDIS_URL }) => REDIS_WAIT_REPLICAS === 0 || !/\+cluster:/.test(REDIS_URL),
    {
      path: ['REDIS_WAIT_REPLICAS'],
      error: 'expected 0 with Redis Cluster',
    },
  )
  .refine(({ DRAIN_NOTICE_MS, STOP_DEADLINE_MS }) => DRAIN_NOTICE_MS < STOP_DEADLINE_MS, {
    path: ['DRAIN_NOTICE_MS'],
    error: 'expected less than STOP_DEADLINE_MS',
  })
  .refine(
    ({ PURCHASE_QUEUE, EVENT_BUS, RABBITMQ_URL }) =>
      RABBITMQ_URL !== undefined || (PURCHASE_QUEUE !== 'rabbitmq' && EVENT_BUS !== 'rabbitmq'),
    { path: ['RABBITMQ_URL'], error: 'expected, since PURCHASE_QUEUE or EVENT_BUS is rabbitmq' },
  )
  .refine(
    ({ PAYMENT_PROVIDER, STRIPE_SECRET_KEY, STRIPE_PUBLISHABLE_KEY, STRIPE_WEBHOOK_SECRETS }) =>
      PAYMENT_PROVIDER !== 'stripe' ||
      (STRIPE_SECRET_KEY && STRIPE_PUBLISHABLE_KEY && STRIPE_WEBHOOK_SECRETS.length > 0),
    {
      path: ['PAYMENT_PROVIDER'],
      error: 'expected STRIPE_SECRET_KEY, STRIPE_PUBLISHABLE_KEY and STRIPE_WEBHOOK_SECRETS with stripe',
    },
  )
  .refine(
    ({ PAYMENT_PROVIDER, EXTERNAL_CHECKOUT_URL: url }) =>
      PAYMENT_PROVIDER !== 'external' ||
      (url.includes('{orderId}') && /^https?:/.test(url) && URL.canParse(url.replace('{orderId}', 'id'))),
    {
      path: ['EXTERNAL_CHECKOUT_URL'],
      error: 'expected a URL with {orderId} in it, since PAYMENT_PROVIDER is external',
    },
  )
  .refine(
    ({ CAPTCHA_PROVIDER, CAPTCHA_SITE_KEY, CAPTCHA_SECRET }) =>
      CAPTCHA_PROVIDER === 'none' || (CAPTCHA_SITE_KEY && CAPTCHA_SECRET),
    { path: ['CAPTCHA_PROVIDER'], error: 'expected CAPTCHA_SITE_KEY and CAPTCHA_SECRET with it' },
  )
  .refine(({ SUBSCRIBERS, SMTP_URL }) => SMTP_URL || !SUBSCRIBERS?.includes('notifications'), {
    path: ['SMTP_URL'],
    error: 'expected one, since SUBSCRIBERS names notifications',
  })
  .refine(
    ({ OIDC_ISSUER, OIDC_AUDIENCE, OIDC_CLIENT_ID }) => !OIDC_ISSUER || OIDC_AUDIENCE || OIDC_CLIENT_ID,
    {
      path: ['OIDC_ISSUER'],
      error: 'expected OIDC_AUDIENCE, OIDC_CLIENT_ID or both with it',
    },
  )
  .refine(
    ({ OIDC_ISSUER, OIDC_CLIENT_ID, PASSWORD_ACCOUNTS }) =>
      PASSWORD_ACCOUNTS === 'on' || (OIDC_ISSUER && OIDC_CLIENT_ID),
    {
      path: ['PASSWORD_ACCOUNTS'],
      error: 'expected OIDC_ISSUER and OIDC_CLIENT_ID with off, as otherwise nobody could sign in',
    },
  )
  .superRefine(({ NODE_ENV, ROOM_SITES, ROOM_PASS_KEYS, JWT_SECRET }, context) => {
    if (ROOM_SITES.length === 0 && !ROOM_PASS_KEYS) return;
    const isNamed = readSigningKeys(ROOM_PASS_KEYS).every(({ kid }) => /^[\w-]{1,32}$/.test(kid));
    const fault = faultOfKeys(ROOM_PASS_KEYS, { isStrict: NODE_ENV === 'production' });
    const ours = new Set(readSigningKeys(JWT_SECRET).map(({ secret }) => secret));
    const isOurs = readSigningKeys(ROOM_PASS_KEYS).some(({ secret }) => ours.has(secret));
    const message = !isNamed
      ? 'expected kid:secret, the kid of letters, digits, _ and -'
      : isOurs
        ? 'expected other secrets than those of JWT_SECRET, because the other site has these'
        : fault;
    if (message) context.addIssue({ code: 'custom', path: ['ROOM_PASS_KEYS'], message });
  })
  .superRefine(({ NODE_ENV, JWT_SECRET }, context) => {
    const fault = faultOfKeys(JWT_SECRET, { isStrict: NODE_ENV === 'production' });
    if (fault) context.addIssue({ code: 'custom', path: ['JWT_SECRET'], message: fault });
  });

/** Constants that need no tuning. Only tests and benches change them, in TEST_OPTIONS, to take less time. */
const constants = z.strictObject({
  /** Time without an answer of MongoDB after which its connection counts as lost. */
  MONGO_SILENCE_MS: z.coerce.number().int().min(100).default(10_000),
  REQUESTS_PER_ACCOUNT_PER_MINUTE: z.coerce.number().int().min(1).default(3_000),
  /** Limit of wrong passwords over all instances. */
  WRONG_API_KEYS_PER_ADDRESS_PER_MINUTE: z.coerce.number().int().min(1).default(30),
  SIGN_IN_FAILURES_PER_ACCOUNT_PER_MINUTE: z.coerce.number().int().min(1).default(10),
  SOCKET_CONNECTS_PER_ADDRESS_PER_MINUTE: z.coerce.number().int().min(1).default(30_000),
  /** Limit above which a socket is closed; a page sends one message when it connects. */
  SOCKET_MESSAGES_PER_MINUTE: z.coerce.number().int().min(1).default(120),
  /** Maximum number of jobs that a worker processes at once; their purchases are settled together. */
  SETTLE_MAX_JOBS: z.coerce.number().int().min(1).max(1_000).default(100),
  /** Another network than drand's quicknet: see sale/places/beacon.ts. */
  DRAND_CHAIN: z.string().default(''),
  /** After this long a round of drand that is not here is asked for again. */
  DRAND_RETRY_MS: z.coerce.number().int().min(10).max(60_000).default(5_000),
  /** How long each call of the simulated payment provider takes. */
  SIMULATED_LATENCY_MS: z.coerce.number().int().min(0).max(60_000).default(100),
  /** After this long, a step of a payment that no server has taken is taken by the leader. It doubles with each failure. */
  PAYMENT_STEP_MS: z.coerce.number().int().min(10).max(60_000).default(5_000),
  /** How often the leader looks for payments whose next step is due. */
  PAYMENTS_INTERVAL_MS: z.coerce.number().int().min(10).max(60_000).default(500),
  /** How often the leader reconciles what crashes left inconsistent. */
  RECONCILE_INTERVAL_MS: z.coerce.number().int().min(100).default(5_000),
  /** How old the last audit is when the leader audits again. */
  AUDIT_INTERVAL_MS: z.coerce.number().int().min(1_000).default(300_000),
  /** Time after which an audit is ended. */
  AUDIT_DEADLINE_MS: z.coerce.number().int().min(1_000).default(1_800_000),
  /** How long a purchase may be queued before the reconciler checks it. */
  RECONCILE_AFTER_MS: z.coerce.number().int().min(0).default(30_000),
  /** Time without a renewal after which a worker loses its jobs to another one. */
  JOB_LOCK_MS: z.coerce.number().int().min(1_000).default(3_000),
  /** Delay before the second attempt at a purchase that could not be settled; it doubles until the fifth attempt. */
  PURCHASE_RETRY_FIRST_MS: z.coerce.number().int().min(1).max(60_000).default(500),
  /** Maximum pause between two reads of the event log; events that accumulate meanwhile are published together. */
  RELAY_INTERVAL_MS: z.coerce.number().int().min(0).max(60_000).default(5_000),
  /** Capacity of a subscription's queue in Redis, in jobs of up to 1,000 events; the event log keeps the rest. */
  EVENT_QUEUE_MAX_JOBS: z.coerce.number().int().min(1).max(10_000).default(200),
  /** Delay before a subscriber's second attempt at an event; it doubles until the fifth attempt. */
  EVENT_RETRY_FIRST_MS: z.coerce.number().int().min(1).max(60_000).default(500),
  /** How late the event log may record that a sale has opened or ended. */
  SALE_CLOCK_INTERVAL_MS: z.coerce.number().int().min(10).max(60_000).default(1_000),
  /** Time without an answer after which a mail server counts as unavailable. */
  SMTP_TIMEOUT_MS: z.coerce.number().int().min(100).max(120_000).default(10_000),
  /**
   * Delay before the second attempt at a mail that the mail server refused temporarily. It doubles up to an hour, for a day in
   * total (720 and 17,280 times this value).
   */
  MAIL_RETRY_FIRST_MS: z.coerce.number().int().min(1).max(60_000).default(5_000),
  /** Time without an answer after which the identity provider counts as unavailable. */
  OIDC_TIMEOUT_MS: z.coerce.number().int().min(100).max(10_000).default(3_000),
  /** Time without an answer after which the provider of the captcha counts as unavailable. */
  CAPTCHA_TIMEOUT_MS: z.coerce.number().int().min(50).max(10_000).default(3_000),
  /** Within which a person who is called into a waiting room has to come. */
  ROOM_ANSWER_SECONDS: z.coerce.number().int().min(1).max(3_600).default(60),
  /** Minimum time between two reads of the identity provider's keys. */
  OIDC_KEYS_INTERVAL_MS: z.coerce.number().int().min(0).max(600_000).default(10_000),
  /** Time-out of an attempt to deliver a webhook. */
  WEBHOOK_TIMEOUT_MS: z.coerce.number().int().min(50).max(60_000).default(5_000),
  /** Delay before the second attempt to deliver a webhook; it triples until the seventh attempt, half an hour in total. */
  WEBHOOK_RETRY_FIRST_MS: z.coerce.number().int().min(1).max(600_000).default(5_000),
});

export const testOptionNames = Object.keys(constants.shape);

/** Names of former settings, which are constants now or were removed. */
const formerSettings = [
  ...testOptionNames,
  'BODY_MAX_BYTES',
  'FLUSH_MAX_PURCHASES',
  'FLUSH_MAX_WAITING',
  'RABBITMQ_PREFETCH',
  'SETTLE_MAX_PURCHASES',
  'SETTLE_PATIENCE_SECONDS',
  'SETTLE_RUSH_INTERVAL_MS',
  'STOCK_MESSAGES_PER_SECOND',
  'UPLOAD_DEADLINE_MS',
  'VISITOR_TOKEN_SECONDS',
];

/** @returns a line for each former setting in the environment, because it has no effect any more. */
export function warningsAbout(environment: Record<string, string | undefined>): string[] {
  return formerSettings
    .filter((name) => environment[name])
    .map((name) => `${name} is not a setting any more`);
}

export type Config = Readonly<z.infer<typeof settings> & z.infer<typeof constants>>;

/** The delays between a subscriber's five attempts at an event. */
export const eventRetryWaitsMs = ({ EVENT_RETRY_FIRST_MS: first }: Pick<Config, 'EVENT_RETRY_FIRST_MS'>) =>
  [1, 2, 4, 8].map((factor) => factor * first);

/**
 * Parses the environment once.
 * @throws Error with the name of every invalid setting and what was expected, but without its value, which may be secret.
 */
export function readConfig(environment: Record<string, string | undefined> = process.env): Config {
  // An empty setting counts as unset, as compose files and shells write it; `PORT=` would otherwise be read as 0.
  const given = Object.entries(environment).filter(([, value]) => value !== '');
  const parsed = settings.safeParse(Object.fromEntries(given));
  const options = (environment.TEST_OPTIONS ?? '').split(',').filter(Boolean);
  const adapted = constants.safeParse(Object.fromEntries(options.map((option) => option.split('='))));
  if (parsed.success && adapted.success) return Object.freeze({ ...adapted.data, ...parsed.data });
  const issues = [
    ...(parsed.error?.issues ?? []),
    ...(adapted.error?.issues ?? []).map(({ path, message }) => ({
      path: ['TEST_OPTIONS', ...path],
      message,
    })),
  ];
  const wrong = issues.map(({ path, message }) => `${path.join('.')}: ${message}`);
  // The message is one line, because the starter of this process shows the last line of its errors.
  throw new Error(`The configuration is not usable: ${wrong.join('; ')}`);
}
