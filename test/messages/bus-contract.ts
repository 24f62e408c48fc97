import { nanoid } from 'nanoid';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import type { BusEvent, EventBus, Subscription } from '../../messages/bus.ts';
import { waitUntil } from '../../ops/local/processes/process.mjs';

/** The server of a bus engine, which several processes can open. */
export interface BusTestbed {
  /** Opens the bus as a separate process would. Retries wait for `retryWaitsMs`; an error `away` counts as temporary. */
  openBus(options: { retryWaitsMs: readonly number[] }): Promise<EventBus>;
  /** Kills the server with SIGKILL. */
  kill(): Promise<void>;
  /** Starts it again on the same data and port. */
  start(): Promise<void>;
  close(): Promise<void>;
}

const soon = { deadlineMs: 20_000 };
const retryWaitsMs = [10, 20, 30, 40];

let number = 0;
function eventOf(type: string, source = '/api/sales/a'): BusEvent {
  number += 1;
  return {
    specversion: '1.0',
    id: `a:${String(number).padStart(10, '0')}:0`,
    source,
    type,
    time: new Date().toISOString(),
    datacontenttype: 'application/json',
    data: { number },
  };
}
const paid = (count: number) => Array.from({ length: count }, () => eventOf('order.paid'));
const idsOf = (events: BusEvent[]) => events.map(({ id }) => id);

/** A subscription that records its events; `fault` may return an error for one. */
function listener(types: string[], fault: (event: BusEvent) => Error | undefined = () => undefined) {
  const handled: BusEvent[] = [];
  const attempts: string[] = [];
  const subscription: Subscription = {
    name: `test-${nanoid(6).toLowerCase().replace(/_/g, '-')}0`,
    types,
    maxBatch: 10,
    async handle(events) {
      for (const event of events) {
        attempts.push(event.id);
        const error = fault(event);
        if (error) throw error;
      }
      handled.push(...events);
    },
  };
  const gets = (count: number) =>
    waitUntil(() => handled.length >= count, { ...soon, what: `${count} events are handled` });
  return { subscription, name: subscription.name, handled, attempts, gets };
}

