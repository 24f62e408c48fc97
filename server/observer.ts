import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Redis } from 'ioredis';
import type { Connection } from 'mongoose';
import type { Registry } from 'prom-client';
import { type Counters, openCounters } from '../insight/counters.ts';
import type { Config } from '../runtime/config.ts';
import type { BatchTrip } from '../runtime/group-commit.ts';
import { type Log, openSampledLog } from '../runtime/observe/log.ts';
import { openMetrics } from '../runtime/observe/metrics.ts';
import { countProxyAnswers } from '../runtime/observe/proxy-answers.ts';
import { openTracing, type Tracing } from '../runtime/observe/tracing.ts';
import type { AdmissionObserver } from '../sale/admission/admission.ts';
import type { Purchase } from '../sale/contract.ts';
import type { Live } from './live/live.ts';
import { openServerMetrics, routeOf } from './metrics.ts';

/** Receives each event of a server once, and passes it on to metrics, the control room's counters, log and traces. */
export interface ServerObserver extends AdmissionObserver {
  registry: Registry;
  /** A press of Buy failed before its admission, because Redis or MongoDB could not say whether it is allowed. */
  failedBefore(saleId: string): void;
  /** Called when orders got another status after they were settled. */
  changed: Counters['changed'];
  /** Called when a payment got another state. */
  payment: Counters['payment'];
  /** Called when a request arrives, before it is answered. */
  request(request: IncomingMessage, response: ServerResponse): void;
  /** Exports the number of sockets and packets, which are read when Prometheus asks for the metrics. */
  watchSockets(live: Pick<Live, 'count' | 'traffic'>): void;
  /** Sends the remaining counts and spans. */
  close(): Promise<void>;
}

export async function openServerObserver({
  config,
  log,
  mongo,
  redis,
}: {
  config: Config;
  log: Log;
  mongo: Connection;
  redis: Redis;
}): Promise<ServerObserver> {
  const registry = openMetrics({ mongo, redis: [redis] });
  const counters = openCounters(redis);
  countProxyAnswers(registry, config.PROXY_ANSWERS_DIR, counters.proxyAnswers);
  const metrics = openServerMetrics(registry, counters);
  const tracing = await openTracing(config, 'server');
  const logAccepted = openSampledLog(log, 'accepted', config.LOG_PURCHASES_PER_SECOND);

  return {
    registry,

    request(request, response) {
      metrics.request(request, response);
      const { method = '', url = '' } = request;
      // Each press of Buy is counted by its outcome, and a probe is answered 503 to a supervisor.
      if (routeOf(method, url) !== 'buy' && url !== '/readyz')
        response.once('finish', () => {
          if (response.statusCode >= 500) counters.fault();
        });
      if (tracing) traceRequest(tracing, request, response);
    },

    flush(flush) {
      metrics.flush(flush);
      if (tracing) traceFlush(tracing, flush);
    },

    changed: counters.changed,
    payment: counters.payment,

    failedBefore: (saleId) => counters.admission(saleId, 'failed'),

    admission({ orderId, saleId, buyerId, quantity, traceparent }, result, seconds, requestId) {
      metrics.admission(seconds);
      counters.admission(saleId, result);
      if (result === 'admitted') logAccepted({ requestId, orderId, saleId, buyerId, quantity, traceparent });
    },

    watchSockets: metrics.watchSockets,

    async close() {
      await counters.close();
      await tracing?.close();
    },
  };
}

/**
 * Begins the span of a press of Buy. Its traceparent replaces the request's own in the header, so that the handler stores it
 * in the purchase.
 */
function traceRequest(
  tracing: Tracing,
  { method = '', url = '', headers }: IncomingMessage,
  response: ServerResponse,
): void {
  if (routeOf(method, url) !== 'buy') return;
  const span = tracing.begin('POST /api/sales/:id/purchases', headers.traceparent as string | undefined);
  headers.traceparent = span.traceparent;
  response.once('close', () =>
    span.end({
      'http.response.status_code': response.statusCode,
      'stampede.request_id': `${headers['x-request-id']}`,
    }),
  );
}

/** Records the flush in the trace of each of its purchases, so that every trace is complete. */
function traceFlush(tracing: Tracing, { items, seconds, isFailed }: BatchTrip<Purchase>): void {
  const startedAtMs = Date.now() - seconds * 1_000;
  const attributes = { 'stampede.purchases': items.length, 'stampede.failed': isFailed };
  for (const { traceparent } of items) tracing.record('flush', traceparent, startedAtMs, attributes);
}
