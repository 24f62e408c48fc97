import {
  defaultTextMapGetter,
  defaultTextMapSetter,
  ROOT_CONTEXT,
  type SpanContext,
  trace,
} from '@opentelemetry/api';
import { W3CTraceContextPropagator } from '@opentelemetry/core';

const propagator = new W3CTraceContextPropagator();
/** W3C defines `sampled` and `random` only. The propagator would write flags above 0x0f with three digits. */
const definedFlags = 0b11;

/** @returns the span context of a W3C traceparent; undefined when it cannot be read. */
export function readTraceparent(traceparent: string | undefined): SpanContext | undefined {
  return trace.getSpanContext(propagator.extract(ROOT_CONTEXT, { traceparent }, defaultTextMapGetter));
}

/** @returns a traceparent of 55 characters. */
export function writeTraceparent(span: SpanContext): string {
  const carrier = { traceparent: '' };
  const known = { ...span, traceFlags: span.traceFlags & definedFlags };
  propagator.inject(trace.setSpanContext(ROOT_CONTEXT, known), carrier, defaultTextMapSetter);
  return carrier.traceparent;
}
