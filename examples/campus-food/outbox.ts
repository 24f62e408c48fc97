import { type Model, STATES } from 'mongoose';
import { isMongoAway } from '../../runtime/databases/connections.ts';
import type { Log } from '../../runtime/observe/log.ts';
import { pause } from '../../runtime/pause.ts';
import { isRabbitAway } from '../../runtime/rabbit/rabbit.ts';
import type { Event } from './contract.ts';
import type { OrderRecord } from './order-service.ts';

const ordersAtOnce = 100;
/** How often it polls for orders that another instance left, or that failed. */
const lookEveryMs = 1_000;
/** After this time any instance publishes an order that its own instance has not published. */
const leftAfterMs = 5_000;

/**
 * The outbox: publishes the OrderPlaced event of every stored order, oldest first, and marks it after RabbitMQ's confirm. A
 * crash between the two repeats the event with the same `event_id`.
 */
export function openOutbox(
  orders: Model<OrderRecord>,
  publisher: string,
  publish: (events: Event[]) => Promise<void>,
  log: Log,
): { wake: () => void; close: () => Promise<void> } {
  const closing = new AbortController();
  let waiting = new AbortController();

  async function publishSome(): Promise<number> {
    // Before the first connection mongoose would buffer the query for 10 s.
    if (orders.db.readyState !== STATES.connected) return 0;
    const left = new Date(Date.now() - leftAfterMs);
    const due = await orders
      .find({ publishedAt: null, $or: [{ publisher }, { placedAt: { $lt: left } }] })
      .sort({ placedAt: 1 })
      .limit(ordersAtOnce)
      .lean<OrderRecord[]>();
    if (due.length === 0) return 0;
    await publish(due.map(placedOf));
    const ids = due.map(({ _id }) => _id);
    await orders.updateMany({ _id: { $in: ids } }, { publishedAt: new Date() });
    return due.length;
  }

  async function run(): Promise<void> {
    while (!closing.signal.aborted) {
      waiting = new AbortController();
      try {
        if ((await publishSome()) > 0) continue;
      } catch (error) {
        const { message } = error as Error;
        if (isRabbitAway(error) || isMongoAway(error)) log.warn({ error: message }, 'publishing is retried');
        else log.error(error, 'publishing failed');
        await pause(lookEveryMs, closing.signal);
        continue;
      }
      await pause(lookEveryMs, AbortSignal.any([closing.signal, waiting.signal]));
    }
  }
  const running = run();

  return {
    /** Called when an order was stored. */
    wake: () => waiting.abort(),
    async close() {
      closing.abort();
      await running;
    },
  };
}

function placedOf({ _id, event_id, placedAt, user_id, item, quantity }: OrderRecord): Event {
  const about = { order_id: _id, timestamp: placedAt.toISOString(), user_id, item, quantity };
  return { event_id, event_type: 'OrderPlaced', ...about };
}
