import { z } from 'zod';
import { expectedUrls, isMongoUrl, isRabbitUrl } from '../../runtime/databases/urls.ts';

/** The settings of the three services, none of which is shared with the shop. */
const given = z.object({
  LOG_LEVEL: z.enum(['fatal', 'error', 'warn', 'info', 'debug', 'silent']).default('info'),
  HOST: z.string().default('127.0.0.1'),
  /** 8101 for OrderService, 8102 for InventoryService, 8103 for NotificationService unless set. */
  PORT: z.coerce.number().int().min(0).max(65_535).optional(),
  /** The name of the instance in its log. */
  INSTANCE: z.string().max(64).default('1'),

  /** With the database name. Each service uses only its own collection. */
  MONGO_URL: z.string().refine(isMongoUrl, expectedUrls.mongo),
  MONGO_POOL_CONNECTIONS: z.coerce.number().int().min(1).max(500).default(20),
  /** How long to wait for an unavailable MongoDB before the answer is 503. */
  MONGO_WAIT_MS: z.coerce.number().int().min(100).default(2_000),
  MONGO_SILENCE_MS: z.coerce.number().int().min(100).default(10_000),

  RABBITMQ_HOST: z.string().min(1).default('127.0.0.1'),
  RABBITMQ_PORT: z.coerce.number().int().min(1).max(65_535).default(5_672),
  RABBITMQ_USER: z.string().min(1).default('guest'),
  RABBITMQ_PASSWORD: z.string().default('guest'),
  /** Replaces the four settings above. */
  RABBITMQ_URL: z.string().refine(isRabbitUrl, expectedUrls.rabbit).optional(),
  /** A publish without RabbitMQ's confirm is retried after this time. */
  RABBITMQ_WAIT_MS: z.coerce.number().int().min(100).default(2_000),
  /** The prefetch count: unacknowledged messages of a service at once. */
  RABBITMQ_PREFETCH: z.coerce.number().int().min(1).max(1_000).default(10),
  /** The delay before the second of the five attempts at an event, which doubles each time. */
  EVENT_RETRY_FIRST_MS: z.coerce.number().int().min(1).max(60_000).default(500),

  /** The probability that an order can be reserved, from 0 to 1. */
  RESERVE_CHANCE: z.coerce.number().min(0).max(1).default(0.9),
  /** The seed of the random decisions. The same seed gives the same decision for the same event. */
  SEED: z.string().max(64).default('campus'),
  /** The duration of a reservation. */
  RESERVE_MS: z.coerce.number().int().min(0).max(10_000).default(0),

  /** The deadline for draining at a stop. */
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

/** @throws Error that names every invalid setting, without its value, which may be secret. */
export function readSettings(environment: Record<string, string | undefined> = process.env): Settings {
  // An empty setting, as in a compose file, counts as unset.
  const set = Object.entries(environment).filter(([, value]) => value !== '');
  const parsed = settings.safeParse(Object.fromEntries(set));
  if (parsed.success) return Object.freeze(parsed.data);
  throw new Error(`Invalid settings:\n${z.prettifyError(parsed.error)}`);
}
