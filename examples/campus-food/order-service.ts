import { isDeepStrictEqual } from 'node:util';
import { type Request, type Response, Router } from 'express';
import { type Connection, Schema } from 'mongoose';
import { nanoid } from 'nanoid';
import { z } from 'zod';
import type { BusEvent } from '../../messages/bus.ts';
import { isRabbitAway } from '../../runtime/rabbit.ts';
import { HttpProblem } from '../../server/problems.ts';
import { parse } from '../../server/route.ts';
import {
  dataOf,
  decision,
  newOrder,
  orderIdOf,
  type PlacedOrder,
  placedEvent,
  subscriptions,
} from './contract.ts';
import { runService } from './service.ts';

interface OrderRecord {
  _id: string;
  studentId: string;
  dishes: PlacedOrder['dishes'];
  status: 'placed' | 'reserved' | 'failed';
  placedAt: Date;
  decidedAt: Date | null;
}

/** Printable ASCII, as RFC 9110 has it for a header. */
const idempotencyKey = z
  .string()
  .regex(/^[\x21-\x7e]{1,255}$/, 'expected 1 to 255 printable ASCII characters');
const byId = z.strictObject({ id: z.string().regex(/^[\w-]{1,64}$/, 'expected the id of an order') });
const page = z.strictObject({ limit: z.coerce.number().int().min(1).max(100).default(20) });

await runService('orders', ({ mongo, bus, log }) => {
  const orders = openOrders(mongo);
  const routes = Router();

  routes.post('/order', async (request: Request, response: Response) => {
    const key = parse(idempotencyKey, request.get('idempotency-key') ?? nanoid(), 'Idempotency-Key');
    // Whatever the answer will be: whoever tries again sends it along.
    response.set('Idempotency-Key', key);
    const wanted = parse(newOrder, request.body, 'body');
    const id = orderIdOf(wanted.studentId, key);
    const known = await orders.findById(id).lean<OrderRecord>();
    if (known) requireSame(wanted.dishes, known.dishes);
    else await place({ ...wanted, id, placedAt: new Date().toISOString() });
    response
      .status(202)
      .location(`/orders/${id}`)
      .json({ orderId: id, status: known?.status ?? 'placed' });
  });

  routes.get('/orders', async (request, response) => {
    const { limit } = parse(page, request.query, 'query');
    const newest = orders.find().sort({ placedAt: -1, _id: -1 }).limit(limit).lean<OrderRecord[]>();
    response.json({ orders: (await newest).map(orderOf) });
  });

  routes.get('/orders/:id', async (request, response) => {
    const { id } = parse(byId, request.params, 'path');
    const order = await orders.findById(id).lean<OrderRecord>();
    if (!order) throw new HttpProblem('not-found', `There is no order ${id}`);
    response.json(orderOf(order));
  });

  /**
   * The publish is what accepts an order; there is no second write that could be lost beside it. A crash behind it
   * loses nothing: inventory's answer brings the whole order along, and the same key sent again is the same event.
   */
  async function place(order: PlacedOrder): Promise<void> {
    await bus.publish([placedEvent(order)]).catch((error) => {
      if (!isRabbitAway(error)) throw error;
      log.warn({ error: error.message }, 'an order was refused');
      throw new HttpProblem(
        'unavailable',
        'RabbitMQ did not take the order. Send it again with the same key.',
      );
    });
    // Inventory may have been quicker: then this changes nothing.
    await orders
      .bulkWrite([{ updateOne: insertion(order) }])
      .catch((error) => log.warn({ error: error.message, order: order.id }, 'accepted, and not yet shown'));
  }

  /** A decided order stays as it is, so an event that comes again changes nothing. */
  async function handle(events: BusEvent[]): Promise<void> {
    const writes = events.flatMap((event) => {
      const { order, decidedAt } = dataOf(decision, event);
      const status = event.type === 'inventory.reserved' ? 'reserved' : 'failed';
      const filter = { _id: order.id, status: 'placed' as const };
      // The dishes too: of two orders with one key at the same time, inventory's is the one there is.
      const update = { $set: { dishes: order.dishes, status, decidedAt: new Date(decidedAt) } };
      return [{ updateOne: insertion(order) }, { updateOne: { filter, update } }];
    });
    await orders.bulkWrite(writes, { ordered: true });
  }

  return { routes, subscription: { ...subscriptions.orders, maxBatch: 10, handle } };
});

function openOrders(mongo: Connection) {
  const dish = new Schema({ dish: String, quantity: Number }, { _id: false });
  const order = new Schema<OrderRecord>(
    {
      _id: { type: String, required: true },
      studentId: { type: String, required: true },
      dishes: { type: [dish], required: true } as never,
      status: { type: String, required: true, enum: ['placed', 'reserved', 'failed'] },
      placedAt: { type: Date, required: true },
      decidedAt: { type: Date, default: null },
    },
    { versionKey: false, strict: 'throw', collection: 'orders' },
  ).index({ placedAt: -1, _id: -1 });
  return mongo.model<OrderRecord>('Order', order);
}

/** Writes an order that is not there yet, and leaves one that is as it is. */
function insertion({ id, studentId, dishes, placedAt }: PlacedOrder) {
  const record = {
    studentId,
    dishes,
    status: 'placed' as const,
    placedAt: new Date(placedAt),
    decidedAt: null,
  };
  return { filter: { _id: id }, update: { $setOnInsert: record }, upsert: true };
}

function orderOf({ _id, studentId, dishes, status, placedAt, decidedAt }: OrderRecord) {
  return { id: _id, studentId, dishes, status, placedAt, decidedAt };
}

function requireSame(wanted: PlacedOrder['dishes'], known: PlacedOrder['dishes']): void {
  if (isDeepStrictEqual(wanted, known)) return;
  throw new HttpProblem(
    'key-reused',
    'This key came with other dishes; expected the same again, or a new key',
  );
}
