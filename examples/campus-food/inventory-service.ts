import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { Router } from 'express';
import { type Connection, Schema } from 'mongoose';
import { isLucky } from './chance.ts';
import { type Event, queues } from './contract.ts';
import { runService } from './service.ts';

interface ReservationRecord {
  /** The `event_id` of the OrderPlaced event, so that the decision is its own idempotency marker. */
  _id: string;
  /** The resulting event. */
  result: Event;
  decidedAt: Date;
  /** When RabbitMQ confirmed the result; null until then. */
  publishedAt: Date | null;
  /** A lease: until then one delivery of the event publishes the result, and others wait. */
  claimedUntil: Date;
}

const shownReservations = 100;
/** The lease's duration, after which the publishing delivery counts as crashed. */
const claimMs = 10_000;
const claimCheckMs = 200;

await runService('inventory', 8_102, ({ settings, mongo, publish, log }) => {
  const reservations = openReservations(mongo);

  /** Decides, stores the decision and publishes it. A redelivery completes only missing steps. */
  async function handle(placed: Event): Promise<void> {
    const record = await decide(placed);
    if (!(await claim(record._id))) return;
    await publish([record.result]);
    await reservations.updateOne({ _id: record._id }, { publishedAt: new Date() });
    const { order_id, item, quantity, event_type } = record.result;
    log.info({ order_id, item, quantity, event_type }, 'order decided');
  }

  /** @returns true when this delivery holds the lease and must publish; false when the result has been published. */
  async function claim(_id: string): Promise<boolean> {
    for (;;) {
      const now = new Date();
      const claimedUntil = new Date(now.getTime() + claimMs);
      const mine = await reservations.updateOne(
        { _id, publishedAt: null, claimedUntil: { $lt: now } },
        { claimedUntil },
      );
      if (mine.modifiedCount === 1) return true;
      if (await reservations.exists({ _id, publishedAt: { $ne: null } })) return false;
      await delay(claimCheckMs);
    }
  }

  async function decide(placed: Event): Promise<ReservationRecord> {
    const known = await reservations.findById(placed.event_id).lean<ReservationRecord>();
    if (known) return known;
    await delay(settings.RESERVE_MS);
    const event_type = isLucky(settings.RESERVE_CHANCE, settings.SEED, placed.event_id)
      ? 'InventoryReserved'
      : 'InventoryFailed';
    const { order_id, user_id, item, quantity } = placed;
    const now = new Date();
    const about = { order_id, timestamp: now.toISOString(), user_id, item, quantity };
    const result: Event = { event_id: randomUUID(), event_type, ...about };
    // If two instances decide about one event at once, the first stored decision counts.
    const kept = await reservations
      .findOneAndUpdate(
        { _id: placed.event_id },
        { $setOnInsert: { result, decidedAt: now, publishedAt: null, claimedUntil: new Date(0) } },
        { upsert: true, returnDocument: 'after' },
      )
      .lean<ReservationRecord>();
    if (!kept) throw new Error(`The decision about ${placed.event_id} was not stored`);
    return kept;
  }

  const routes = Router();
  routes.get('/reservations', async (_request, response) => {
    const newest = reservations.find().sort({ decidedAt: -1, _id: -1 }).limit(shownReservations);
    const records = await newest.lean<ReservationRecord[]>();
    const shown = records.map(({ _id, result }) => ({ order_placed_event_id: _id, ...result }));
    response.json({ newest: shownReservations, reservations: shown });
  });
  return { routes, queue: queues.inventory, handle };
});

function openReservations(mongo: Connection) {
  const reservation = new Schema<ReservationRecord>(
    {
      _id: { type: String, required: true },
      result: { type: Schema.Types.Mixed, required: true } as never,
      decidedAt: { type: Date, required: true },
      publishedAt: { type: Date, default: null },
      claimedUntil: { type: Date, required: true },
    },
    { versionKey: false, strict: 'throw', collection: 'inventory_decisions' },
  ).index({ decidedAt: -1, _id: -1 });
  return mongo.model<ReservationRecord>('Reservation', reservation);
}
