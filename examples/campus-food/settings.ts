import { z } from 'zod';
import { expectedUrls, isMongoUrl, isRabbitUrl } from '../../runtime/databases/urls.ts';

/** Every setting of the three services; they share none with the shop. */
const given = z.object({
  LOG_LEVEL: z.enum(['fatal', 'error', 'warn', 'info', 'debug', 'silent']).default('info'),
  HOST: z.string().default('127.0.0.1'),
  /** 8101 for OrderService, 8102 for InventoryService, 8103 for NotificationService unless set. */
  PORT: z.coerce.number().int().min(0).max(65_535).optional(),
  /** The name that an instance gives itself in its log. */
  INSTANCE: z.string().max(64).default('1'),

  /** With the database: each service has a collection of its own in it, and looks at no other. */
  MONGO_URL: z.string().refine(isMongoUrl, expectedUrls.mongo),
  MONGO_POOL_CONNECTIONS: z.coerce.number().int().min(1).max(500).default(20),
  /** How long to look for a MongoDB that is away before the answer is 503. */
  MONGO_WAIT_MS: z.coerce.number().int().min(100).default(2_000),
  MONGO_SILENCE_MS: z.coerce.number().int().min(100).default(10_000),

  RABBITMQ_HOST: z.string().min(1).default('127.0.0.1'),
  RABBITMQ_PORT: z.coerce.number().int().min(1).max(65_535).default(5_672),
  RABBITMQ_USER: z.string().min(1).default('guest'),
  RABBITMQ_PASSWORD: z.string().default('guest'),
  /** Instead of the four above. */
  RABBITMQ_URL: z.string().refine(isRabbitUrl, expectedUrls.rabbit).optional(),
  /** A publish that RabbitMQ has not confirmed by then is tried again. */
  RABBITMQ_WAIT_MS: z.coerce.number().int().min(100).default(2_000),
  /** Messages that a service holds at once. */
  RABBITMQ_PREFETCH: z.coerce.number().int().min(1).max(1_000).default(10),
  /** The wait before the second of the five attempts at an event; each of the others is twice as long. */
  EVENT_RETRY_FIRST_MS: z.coerce.number().int().min(1).max(60_000).default(500),

  /** How likely the kitchen has what an order wants, from 0 to 1. */
  RESERVE_CHANCE: z.coerce.number().min(0).max(1).default(0.9),
  /** Another seed, another luck. The same seed decides the same about the same event. */
  SEED: z.string().max(64).default('campus'),
  /** How long the kitchen takes for a reservation. */
  RESERVE_MS: z.coerce.number().int().min(0).max(10_000).default(0),

  /** A stop that has not drained by then is cut short. */
  STOP_DEADLINE_MS: z.coerce.number().int().min(100).default(10_000),
});

export const settingNames = Object.keys(given.shape);

const settings = given.transform(
  ({ RABBITMQ_HOST, RABBITMQ_PORT, RABBITMQ_USER, RABBITMQ_PASSWORD, RABBITMQ_URL, ...others }) => {
    const credentials = [RABBITMQ_USER, RABBITMQ_PASSWORD].map(encodeURIComponent).join(':');
    const url = `amqp://${credentials}@${RABBITMQ_HOST}:${RABBITMQ_PORT}`;
    return { ...others, RABBITMQ_URL: RABBITMQ_URL ?? url };
  },
);

export type Settings = Readonly<z.infer<typeof settings>>;

/** @throws Error that names every setting that is wrong, and never its value. */
export function readSettings(environment: Record<string, string | undefined> = process.env): Settings {
  // A setting left empty, as in a compose file, is not set.
  const set = Object.entries(environment).filter(([, value]) => value !== '');
  const parsed = settings.safeParse(Object.fromEntries(set));
  if (parsed.success) return Object.freeze(parsed.data);
  throw new Error(`The settings are not usable:\n${z.prettifyError(parsed.error)}`);
}
