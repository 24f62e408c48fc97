import type { Redis } from 'ioredis';
import { mongoClock } from '../../runtime/clock.ts';
import { openLeaderElection, type Task } from '../../runtime/leader/leader.ts';
import type { Log } from '../../runtime/observe/log.ts';
import { pause } from '../../runtime/pause.ts';
import { type Collections, driverOf } from '../../store/collections.ts';
import type { DeliveryRecord, WebhookRecord } from '../../store/event-collections.ts';
import { type PostOptions, post } from './post.ts';
import { signatureHeaders } from './signature.ts';

export interface SenderOptions extends PostOptions {
  /** Before the second attempt; each wait is three times the one before. */
  retryFirstMs: number;
  leaseMs: number;
}

/** With 5 s before the second one: over half an hour. */
const maxAttempts = 7;
/** Requests to one endpoint at a time. */
const atOnce = 5;
const lookIntervalMs = 500;
/** An endpoint that answered none of a batch is left alone a while: from one to sixty seconds. */
const [shortestRestMs, longestRestMs] = [1_000, 60_000];

/**
 * Sends what the subscriber webhooks.ts wrote down, in one process at a time. Each endpoint has a lane of its own, so
 * that one that hangs only holds up itself. What failed at every attempt stays in the log, until somebody has it sent again.
 */
export function openWebhookSender(
  collections: Collections,
  redis: Redis,
  options: SenderOptions,
  log: Log,
): { close: () => Promise<void> } {
  const sending: Task = async (stopping) => {
    const lanes = new Map<string, Promise<void>>();
    let fault: Error | undefined;
    while (!stopping.aborted && !fault) {
      const endpoints = await collections.webhooks.find().lean<WebhookRecord[]>();
      for (const endpoint of endpoints.filter(({ _id }) => !lanes.has(_id))) {
        const lane = runLane(collections, endpoint, options, stopping)
          .catch((error) => {
            fault = error;
          })
          .finally(() => lanes.delete(endpoint._id));
        lanes.set(endpoint._id, lane);
      }
      await pause(lookIntervalMs, stopping);
    }
    await Promise.all(lanes.values());
    if (fault) throw fault;
  };
  return openLeaderElection({ redis, name: 'webhook-sender', ttlMs: options.leaseMs, log }, { sending });
}

/** Sends what is due for one endpoint until nothing is, resting while it does not answer. */
async function runLane(
  collections: Collections,
  endpoint: WebhookRecord,
  options: SenderOptions,
  stopping: AbortSignal,
): Promise<void> {
  for (let restMs = shortestRestMs; !stopping.aborted; ) {
    const due = await driverOf(collections.deliveries)
      .find({ webhookId: endpoint._id, state: 'waiting', dueAt: { $lte: mongoClock.now() } })
      .sort({ dueAt: 1 })
      .limit(atOnce)
      .toArray();
    if (due.length === 0) return;
    const delivered = await Promise.all(
      due.map((delivery) => send(collections, endpoint, delivery, options)),
    );
    if (delivered.includes(true)) {
      restMs = shortestRestMs;
    } else {
      await pause(Math.min(restMs, 2 * options.retryFirstMs), stopping);
      restMs = Math.min(2 * restMs, longestRestMs);
    }
  }
}

/** @returns whether the endpoint took it. */
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
    ...signatureHeaders(secret, { id: event.id, body, at }),
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
  // A delivery whose webhook was removed meanwhile is gone, and stays so.
  await deliveries.updateOne(
    { _id },
    { state, attempts: tried, status, error, dueAt: new Date(at.getTime() + waitMs) },
  );
  return error === null;
}
