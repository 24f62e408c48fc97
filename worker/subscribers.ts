import type { Redis } from 'ioredis';
import type { EventBus, Subscription } from '../messages/bus.ts';
import { noteSubscription } from '../messages/subscriptions.ts';
import type { Config } from '../runtime/config.ts';
import { isMongoAway } from '../runtime/databases/connections.ts';
import type { Log } from '../runtime/observe/log.ts';
import { pause } from '../runtime/pause.ts';
import type { Collections } from '../store/collections.ts';
import { analytics } from '../subscribers/analytics.ts';
import { notifications } from '../subscribers/mail/notifications.ts';
import { mailsAtOnce, openMailSender } from '../subscribers/mail/sender.ts';
import { openMailTransport } from '../subscribers/mail/transport.ts';
import { openWebhookSender } from '../subscribers/webhooks/sender.ts';
import { webhooks } from '../subscribers/webhooks/webhooks.ts';

interface Plumbing {
  collections: Collections;
  bus: EventBus;
  /** Whose commands fail while Redis is away. */
  redis: Redis;
}

type Name = NonNullable<Config['SUBSCRIBERS']>[number];
type Opened = { subscription: Subscription; close: () => Promise<void> };

/** Connecting, greeting, the commands of a mail, its transmission: a server can be late with each of them. */
const mostTimeoutsOfAMail = 8;

const openers: Record<Name, (plumbing: Plumbing, config: Config, log: Log) => Opened> = {
  analytics: ({ collections }) => ({ subscription: analytics(collections), close: async () => {} }),

  notifications({ collections, redis }, config, log) {
    const { SMTP_URL: url, SMTP_TIMEOUT_MS: timeoutMs } = config;
    const sender = openMailSender(
      collections,
      redis,
      {
        transport: openMailTransport({ url, timeoutMs, maxConnections: mailsAtOnce }, log),
        from: config.MAIL_FROM,
        shopUrl: config.PUBLIC_URL.replace(/\/$/, ''),
        retryFirstMs: config.MAIL_RETRY_FIRST_MS,
        abandonedMs: mostTimeoutsOfAMail * timeoutMs,
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

/** Faults of what handlers lean on, which pass by themselves: no event becomes a dead letter by them. */
export const isPassingFault = (error: unknown) => isMongoAway(error);

/** Without an endpoint, every event would travel to `webhooks` for nothing. */
export async function listIdle({ webhooks }: Collections): Promise<Name[]> {
  return (await webhooks.exists({})) ? [] : ['webhooks'];
}

/** Those that SUBSCRIBERS names, or all that can work. */
export function subscribersOf({ SUBSCRIBERS, SMTP_URL }: Config): Name[] {
  return SUBSCRIBERS ?? ['analytics', 'webhooks', ...(SMTP_URL ? (['notifications'] as const) : [])];
}

/** At a start Redis is away for a moment. */
const [firstRetryMs, lastRetryMs] = [50, 2_000];

/**
 * Subscribes, as soon as the bus is there: `subscribed` resolves when nothing that is published from then on is missed.
 */
export function openSubscribers(
  names: Name[],
  plumbing: Plumbing,
  config: Config,
  log: Log,
): { subscribed: Promise<void>; close: () => Promise<void> } {
  const closing = new AbortController();

  async function subscribe(name: Name): Promise<{ close: () => Promise<void> }> {
    const { subscription, close } = openers[name](plumbing, config, log);
    for (let retryMs = firstRetryMs; !closing.signal.aborted; retryMs = Math.min(2 * retryMs, lastRetryMs)) {
      try {
        await noteSubscription(plumbing.collections, subscription);
        const subscribed = await plumbing.bus.subscribe(subscription);
        return {
          async close() {
            await subscribed.close();
            await close();
          },
        };
      } catch (error) {
        log.warn({ subscription: name, error: (error as Error).message }, 'subscribing waits');
        await pause(retryMs, closing.signal);
      }
    }
    return { close };
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
