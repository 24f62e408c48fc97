import { z } from 'zod';

/** Every setting of the three services; they share none with the shop. */
const settings = z.object({
  LOG_LEVEL: z.enum(['fatal', 'error', 'warn', 'info', 'debug', 'silent']).default('info'),
  HOST: z.string().default('127.0.0.1'),
  PORT: z.coerce.number().int().min(0).max(65_535).default(8080),
  /** The name that an instance gives itself in its log. */
  INSTANCE: z.string().max(64).default('1'),

  /** With the database: each service has a collection of its own in it, and looks at no other. */
  MONGO_URL: z.url({ protocol: /^mongodb(\+srv)?$/ }),
  MONGO_POOL_CONNECTIONS: z.coerce.number().int().min(1).max(500).default(5),
  /** How long to look for a MongoDB that is away before the answer is 503. */
  MONGO_WAIT_MS: z.coerce.number().int().min(100).default(2_000),
  MONGO_SILENCE_MS: z.coerce.number().int().min(100).default(10_000),

  RABBITMQ_URL: z.url({ protocol: /^amqps?$/ }),
  /** An order that RabbitMQ has not confirmed by then is answered 503. */
  RABBITMQ_WAIT_MS: z.coerce.number().int().min(100).default(2_000),
  /** Messages that a service holds at once. */
  RABBITMQ_PREFETCH: z.coerce.number().int().min(1).max(1_000).default(10),
  /** The wait before the second of the five attempts at an event; each of the others is twice as long. */
  EVENT_RETRY_FIRST_MS: z.coerce.number().int().min(1).max(60_000).default(500),

  /** How likely the kitchen has what an order wants, from 0 to 1. */
  RESERVE_CHANCE: z.coerce.number().min(0).max(1).default(0.9),
  /** Another seed, another luck. The same seed decides the same about the same event. */
  SEED: z.string().max(64).default('campus'),

  /** A stop that has not drained by then is cut short. */
  STOP_DEADLINE_MS: z.coerce.number().int().min(100).default(10_000),
});

export type Settings = Readonly<z.infer<typeof settings>>;

/** @throws Error that names every setting that is wrong, and never its value. */
export function readSettings(environment: Record<string, string | undefined> = process.env): Settings {
  const given = Object.entries(environment).filter(([, value]) => value !== '');
  const parsed = settings.safeParse(Object.fromEntries(given));
  if (parsed.success) return Object.freeze(parsed.data);
  throw new Error(`The settings are not usable:\n${z.prettifyError(parsed.error)}`);
}
