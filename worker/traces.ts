import type { EventBus } from '../messages/bus.ts';
import type { Tracing } from '../runtime/observe/tracing.ts';
import type { Batch } from '../sale/settlement/transaction.ts';

/** Adds a span for the transaction to the trace of each purchase that it settled. */
export function traceSettled(tracing: Tracing, { made, beganAt }: Pick<Batch, 'made' | 'beganAt'>): void {
  for (const { _id, status, traceparent } of made) {
    const attributes = {
      'stampede.order': _id,
      'stampede.status': status,
      'stampede.purchases': made.length,
    };
    tracing.note('settle', traceparent, beganAt.getTime(), attributes);
  }
}

/** Wraps a bus so that each publish adds a span to the traces of the purchases that caused the events. */
export function traceEvents(tracing: Tracing, bus: EventBus): EventBus {
  return {
    ...bus,
    async publishTo(name, events, publishes) {
      const startedAtMs = Date.now();
      const reply = await bus.publishTo(name, events, publishes);
      const attributes = { 'stampede.events': events.length, 'stampede.subscription': name };
      for (const traceparent of new Set(events.map((event) => event.traceparent))) {
        tracing.note('publish', traceparent, startedAtMs, attributes);
      }
      return reply;
    },
  };
}