/** Tests the contract of messages/bus.ts on a real engine. */
export function busContract(engine: string, openTestbed: () => Promise<BusTestbed>): void {
  let testbed: BusTestbed;
  let open: EventBus[] = [];
  beforeAll(async () => {
    testbed = await openTestbed();
  });
  afterEach(async () => {
    await Promise.all(open.map((bus) => bus.close()));
    open = [];
  });
  afterAll(() => testbed.close());

  async function openBus(): Promise<EventBus> {
    const bus = await testbed.openBus({ retryWaitsMs });
    open.push(bus);
    return bus;
  }

  test(`${engine}: each subscription gets the events of its types in order`, async () => {
    const bus = await openBus();
    const [orders, all] = [listener(['order.*']), listener(['*.*'])];
    await bus.subscribe(orders.subscription);
    await bus.subscribe(all.subscription);
    const events = ['order.paid', 'sale.paused', 'order.cancelled', 'inventory.released'].map((type) =>
      eventOf(type),
    );
    const many = paid(1_250);
    await bus.publish(events);
    await bus.publish(many);
    await Promise.all([orders.gets(1_252), all.gets(1_254)]);
    expect(all.handled).toEqual([...events, ...many]);
    expect(idsOf(orders.handled)).toEqual(
      idsOf([...events, ...many].filter(({ type }) => type.startsWith('order.'))),
    );
  });

  test(`${engine}: events published while a declared subscription is not running wait for it`, async () => {
    const bus = await openBus();
    const late = listener(['order.paid']);
    await bus.declare([late.subscription]);
    const events = paid(25);
    await bus.publish(events);
    expect(await bus.countWaiting(late.name)).toBe(25);
    const other = await openBus();
    await other.subscribe(late.subscription);
    await late.gets(25);
    expect(idsOf(late.handled)).toEqual(idsOf(events));
    await waitUntil(async () => (await bus.countWaiting(late.name)) === 0, {
      ...soon,
      what: 'nothing waits any more',
    });
  });

  test(`${engine}: one of two processes with the same subscription gets the events, and the other takes over`, async () => {
    const [first, second] = [await openBus(), await openBus()];
    const mine = listener(['order.paid']);
    const theirs = { ...listener(['order.paid']), name: mine.name };
    const subscribed = await first.subscribe(mine.subscription);
    await first.publish(paid(30));
    await mine.gets(30);
    await second.subscribe({ ...theirs.subscription, name: mine.name });
    const more = paid(30);
    await first.publish(more);
    await waitUntil(() => mine.handled.length + theirs.handled.length === 60, {
      ...soon,
      what: 'all are handled',
    });
    expect(idsOf([...mine.handled, ...theirs.handled]).sort()).toEqual(
      idsOf([...mine.handled.slice(0, 30), ...more]).sort(),
    );
    await subscribed.close();
    const last = paid(30);
    const before = theirs.handled.length;
    await first.publish(last);
    await waitUntil(() => theirs.handled.length === before + 30, { ...soon, what: 'the other takes over' });
    expect(idsOf(theirs.handled.slice(before))).toEqual(idsOf(last));
  });

  test(`${engine}: an event that fails five times becomes a dead letter, and the others are handled`, async () => {
    const bus = await openBus();
    const events = paid(20);
    const poison = events[7]?.id ?? '';
    let isMended = false;
    const { subscription, name, handled, attempts, gets } = listener(['order.paid'], ({ id }) =>
      id === poison && !isMended ? new Error('cannot be read') : undefined,
    );
    await bus.subscribe(subscription);
    await bus.publish(events);
    await gets(19);
    expect(idsOf(handled)).toEqual(idsOf(events.filter(({ id }) => id !== poison)));
    // Five attempts alone, and one in its batch if it had one.
    expect([5, 6]).toContain(attempts.filter((id) => id === poison).length);
    const { total, letters } = await bus.listDeadLetters(name, 10);
    expect({ total, letters }).toMatchObject({
      total: 1,
      letters: [{ event: { id: poison }, error: 'cannot be read' }],
    });
    expect(Date.parse(letters[0]?.failedAt ?? '')).toBeGreaterThan(Date.now() - 60_000);

    isMended = true;
    expect(await bus.republish(name, 'no-such-event')).toBe(false);
    expect(await bus.republish(name, poison)).toBe(true);
    await gets(20);
    expect(handled.at(-1)).toEqual(events[7]);
    expect(await bus.republish(name, poison)).toBe(false);
    expect((await bus.listDeadLetters(name, 10)).total).toBe(0);
  });

  test(`${engine}: dead letters are listed up to a limit, and one can be discarded`, async () => {
    const bus = await openBus();
    const events = paid(3);
    const { subscription, name } = listener(['order.paid'], () => new Error('no'));
    await bus.subscribe(subscription);
    await bus.publish(events);
    const listed = (total: number) =>
      waitUntil(
        async () => {
          const found = await bus.listDeadLetters(name, 2);
          return found.total === total ? found : null;
        },
        { ...soon, what: `${total} dead letters` },
      );
    expect(idsOf((await listed(3)).letters.map(({ event }) => event))).toEqual(idsOf(events.slice(0, 2)));
    expect(await bus.discard(name, events[0]?.id ?? '')).toBe(true);
    expect(await bus.discard(name, events[0]?.id ?? '')).toBe(false);
    expect(idsOf((await listed(2)).letters.map(({ event }) => event))).toEqual(idsOf(events.slice(1)));
  });

  test(`${engine}: a subscription that closes leaves the remaining events, in order, to the next process`, async () => {
    const [first, second] = [await openBus(), await openBus()];
    const events = paid(40);
    let isStuck = true;
    const stuckAt = events[25]?.id ?? '';
    // Temporary errors use up no attempts: the event waits, and the events behind it too.
    const before = listener(['order.paid'], ({ id }) =>
      isStuck && id === stuckAt ? new Error('away') : undefined,
    );
    const subscribed = await first.subscribe(before.subscription);
    await first.publish(events);
    await waitUntil(() => before.attempts.includes(stuckAt), { ...soon, what: 'it is stuck' });
    await subscribed.close();
    isStuck = false;
    const after = { ...before.subscription };
    const handledBefore = before.handled.length;
    expect(idsOf(before.handled)).toEqual(idsOf(events.slice(0, handledBefore)));
    expect(handledBefore).toBeLessThanOrEqual(25);
    await second.subscribe(after);
    await before.gets(40);
    expect(idsOf(before.handled)).toEqual(idsOf(events));
  });

  test(`${engine}: a killed and restarted server keeps published events, and subscriptions resume`, async () => {
    const bus = await openBus();
    const [live, late] = [listener(['order.paid']), listener(['order.paid'])];
    await bus.subscribe(live.subscription);
    await bus.declare([late.subscription]);
    const events = paid(30);
    await bus.publish(events);
    await live.gets(30);
    await testbed.kill();
    await expect(bus.publish(paid(1))).rejects.toThrow();
    await testbed.start();
    const more = paid(10);
    await waitUntil(() => bus.publish(more).then(() => true), { ...soon, what: 'it publishes again' });
    await bus.subscribe(late.subscription);
    await waitUntil(() => new Set(idsOf(late.handled)).size >= 40, { ...soon, what: 'the late one has all' });
    await waitUntil(() => more.every(({ id }) => idsOf(live.handled).includes(id)), {
      ...soon,
      what: 'the live one goes on',
    });
    const wanted = new Set(idsOf([...events, ...more]));
    expect([...new Set(idsOf(late.handled))].filter((id) => wanted.has(id))).toEqual([...wanted]);
  });
}
