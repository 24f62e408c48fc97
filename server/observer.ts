import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Redis } from 'ioredis';
import type { Connection } from 'mongoose';
import type { Registry } from 'prom-client';
import { openCounters } from '../insight/counters.ts';
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

/** Hears what happens in a server, once each; metrics, the control room's counters, log and traces follow from that. */
export interface ServerObserver extends AdmissionObserver {
  registry: Registry;
  /** A request came; its answer is awaited. */
  request(request: IncomingMessage, response: ServerResponse): void;
  /** The sockets, whose number and packets are read when somebody asks. */
  watchSockets(live: Pick<Live, 'count' | 'traffic'>): void;
  /** Sends what was not sent yet. */
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
  countProxyAnswers(registry, config.PROXY_ANSWERS_DIR);
  const counters = openCounters(redis);
  const metrics = openServerMetrics(registry, counters);
  const tracing = await openTracing(config, 'server');
  const logAccepted = openSampledLog(log, 'accepted', config.LOG_PURCHASES_PER_SECOND);

  return {
    registry,

    request(request, response) {
      metrics.request(request, response);
      if (tracing) traceRequest(tracing, request, response);
    },

    flush(flush) {
      metrics.flush(flush);
      if (tracing) traceFlush(tracing, flush);
    },

    admission({ orderId, saleId, buyerId, quantity, traceparent }, result, requestId) {
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
 * The span of a press of Buy. Its handler finds it in the header, in the place of the one that came with the request, and
 * the purchase carries it on.
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

/** Each purchase has the flush in its own trace: that is where somebody looks for it. */
function traceFlush(tracing: Tracing, { items, seconds, isFailed }: BatchTrip<Purchase>): void {
  const startedAtMs = Date.now() - seconds * 1_000;
  const attributes = { 'stampede.purchases': items.length, 'stampede.failed': isFailed };
  for (const { traceparent } of items) tracing.note('flush', traceparent, startedAtMs, attributes);
}
