import type { Redis } from 'ioredis';
import { Webhook } from 'standardwebhooks';
import { mongoClock } from '../../runtime/clock.ts';
import { type LeaderTask, openLeaderElection } from '../../runtime/leader/leader.ts';
import type { Log } from '../../runtime/observe/log.ts';
import { pause } from '../../runtime/pause.ts';
import { backoffMs } from '../../runtime/retry.ts';
import type { Collections } from '../../store/collections.ts';
import type { DeliveryRecord, WebhookRecord } from '../../store/event-collections.ts';
import { type PostOptions, post } from './post.ts';

export interface SenderOptions extends PostOptions {
  /** Delay before the second attempt; each further delay is three times longer. */
  retryFirstMs: number;
  leaseMs: number;
}

/** With a first delay of 5 s, the attempts take over half an hour. */
const maxAttempts = 7;
/** Requests to one endpoint at a time. */
const atOnce = 5;
const lookIntervalMs = 500;
/** Exponential backoff for an endpoint that accepted no delivery of a batch. */
const backoff = { firstMs: 1_000, longestMs: 60_000 };

/**
 * Sends the deliveries that webhooks.ts stored, in one process at a time. Each endpoint has its own loop, so that one that
 * hangs delays only itself. A delivery that failed in every attempt stays in the list until an admin resends it.
 */
export function openWebhookSender(
  collections: Collections,
  redis: Redis,
  options: SenderOptions,
  log: Log,
): { close: () => Promise<void> } {
  const sending: LeaderTask = async (stopping) => {
    const loops = new Map<string, Promise<void>>();
    let fault: Error | undefined;
    while (!stopping.aborted && !fault) {
      const endpoints = await collections.webhooks.find().toArray();
      for (const endpoint of endpoints.filter(({ _id }) => !loops.has(_id))) {
        const loop = sendDue(collections, endpoint, options, stopping)
          .catch((error) => {
            fault = error;
          })
          .finally(() => loops.delete(endpoint._id));
        loops.set(endpoint._id, loop);
      }
      await pause(lookIntervalMs, stopping);
    }
    await Promise.all(loops.values());
    if (fault) throw fault;
  };
  return openLeaderElection({ redis, name: 'webhook-sender', ttlMs: options.leaseMs, log }, { sending });
}

/** Sends one endpoint's due deliveries until none is left, with backoff while the endpoint accepts none. */
async function sendDue(
  collections: Collections,
  endpoint: WebhookRecord,
  options: SenderOptions,
  stopping: AbortSignal,
): Promise<void> {
  for (let failures = 0; !stopping.aborted; ) {
    const due = await collections.deliveries
      .find({ webhookId: endpoint._id, state: 'waiting', dueAt: { $lte: mongoClock.now() } })
      .sort({ dueAt: 1 })
      .limit(atOnce)
      .toArray();
    if (due.length === 0) return;
    const delivered = await Promise.all(
      due.map((delivery) => send(collections, endpoint, delivery, options)),
    );
    failures = delivered.includes(true) ? 0 : failures + 1;
    if (failures > 0) await pause(Math.min(backoffMs(backoff, failures), 2 * options.retryFirstMs), stopping);
  }
}

/** @returns whether the endpoint accepted the delivery (2xx). */
async function send(
  { deliveries }: Collections,
  { url, secret }: WebhookRecord,
  { _id, event, attempts }: DeliveryRecord,
  options: SenderOptions,
): Promise<boolean> {
  const body = JSON.stringify(event);
  const at = mongoClock.now();
  const headers = {
    'Content-Type': 'application/cloudevents+json',
    'User-Agent': 'Stampede',
    // Receivers detect duplicates by this id.
    'webhook-id': event.id,
    'webhook-timestamp': String(Math.floor(at.getTime() / 1_000)),
    'webhook-signature': new Webhook(secret).sign(event.id, at, body),
    ...(event.traceparent && { traceparent: event.traceparent }),
  };
  let [status, error]: [number | null, string | null] = [null, null];
  try {
    status = await post(new URL(url), body, headers, options);
    if (status < 200 || status > 299) error = `answered ${status}`;
  } catch (fault) {
    error = (fault as Error).message;
  }
  const tried = attempts + 1;
  const isLast = tried >= maxAttempts;
  const state = error === null ? 'delivered' : isLast ? 'failed' : 'waiting';
  const waitMs = state === 'waiting' ? options.retryFirstMs * 3 ** attempts : 0;
  // Not an upsert: a delivery whose webhook was deleted meanwhile stays deleted.
  await deliveries.updateOne(
    { _id },
    { $set: { state, attempts: tried, status, error, dueAt: new Date(at.getTime() + waitMs) } },
  );
  return error === null;
}
