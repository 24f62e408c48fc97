import { type Attributes, type Context, ROOT_CONTEXT, trace } from '@opentelemetry/api';
import type { Config } from '../config.ts';
import { readTraceparent, writeTraceparent } from './trace-context.ts';

/** Spans of a purchase, which the traceparent in the purchase joins over processes. */
export interface Tracing {
  /** Begins a span below `parent`, or a new trace. @returns the span's traceparent, for its child spans, and its end. */
  begin(
    name: string,
    parent: string | undefined,
  ): { traceparent: string; end: (attributes: Attributes) => void };
  /** Records a span that ends now; without a readable parent it records nothing. */
  record(name: string, parent: string | undefined, startedAtMs: number, attributes?: Attributes): void;
  /** Sends the remaining spans. */
  close(): Promise<void>;
}

/** Maximum number of unsent spans; when the collector is too slow, the newest spans are dropped. */
const maxWaitingSpans = 4_096;
const exportDeadlineMs = 5_000;

/**
 * Sends spans as OTLP over HTTP when OTEL_EXPORTER_OTLP_ENDPOINT is set.
 * @returns null when it is not set; then the SDK is not loaded.
 */
export async function openTracing(
  config: Pick<Config, 'INSTANCE' | 'OTEL_EXPORTER_OTLP_ENDPOINT' | 'OTEL_TRACES_SAMPLER_ARG'>,
  role: string,
): Promise<Tracing | null> {
  const endpoint = config.OTEL_EXPORTER_OTLP_ENDPOINT.replace(/\/$/, '');
  if (endpoint === '') return null;
  const [sdk, { OTLPTraceExporter }, { resourceFromAttributes }] = await Promise.all([
    import('@opentelemetry/sdk-trace-node'),
    import('@opentelemetry/exporter-trace-otlp-http'),
    import('@opentelemetry/resources'),
  ]);
  const exporter = new OTLPTraceExporter({ url: `${endpoint}/v1/traces`, timeoutMillis: exportDeadlineMs });
  // The sampler decides by the trace's id, so that every process decides the same and a trace is complete or absent.
  const share = new sdk.TraceIdRatioBasedSampler(config.OTEL_TRACES_SAMPLER_ARG);
  const provider = new sdk.NodeTracerProvider({
    resource: resourceFromAttributes({
      'service.name': `stampede-${role}`,
      'service.instance.id': config.INSTANCE,
    }),
    sampler: new sdk.ParentBasedSampler({ root: share, remoteParentSampled: share }),
    spanProcessors: [new sdk.BatchSpanProcessor(exporter, { maxQueueSize: maxWaitingSpans })],
  });
  const tracer = provider.getTracer('stampede');

  function contextOf(traceparent: string | undefined): Context | null {
    const parent = readTraceparent(traceparent);
    return parent ? trace.setSpanContext(ROOT_CONTEXT, parent) : null;
  }

  return {
    begin(name, parent) {
      const span = tracer.startSpan(name, {}, contextOf(parent) ?? ROOT_CONTEXT);
      return {
        traceparent: writeTraceparent(span.spanContext()),
        end: (attributes) => span.setAttributes(attributes).end(),
      };
    },
    record(name, parent, startedAtMs, attributes = {}) {
      const context = contextOf(parent);
      if (context) tracer.startSpan(name, { startTime: startedAtMs, attributes }, context).end();
    },
    close: () => provider.shutdown().catch(() => {}),
  };
}
