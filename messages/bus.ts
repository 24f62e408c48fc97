/**
 * The publish/subscribe bus of events. An engine (bull-bus.ts, rabbit-bus.ts) keeps a durable queue of unhandled events for
 * each subscription, also while the subscriber is down. Events are delivered at least once, in the order published for each
 * source; a handler detects duplicates by the event's id.
 */
export interface EventBus {
  /** Whether one publish to a target of `listDeclared` reaches the queues of all subscriptions (fan-out by the engine). */
  readonly fansOut: boolean;
  /** Creates the queues of these subscriptions; later events are kept there for them. Idempotent. */
  declare(subscriptions: Pick<Subscription, 'name' | 'types'>[]): Promise<void>;
  /** The subscriptions that are declared in the engine, by this version or another. */
  listDeclared(): Promise<Pick<Subscription, 'name' | 'types'>[]>;
  /**
   * Resolves when every event is stored durably in the queues of all its subscribers.
   * @throws when the engine is unavailable or a queue is full; then some of the events may have been published, and all may
   *   be published again.
   */
  publish(events: BusEvent[]): Promise<void>;
  /**
   * Puts events into the queue of one subscription, all or none of them, whatever their types.
   * @param publishes the number of publishes to this queue that the caller has recorded.
   * @returns the number of publishes now; `full` when the queue takes no more; `lost` when it has had fewer publishes than
   *   the caller recorded: it lost its data, nothing was added, and the missing events have to be published first.
   * @throws when the engine is unavailable; then the events may have been published, and may be published again.
   */
  publishTo(name: string, events: BusEvent[], publishes: number): Promise<number | 'full' | 'lost'>;
  /** Reads the state of a subscription's queue. */
  inspect(name: string): Promise<QueueState>;
  /** Sets the publish count of a lost queue, so that it accepts events again. */
  restore(name: string, publishes: number): Promise<void>;
  /** Starts to deliver a subscription's events. `close` waits for the current batch; the others stay in the queue. */
  subscribe(subscription: Subscription): Promise<{ close: () => Promise<void> }>;
  /** Number of events not yet handled by a subscription, including those being handled. */
  countWaiting(name: string): Promise<number>;
  /** Events that a subscription could not handle in 5 attempts, the oldest first, at most `limit` of `total`. */
  listDeadLetters(name: string, limit: number): Promise<{ total: number; letters: DeadLetterEvent[] }>;
  /** Puts a dead letter back into its subscription's queue. @returns whether it existed. */
  republish(name: string, eventId: string): Promise<boolean>;
  /** Deletes a dead letter. @returns whether it existed. */
  discard(name: string, eventId: string): Promise<boolean>;
  /** Deletes a subscription's queue with its events and dead letters. */
  remove(name: string): Promise<void>;
  close(): Promise<void>;
}

/** A CloudEvents 1.0 envelope, in structured mode. */
export interface BusEvent {
  specversion: '1.0';
  /** The same at every delivery. */
  id: string;
  source: string;
  /** Two words separated by a dot, like `order.paid`. */
  type: string;
  subject?: string;
  time: string;
  datacontenttype: 'application/json';
  dataschema?: string;
  /** W3C trace context of the request that caused the event. */
  traceparent?: string;
  data: unknown;
}

export interface Subscription {
  /** Name of the subscription and its queue: lowercase letters, digits and hyphens. */
  name: string;
  /** Types of events, in which `*` matches any one word: `order.*`. */
  types: readonly string[];
  /** Maximum number of events in one call of `handle`. */
  maxBatch: number;
  /**
   * Handles events in order. When it throws, the batch is delivered again one event at a time. An event that fails 5 times,
   * with growing delays, becomes a dead letter, and the next event follows.
   */
  handle(events: BusEvent[]): Promise<void>;
}

/** The state of a subscription's queue. */
interface QueueState {
  /** The last result of publishTo(), or less when the queue was lost. */
  publishes: number;
  /** Whether it has neither waiting nor active events, nor dead letters. */
  isEmpty: boolean;
  hasRoom: boolean;
}

export interface DeadLetterEvent {
  event: BusEvent;
  /** The error of the last attempt. */
  error: string;
  /** ISO 8601. */
  failedAt: string;
}

/** Returns a predicate for events of these types, in which `*` matches any one word. */
export function matcherOf(types: readonly string[]): (event: Pick<BusEvent, 'type'>) => boolean {
  const source = types.map((type) => type.replaceAll('.', '\\.').replaceAll('*', '[^.]+'));
  const pattern = new RegExp(`^(?:${source.join('|')})$`);
  return ({ type }) => pattern.test(type);
}
