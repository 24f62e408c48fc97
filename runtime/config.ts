import { z } from 'zod';
import { expectedUrls, isMongoUrl, isRabbitUrl, isRedisUrl } from './databases/urls.ts';
import { faultOfKeys } from './signing-keys.ts';

/**
 * Every setting, with its unit in its name. Servers, workers and commands know the environment from here alone: the rest
 * of the code is handed a frozen `Config`. What `npm start` reads is in ops/local/start.mjs.
 */
const settings = z
  .object({
    NODE_ENV: z.string().default('development'),
    LOG_LEVEL: z.enum(['fatal', 'error', 'warn', 'info', 'debug', 'silent']).default('info'),
    /** Lines about single purchases that a process writes in a second; those left out are counted. */
    LOG_PURCHASES_PER_SECOND: z.coerce.number().int().min(0).max(10_000).default(20),

    HOST: z.string().default('127.0.0.1'),
    PORT: z.coerce.number().int().min(0).max(65_535).default(8080),
    /** Where a proxy on this machine finds it as well; empty for nowhere. */
    UNIX_SOCKET: z.string().max(100).default(''),
    /** How many proxies in front may be believed about the client's address. */
    TRUST_PROXY_HOPS: z.coerce.number().int().min(0).max(10).default(0),
    /** Origins besides the page's own whose sockets are welcome, separated by commas. */
    ALLOWED_ORIGINS: z
      .string()
      .default('')
      .transform((list) => list.split(',').filter(Boolean)),
    /** The name an instance gives itself in the `X-Instance` header and in its log. */
    INSTANCE: z.string().max(64).default('1'),

    /** One host or several, or `mongodb+srv://`. */
    MONGO_URL: z.string().refine(isMongoUrl, expectedUrls.mongo),
    /** One host, or the Sentinels and the name of what they watch: `redis+sentinel://host:26379,host:26379/name`. */
    REDIS_URL: z.string().refine(isRedisUrl, expectedUrls.redis),
    /** Of one member of a cluster or of several. Needed when PURCHASE_QUEUE or EVENT_BUS is `rabbitmq`. */
    RABBITMQ_URL: z.string().refine(isRabbitUrl, expectedUrls.rabbit).optional(),
    /** Where admitted purchases wait. `bull`: in Redis, put there by the flush; `rabbitmq`: published after the flush. */
    PURCHASE_QUEUE: z.enum(['bull', 'rabbitmq']).default('bull'),
    MONGO_POOL_CONNECTIONS: z.coerce.number().int().min(1).max(500).default(20),
    /** How long to look for a MongoDB that is away before the answer is 503. */
    MONGO_WAIT_MS: z.coerce.number().int().min(100).default(2_000),

    /**
     * Signs the tokens: a secret of at least 32 characters, or a list `kid:secret,kid:secret` of which the first signs
     * and all are believed. To change it: put the new one in front, and drop the old one when its tokens have expired.
     */
    JWT_SECRET: z.string(),
    /** How long an access token is good for; a page renews it silently with its session. */
    TOKEN_SECONDS: z.coerce
      .number()
      .int()
      .min(1)
      .default(15 * 60),
    /** From a sign-in until the password is asked for again. */
    SESSION_SECONDS: z.coerce
      .number()
      .int()
      .min(1)
      .default(30 * 86_400),
    BCRYPT_COST: z.coerce.number().int().min(4).max(15).default(10),

    /** Multiplies every limit below, for a load test from one address; 0 turns them all off. */
    LIMIT_FACTOR: z.coerce.number().min(0).default(1),
    /** An address may be a whole office behind one router: what is by address is generous. */
    SIGN_INS_PER_ADDRESS_PER_MINUTE: z.coerce.number().int().min(1).default(300),
    SIGN_UPS_PER_ADDRESS_PER_MINUTE: z.coerce.number().int().min(1).default(600),
    /** From here on each instance counts for itself. */
    PURCHASES_PER_ACCOUNT_PER_MINUTE: z.coerce.number().int().min(1).default(300),
    REQUESTS_PER_ADDRESS_PER_MINUTE: z.coerce.number().int().min(1).default(60_000),
    SOCKETS_PER_ADDRESS: z.coerce.number().int().min(1).default(20_000),

    /** Work that a sign-up and a purchase have to be worth; each bit doubles it. 0 asks for none, 16 is a second of a page. */
    CHALLENGE_DIFFICULTY_BITS: z.coerce.number().int().min(0).max(24).default(0),

    /** A request that is not answered by then is answered 408 or 503. Less than the proxy waits: 15 s in nginx.conf. */
    ANSWER_DEADLINE_MS: z.coerce.number().int().min(100).max(14_000).default(12_000),

    /** A flush that Redis has not acknowledged by then is answered 503. */
    FLUSH_DEADLINE_MS: z.coerce.number().int().min(50).default(2_000),
    /** How long Redis remembers a purchase, for its Idempotency-Key and while it is queued. */
    PURCHASE_MEMORY_SECONDS: z.coerce.number().int().min(60).default(86_400),

    /** Purchases accepted and not yet settled, over all instances; the next one is answered 503. */
    QUEUE_MAX_PURCHASES: z.coerce.number().int().min(1).default(250_000),

    /**
     * From the start of one settling transaction to the start of the next, unless that is full: a transaction costs
     * about 5 ms of CPU, however little it settles.
     */
    SETTLE_INTERVAL_MS: z.coerce.number().int().min(0).max(1_000).default(50),

    /** What carries the events of the log to their subscribers: see docs/MESSAGING.md. */
    EVENT_BUS: z.enum(['bull', 'rabbitmq']).default('bull'),
    /**
     * Subscribers that the worker runs, separated by commas; `none` for none. `auto` (null here) is analytics, webhooks,
     * and notifications when there is an SMTP_URL.
     */
    SUBSCRIBERS: z
      .string()
      .default('auto')
      .transform((list) => (list === 'auto' ? null : list.split(',').filter((name) => name !== 'none')))
      .pipe(z.array(z.enum(['analytics', 'notifications', 'webhooks'])).nullable()),

    /** Where mail to buyers goes, e.g. `smtps://user:password@mail.example.com`. Without it there is none. */
    SMTP_URL: z
      .url({ protocol: /^smtps?$/ })
      .or(z.literal(''))
      .default(''),
    MAIL_FROM: z.string().max(320).default('Stampede <orders@localhost>'),
    /** Where a mail says that the shop is. */
    PUBLIC_URL: z.url({ protocol: /^https?$/ }).default('http://localhost:8080'),

    /** Whether webhooks may go to private addresses, which are our own network; `auto` allows it but in production. */
    WEBHOOK_PRIVATE_ADDRESSES: z.enum(['auto', 'allowed', 'refused']).default('auto'),

    /** Where spans of purchases go as OTLP over HTTP, e.g. `http://collector:4318`. Without it there are none. */
    OTEL_EXPORTER_OTLP_ENDPOINT: z
      .url({ protocol: /^https?$/ })
      .or(z.literal(''))
      .default(''),
    /** The share of traces that is sent, from 0 to 1. */
    OTEL_TRACES_SAMPLER_ARG: z.coerce.number().min(0).max(1).default(1),

    /** A stop that has not drained by then is cut short. */
    STOP_DEADLINE_MS: z.coerce.number().int().min(100).default(10_000),
    /**
     * From the signal to stop, for how long a server goes on listening while `/readyz` says 503: for a load balancer
     * that asks there before it sends anything. nginx needs none, it tries another instance.
     */
    DRAIN_NOTICE_MS: z.coerce.number().int().min(0).default(0),

    /** Where nginx leaves word of what it answered itself; empty for nowhere. See runtime/observe/proxy-answers.ts. */
    PROXY_ANSWERS_DIR: z.string().default(''),

    /** For tests of faults: see runtime/failpoints.ts. */
    FAILPOINTS: z.string().default(''),
    /** Other values for the constants below: `NAME=value,NAME=value`. */
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
  .refine(({ DRAIN_NOTICE_MS, STOP_DEADLINE_MS }) => DRAIN_NOTICE_MS < STOP_DEADLINE_MS, {
    path: ['DRAIN_NOTICE_MS'],
    error: 'expected less than STOP_DEADLINE_MS',
  })
  .refine(
    ({ PURCHASE_QUEUE, EVENT_BUS, RABBITMQ_URL }) =>
      RABBITMQ_URL !== undefined || (PURCHASE_QUEUE !== 'rabbitmq' && EVENT_BUS !== 'rabbitmq'),
    { path: ['RABBITMQ_URL'], error: 'expected, since PURCHASE_QUEUE or EVENT_BUS is rabbitmq' },
  )
  .refine(({ SUBSCRIBERS, SMTP_URL }) => SMTP_URL || !SUBSCRIBERS?.includes('notifications'), {
    path: ['SMTP_URL'],
    error: 'expected one, since SUBSCRIBERS names notifications',
  })
  .superRefine(({ NODE_ENV, JWT_SECRET }, context) => {
    const fault = faultOfKeys(JWT_SECRET, { isStrict: NODE_ENV === 'production' });
    if (fault) context.addIssue({ code: 'custom', path: ['JWT_SECRET'], message: fault });
  });

/** Constants that nobody has to turn. Only tests and benches give them other values, in TEST_OPTIONS, to see more in less time. */
const constants = z.strictObject({
  /** A MongoDB that is silent for so long in the middle of an operation is taken for lost. */
  MONGO_SILENCE_MS: z.coerce.number().int().min(100).default(10_000),
  REQUESTS_PER_ACCOUNT_PER_MINUTE: z.coerce.number().int().min(1).default(3_000),
  /** Wrong passwords, over all instances. */
  SIGN_IN_FAILURES_PER_ACCOUNT_PER_MINUTE: z.coerce.number().int().min(1).default(10),
  SOCKET_CONNECTS_PER_ADDRESS_PER_MINUTE: z.coerce.number().int().min(1).default(30_000),
  /** A socket that says more is cut off; a page says one thing when it connects. */
  SOCKET_MESSAGES_PER_MINUTE: z.coerce.number().int().min(1).default(120),
  /** Jobs a worker holds at once; what they carry is settled together. */
  SETTLE_MAX_JOBS: z.coerce.number().int().min(1).max(1_000).default(100),
  /** How often one worker looks for what crashes left open. */
  RECONCILE_INTERVAL_MS: z.coerce.number().int().min(100).default(5_000),
  /** How long a purchase may be queued before it is asked after. */
  RECONCILE_AFTER_MS: z.coerce.number().int().min(0).default(30_000),
  /** A worker that is silent for so long loses its jobs to another. */
  JOB_LOCK_MS: z.coerce.number().int().min(1_000).default(3_000),
  /** The longest from one look at the event log to the next; what gathers meanwhile travels together. */
  RELAY_INTERVAL_MS: z.coerce.number().int().min(0).max(60_000).default(5_000),
  /** Jobs of up to 1,000 events that a subscription's queue in Redis holds; the event log keeps the rest. */
  EVENT_QUEUE_MAX_JOBS: z.coerce.number().int().min(1).max(10_000).default(200),
  /** Before the second attempt of a subscriber at an event; it doubles up to the fifth. */
  EVENT_RETRY_FIRST_MS: z.coerce.number().int().min(1).max(60_000).default(500),
  /** How late the log may say that a sale has opened or ended. */
  SALE_CLOCK_INTERVAL_MS: z.coerce.number().int().min(10).max(60_000).default(1_000),
  /** A mail server that is silent for so long is taken for away. */
  SMTP_TIMEOUT_MS: z.coerce.number().int().min(100).max(120_000).default(10_000),
  /**
   * Before the second attempt at a mail that the mail server refused for now; it doubles up to an hour, for a day in all
   * (720 and 17,280 times this).
   */
  MAIL_RETRY_FIRST_MS: z.coerce.number().int().min(1).max(60_000).default(5_000),
  /** A webhook's endpoint that has not answered by then has failed. */
  WEBHOOK_TIMEOUT_MS: z.coerce.number().int().min(50).max(60_000).default(5_000),
  /** Before the second attempt at a webhook's delivery; it triples up to the seventh, half an hour in all. */
  WEBHOOK_RETRY_FIRST_MS: z.coerce.number().int().min(1).max(600_000).default(5_000),
});

export const testOptionNames = Object.keys(constants.shape);

/** What was a setting once, and is a constant beside its use or gone. */
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

/** A line for each setting that somebody still gives and that has no effect any more. */
export function warningsAbout(environment: Record<string, string | undefined>): string[] {
  return formerSettings
    .filter((name) => environment[name])
    .map((name) => `${name} is not a setting any more`);
}

export type Config = Readonly<z.infer<typeof settings> & z.infer<typeof constants>>;

/** The waits between a subscriber's five attempts at an event. */
export const eventRetryWaitsMs = ({ EVENT_RETRY_FIRST_MS: first }: Pick<Config, 'EVENT_RETRY_FIRST_MS'>) =>
  [1, 2, 4, 8].map((factor) => factor * first);

/**
 * Parses the environment once.
 * @throws Error that names every setting that is wrong, what was expected of it, and never its value.
 */
export function readConfig(environment: Record<string, string | undefined> = process.env): Config {
  // `PORT=` is how compose files and shells leave a setting out; as a number it would read as 0.
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
  // One line: whoever starts this process shows its last error line.
  throw new Error(`The configuration is not usable: ${wrong.join('; ')}`);
}
