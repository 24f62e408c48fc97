import type { IncomingMessage, ServerResponse } from 'node:http';
import type { BatchTrip } from '../runtime/group-commit.ts';
import type { Tracing } from '../runtime/observe/tracing.ts';
import type { Purchase } from '../sale/contract.ts';
import { routeOf } from './metrics.ts';

/**
 * The span of a press of Buy. Its handler finds it in the header, in the place of the one that came with the request, and
 * the purchase carries it on.
 */
export function traceRequest(
  tracing: Tracing,
  { method = '', url = '', headers }: IncomingMessage,
  response: ServerResponse,
) {
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
export function traceFlush(tracing: Tracing, { items, seconds, isFailed }: BatchTrip<Purchase>): void {
  const startedAtMs = Date.now() - seconds * 1_000;
  const attributes = { 'stampede.purchases': items.length, 'stampede.failed': isFailed };
  for (const { traceparent } of items) tracing.note('flush', traceparent, startedAtMs, attributes);
}
