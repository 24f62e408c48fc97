import { randomBytes } from 'node:crypto';
import { TraceFlags } from '@opentelemetry/api';
import { readTraceparent, writeTraceparent } from '../../runtime/observe/trace-context.ts';

/** The W3C trace context of a request; a new one when the request has none, or an invalid one. */
export function traceparentOf(header: string | undefined): string {
  return writeTraceparent(readTraceparent(header) ?? newSpan());
}

function newSpan() {
  const ids = randomBytes(24).toString('hex');
  return { traceId: ids.slice(0, 32), spanId: ids.slice(32), traceFlags: TraceFlags.SAMPLED };
}
