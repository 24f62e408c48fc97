import { randomUUID } from 'node:crypto';
import { type Request, type Response, Router } from 'express';
import { type Connection, type QueryFilter, Schema } from 'mongoose';
import { z } from 'zod';
import { parse } from '../../server/http/pipeline.ts';
import { isRefusal, type Refusal, refuse, sendRefusal } from '../../server/http/problems.ts';
import { type Event, type NewOrder, newOrder, type OrderStatus, queues, uuidOf } from './contract.ts';
import { openOutbox } from './outbox.ts';
import { runService } from './service.ts';

export interface OrderRecord {
  /** The `order_id`. */
  _id: string;
  user_id: string;
  item: string;
  quantity: number;
  status: OrderStatus;
  placedAt: Date;
  decidedAt: Date | null;
  /** The `event_id` of its OrderPlaced event. */
  event_id: string;
  /** When RabbitMQ confirmed its OrderPlaced event; null while the order is in the outbox. */
  publishedAt: Date | null;
  /** The instance that publishes it, unless that one has crashed. */
  publisher: string;
}

/** Printable ASCII, which RFC 9110 allows in a header. */
const idempotencyKey = z
  .string()
  .regex(/^[\x21-\x7e]{1,255}$/, 'expected 1 to 255 printable ASCII characters')
  .optional();
const cursor = /^(?<placedAtMs>\d{13})\.(?<id>[0-9a-f-]{36})$/;
const page = z.strictObject({
  limit: z.coerce.number().int().min(1).max(1_000).default(100),
  cursor: z.string().regex(cursor, 'expected the next_cursor of the page before').optional(),
});

await runService('order', 8_101, ({ mongo, publish, log }) => {
  const orders = openOrders(mongo);
  const publisher = randomUUID();
  const outbox = openOutbox(orders, publisher, publish, log);
  const routes = Router();

  routes.post('/order', async (request: Request, response: Response) => {
    const wanted = parse(newOrder, request.body, 'body');
    if (isRefusal(wanted)) return sendRefusal(response, wanted);
    const key = parse(idempotencyKey, request.get('idempotency-key'), 'Idempotency-Key');
    if (isRefusal(key)) return sendRefusal(response, key);
    const order = await keep(wanted, key);
    if (isRefusal(order)) return sendRefusal(response, order);
    outbox.wake();
    response.status(202).location(`/orders/${order._id}`).json({
      order_id: order._id,
      status: 'accepted',
      message: 'Order received and being processed',
      timestamp: order.placedAt.toISOString(),
    });
  });

  routes.get('/orders', async (request, response) => {
    const query = parse(page, request.query, 'query');
    if (isRefusal(query)) return sendRefusal(response, query);
    const { limit, cursor } = query;
    const found = await orders
      .find(olderThan(cursor))
      .sort({ placedAt: -1, _id: -1 })
      .limit(limit + 1)
      .lean<OrderRecord[]>();
    const shown = found.slice(0, limit);
    const last = shown.at(-1);
    const next_cursor = last && found.length > limit ? `${last.placedAt.getTime()}.${last._id}` : null;
    response.json({ orders: shown.map(orderOf), next_cursor });
  });

  routes.get('/orders/:id', async (request, response) => {
    const id = String(request.params.id);
    const order = await orders.findById(id).lean<OrderRecord>();
    if (!order) return sendRefusal(response, refuse('not-found', `There is no order ${id}`));
    response.json(orderOf(order));
  });

  /**
   * Keeps an order, and in the same document that its event is to be published. The same user's same Idempotency-Key is
   * the same order.
   */
  async function keep(wanted: NewOrder, key: string | undefined): Promise<OrderRecord | Refusal> {
    const _id = key === undefined ? randomUUID() : uuidOf(wanted.user_id, key);
    const record = {
      ...wanted,
      status: 'accepted' as const,
      placedAt: new Date(),
      decidedAt: null,
      event_id: randomUUID(),
      publishedAt: null,
      publisher,
    };
    const kept = await orders
      .findOneAndUpdate({ _id }, { $setOnInsert: record }, { upsert: true, returnDocument: 'after' })
      .lean<OrderRecord>();
    if (!kept) throw new Error(`Order ${_id} was not stored`);
    if (kept.item !== wanted.item || kept.quantity !== wanted.quantity) {
      const before = `${kept.quantity} of ${kept.item}`;
      return refuse('key-reused', `This key came with ${before}; expected the same, or a new key`);
    }
    return kept;
  }

  /** A decided order does not change. An unknown order was placed by another sender. */
  async function handle({ event_type, order_id, timestamp, user_id, item, quantity }: Event): Promise<void> {
    const at = new Date(timestamp);
    const unknown = { user_id, item, quantity, status: 'accepted' as const, placedAt: at, decidedAt: null };
    const published = { event_id: uuidOf(order_id), publishedAt: at, publisher };
    const status = event_type === 'InventoryReserved' ? 'reserved' : 'failed';
    await orders.bulkWrite([
      {
        updateOne: {
          filter: { _id: order_id },
          update: { $setOnInsert: { ...unknown, ...published } },
          upsert: true,
        },
      },
      {
        updateOne: {
          filter: { _id: order_id, status: 'accepted' },
          update: { $set: { status, decidedAt: at } },
        },
      },
    ]);
  }

  return { routes, queue: queues.orders, handle, close: outbox.close };
});

function olderThan(text: string | undefined): QueryFilter<OrderRecord> {
  const { placedAtMs, id } = cursor.exec(text ?? '')?.groups ?? {};
  if (placedAtMs === undefined || id === undefined) return {};
  const placedAt = new Date(Number(placedAtMs));
  return { $or: [{ placedAt: { $lt: placedAt } }, { placedAt, _id: { $lt: id } }] };
}

function openOrders(mongo: Connection) {
  const order = new Schema<OrderRecord>(
    {
      _id: { type: String, required: true },
      user_id: { type: String, required: true },
      item: { type: String, required: true },
      quantity: { type: Number, required: true },
      status: { type: String, required: true, enum: ['accepted', 'reserved', 'failed'] },
      placedAt: { type: Date, required: true },
      decidedAt: { type: Date, default: null },
      event_id: { type: String, required: true },
      publishedAt: { type: Date, default: null },
      publisher: { type: String, required: true },
    },
    { versionKey: false, strict: 'throw', collection: 'placed_orders' },
  )
    .index({ placedAt: -1, _id: -1 })
    .index({ placedAt: 1 }, { partialFilterExpression: { publishedAt: null }, name: 'outbox' });
  return mongo.model<OrderRecord>('Order', order);
}

function orderOf({ _id, user_id, item, quantity, status, placedAt, decidedAt }: OrderRecord) {
  const timestamp = placedAt.toISOString();
  return { order_id: _id, user_id, item, quantity, status, timestamp, decided_at: decidedAt };
}
