/**
 * How events travel to whoever subscribed to them. An engine (bull-bus.ts, rabbit-bus.ts) keeps, for each
 * subscription, a durable queue of the events that it has not handled yet: what the subscription missed while it was
 * down waits there. Everything is delivered at least once, in the order published for each source, so a handler tells
 * repeats by the event's id.
 */
export interface EventBus {
  /** Whether the engine brings what is published once, to what `listDeclared` names, to the subscriptions' queues. */
  readonly fansOut: boolean;
  /** Makes the queues of these subscriptions. What is published from then on waits for them. Safe to repeat. */
  declare(subscriptions: Pick<Subscription, 'name' | 'types'>[]): Promise<void>;
  /** The subscriptions that the engine itself knows: whoever declared one, in this version or another. */
  listDeclared(): Promise<Pick<Subscription, 'name' | 'types'>[]>;
  /**
   * Resolves when the engine has put every event where all its subscribers will find it, whatever dies afterwards.
   * @throws when the engine is away or a subscription's queue is full; then some of the events may have been published,
   *   and all may be published again.
   */
  publish(events: BusEvent[]): Promise<void>;
  /**
   * Puts events into the queue of one subscription, all or none of them, whatever their types.
   * @param publishes how many of these its queue has had so far, as far as the caller knows.
   * @returns how many it has had now; `full` when it takes no more; `lost` when it has had fewer than the caller knows of:
   *   its queue was emptied, nothing was added, and the missing events have to be published first.
   * @throws when the engine is away; then they may have been published, and may be published again.
   */
  publishTo(name: string, events: BusEvent[], publishes: number): Promise<number | 'full' | 'lost'>;
  inspect(name: string): Promise<QueueState>;
  /** Lets a queue that was lost be used again, as one that has had so many publishes. */
  restore(name: string, publishes: number): Promise<void>;
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
  /** Takes a subscription's queue away, with all that waits in it and its dead letters. */
  remove(name: string): Promise<void>;
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

/** How the queue of a subscription is. */
interface QueueState {
  /** What publishTo() said last, or fewer when the queue was lost. */
  publishes: number;
  /** Nothing waits in it or is being handled, and it has no dead letters. */
  isEmpty: boolean;
  hasRoom: boolean;
}

export interface DeadEvent {
  event: BusEvent;
  /** What the last attempt threw. */
  error: string;
  /** ISO 8601. */
  failedAt: string;
}

/** Whether an event is of one of these types, in which `*` stands for any one word. */
export function matcherOf(types: readonly string[]): (event: Pick<BusEvent, 'type'>) => boolean {
  const source = types.map((type) => type.replaceAll('.', '\\.').replaceAll('*', '[^.]+'));
  const pattern = new RegExp(`^(?:${source.join('|')})$`);
  return ({ type }) => pattern.test(type);
}
