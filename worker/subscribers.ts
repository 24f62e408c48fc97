import type { Redis } from 'ioredis';
import { openTokenSecrets } from '../accounts/one-time-token.ts';
import type { EventBus, Subscription } from '../messages/bus.ts';
import { registerSubscription } from '../messages/subscriptions.ts';
import type { Config } from '../runtime/config.ts';
import { isMongoAway } from '../runtime/databases/connections.ts';
import type { Log } from '../runtime/observe/log.ts';
import { retry } from '../runtime/retry.ts';
import type { Collections } from '../store/collections.ts';
import { analytics } from '../subscribers/analytics.ts';
import { notifications } from '../subscribers/mail/notifications.ts';
import { mailsAtOnce, openMailSender } from '../subscribers/mail/sender.ts';
import { openMailTransport } from '../subscribers/mail/transport.ts';
import { openWebhookSender } from '../subscribers/webhooks/sender.ts';
import { webhooks } from '../subscribers/webhooks/webhooks.ts';

interface Dependencies {
  collections: Collections;
  bus: EventBus;
  /** A connection whose commands fail while Redis is unavailable. */
  redis: Redis;
}

type Name = NonNullable<Config['SUBSCRIBERS']>[number];
type Opened = { subscription: Subscription; close: () => Promise<void> };

/** SMTP steps of one mail (connect, greeting, commands, transmission), each of which can take the whole time-out. */
const maxTimeoutsPerMail = 8;

const openers: Record<Name, (dependencies: Dependencies, config: Config, log: Log) => Opened> = {
  analytics: ({ collections }) => ({ subscription: analytics(collections), close: async () => {} }),

  notifications({ collections, redis }, config, log) {
    const { SMTP_URL: url, SMTP_TIMEOUT_MS: timeoutMs } = config;
    const sender = openMailSender(
      collections,
      redis,
      {
        transport: openMailTransport({ url, timeoutMs, maxConnections: mailsAtOnce }, log),
        shop: {
          name: config.SHOP_NAME,
          from: config.MAIL_FROM,
          url: config.PUBLIC_URL.replace(/\/$/, ''),
          timeZone: config.SHOP_TIME_ZONE,
        },
        secretsOf: openTokenSecrets(config.JWT_SECRET),
        retryFirstMs: config.MAIL_RETRY_FIRST_MS,
        abandonedMs: maxTimeoutsPerMail * timeoutMs,
        leaseMs: config.JOB_LOCK_MS,
      },
      log,
    );
    return { subscription: notifications(collections), close: sender.close };
  },

  webhooks({ collections, redis }, config, log) {
    const { NODE_ENV, WEBHOOK_PRIVATE_ADDRESSES: setting } = config;
    const byDefault = NODE_ENV === 'production' ? 'refused' : 'allowed';
    const sender = openWebhookSender(
      collections,
      redis,
      {
        timeoutMs: config.WEBHOOK_TIMEOUT_MS,
        retryFirstMs: config.WEBHOOK_RETRY_FIRST_MS,
        privateAddresses: setting === 'auto' ? byDefault : setting,
        leaseMs: config.JOB_LOCK_MS,
      },
      log,
    );
    return { subscription: webhooks(collections), close: sender.close };
  },
};

/** Transient faults of a handler's dependencies, which are retried without limit instead of making dead letters. */
export const isTransientFault = (error: unknown) => isMongoAway(error);

/** The subscription `webhooks` is idle while there is no endpoint, so that no events are published to it. */
export async function listIdle({ webhooks }: Collections): Promise<Name[]> {
  return (await webhooks.findOne()) ? [] : ['webhooks'];
}

/** The subscribers that SUBSCRIBERS names, or all that are configured. */
export function subscribersOf({ SUBSCRIBERS, SMTP_URL }: Config): Name[] {
  return SUBSCRIBERS ?? ['analytics', 'webhooks', ...(SMTP_URL ? (['notifications'] as const) : [])];
}

/** The first retry is quick, because Redis is often unavailable for a moment at a start. */
const backoff = { firstMs: 50, longestMs: 2_000 };

/**
 * Subscribes as soon as the bus is available. `subscribed` resolves when all queues exist, so that no later event is missed.
 */
export function openSubscribers(
  names: Name[],
  dependencies: Dependencies,
  config: Config,
  log: Log,
): { subscribed: Promise<void>; close: () => Promise<void> } {
  const closing = new AbortController();

  async function subscribe(name: Name): Promise<{ close: () => Promise<void> }> {
    const { subscription, close } = openers[name](dependencies, config, log);
    const attempt = async () => {
      await registerSubscription(dependencies.collections, subscription);
      return await dependencies.bus.subscribe(subscription);
    };
    const subscribed = await retry(attempt, {
      ...backoff,
      signal: closing.signal,
      onFailure: ({ message }, retryMs) =>
        log.warn({ subscription: name, retryMs, error: message }, 'subscribing failed, retrying'),
    }).catch(() => null);
    return {
      async close() {
        await subscribed?.close();
        await close();
      },
    };
  }

  const opened = names.map(subscribe);
  return {
    subscribed: Promise.all(opened).then(() => {}),
    async close() {
      closing.abort();
      await Promise.all(opened.map(async (one) => (await one).close()));
    },
  };
}
