/**
 * How events travel to whoever subscribed to them. An engine (bull-bus.ts, rabbit-bus.ts) keeps, for each
 * subscription, a durable queue of the events that it has not handled yet: what the subscription missed while it was
 * down waits there. Everything is delivered at least once, in the order published for each source, so a handler tells
 * repeats by the event's id.
 */
export interface EventBus {
  /** Makes the queues of these subscriptions. What is published from then on waits for them. Safe to repeat. */
  declare(subscriptions: Pick<Subscription, 'name' | 'types'>[]): Promise<void>;
  /**
   * Resolves when the engine has put every event where all its subscribers will find it, whatever dies afterwards.
   * @param idle names of subscriptions that would do nothing with these events: an engine may leave them out.
   * @throws when the engine is away; then some of the events may have been published, and all may be published again.
   */
  publish(events: BusEvent[], idle?: readonly string[]): Promise<void>;
  /** Starts to hand a subscription its events. The closer lets the batch in hand end, and leaves the rest in the queue. */
  subscribe(subscription: Subscription): Promise<{ close: () => Promise<void> }>;
  /** Events that wait for a subscription, the ones in hand included. */
  countWaiting(name: string): Promise<number>;
  /** Events that a subscription could not handle in 5 attempts, the oldest first, at most `limit` of `total`. */
  listDeadLetters(name: string, limit: number): Promise<{ total: number; letters: DeadEvent[] }>;
  /** Puts a dead letter back into its subscription's queue. @returns whether there was such a letter. */
  republish(name: string, eventId: string): Promise<boolean>;
  /** @returns whether there was such a letter. */
  discard(name: string, eventId: string): Promise<boolean>;
  close(): Promise<void>;
}

/** A CloudEvents 1.0 envelope, in structured mode. */
export interface BusEvent {
  specversion: '1.0';
  /** The same at every delivery. */
  id: string;
  source: string;
  /** Two words with a dot between them, like `order.paid`. */
  type: string;
  subject?: string;
  time: string;
  datacontenttype: 'application/json';
  dataschema?: string;
  /** W3C trace context of the request that led to it. */
  traceparent?: string;
  data: unknown;
}

export interface Subscription {
  /** Names its queue: small letters, digits and hyphens. */
  name: string;
  /** Types of events; `*` stands for any one word: `order.*`. */
  types: readonly string[];
  /** Events handed over at once, at most. */
  maxBatch: number;
  /**
   * Handles events in their order. When it throws, the batch is handed over again one by one, and the event that is
   * the trouble up to 5 times, with growing waits; then that one is a dead letter and the others go on.
   */
  handle(events: BusEvent[]): Promise<void>;
}

export interface DeadEvent {
  event: BusEvent;
  /** What the last attempt threw. */
  error: string;
  /** ISO 8601. */
  failedAt: string;
}
