import { Router } from 'express';
import { type Connection, Schema, trusted } from 'mongoose';
import type { BusEvent } from '../../messages/bus.ts';
import { isLucky } from './chance.ts';
import { dataOf, decisionEvent, type PlacedOrder, placedOrder, subscriptions } from './contract.ts';
import { runService } from './service.ts';

interface ReservationRecord {
  /** The id of the event that was decided about: effect and marker are one document. */
  _id: string;
  order: PlacedOrder;
  outcome: 'reserved' | 'failed';
  decidedAt: Date;
}

/** How many of its newest decisions it shows. */
const shownReservations = 100;

await runService('inventory', ({ settings, mongo, bus, log }) => {
  const reservations = openReservations(mongo);

  /**
   * Decide, keep, tell; only then is the event acknowledged. Delivered again, the decision that is kept is told once
   * more, under the same id: the first time may have ended between the two.
   */
  async function handle(events: BusEvent[]): Promise<void> {
    // One that is malformed throws before anything is written.
    const placed = events.map((event) => ({ id: event.id, order: dataOf(placedOrder, event) }));
    const { upsertedCount } = await reservations.bulkWrite(placed.map(insertion));
    const kept = await reservations
      .find({ _id: trusted({ $in: events.map(({ id }) => id) }) })
      .lean<ReservationRecord[]>();
    await bus.publish(kept.map(announcementOf));
    log.info({ events: events.length, decided: upsertedCount }, 'orders decided');
  }

  function insertion({ id, order }: { id: string; order: PlacedOrder }) {
    const outcome = isLucky(settings.RESERVE_CHANCE, settings.SEED, id) ? 'reserved' : 'failed';
    const update = { $setOnInsert: { order, outcome, decidedAt: new Date() } } as const;
    return { updateOne: { filter: { _id: id }, update, upsert: true } };
  }

  const routes = Router();
  routes.get('/reservations', async (_request, response) => {
    const newest = reservations.find().sort({ decidedAt: -1, _id: -1 }).limit(shownReservations);
    const records = await newest.lean<ReservationRecord[]>();
    response.json({ reservations: records.map(({ _id, ...record }) => ({ eventId: _id, ...record })) });
  });
  return { routes, subscription: { ...subscriptions.inventory, maxBatch: 10, handle } };
});

function announcementOf({ _id, order, outcome, decidedAt }: ReservationRecord): BusEvent {
  return decisionEvent(_id, outcome, { order, decidedAt: decidedAt.toISOString() });
}

function openReservations(mongo: Connection) {
  const reservation = new Schema<ReservationRecord>(
    {
      _id: { type: String, required: true },
      order: { type: Schema.Types.Mixed, required: true } as never,
      outcome: { type: String, required: true, enum: ['reserved', 'failed'] },
      decidedAt: { type: Date, required: true },
    },
    { versionKey: false, strict: 'throw', collection: 'reservations' },
  ).index({ decidedAt: -1, _id: -1 });
  return mongo.model<ReservationRecord>('Reservation', reservation);
}
