import type { ClientSession } from 'mongoose';
import type { SaleMinute } from '../insight/contract.ts';
import { type EventData, readData } from '../log/schemas.ts';
import type { BusEvent, Subscription } from '../messages/bus.ts';
import { isRehearsal } from '../sale/rehearsal.ts';
import { type Collections, transactionOptions } from '../store/collections.ts';
import type { AnalyticsRecord } from '../store/event-collections.ts';
import { afterCursor, pageOf } from '../store/time-cursor.ts';

/** `order.placed` is not needed, because every placed order is held, paid or rejected in the same transaction. */
const types = ['order.held', 'order.paid', 'order.rejected', 'order.cancelled'] as const;
type Type = (typeof types)[number];

type Counts = Omit<SaleMinute, 'minute'>;

/** An event with its position in its sale's log. */
interface Placed {
  id: string;
  saleId: string;
  seq: number;
  index: number;
  type: Type;
  data: EventData<Type>;
  time: Date;
}

/**
 * Counts the order events of each sale by minute. The counts and the position in each sale's log are written in one
 * transaction, so that a redelivered event is counted once.
 */
export function analytics(collections: Collections): Subscription {
  return {
    name: 'analytics',
    types,
    maxBatch: 1_000,
    async handle(events) {
      try {
        const ofShop = events.filter(({ id }) => !isRehearsal(id));
        if (ofShop.length > 0) await count(collections, ofShop.map(place));
      } catch (error) {
        // It may become a dead letter and be republished after later events were counted, so it is noted as skipped.
        if (events[0] && events.length === 1) await noteSkipped(collections, events[0].id);
        throw error;
      }
    },
  };
}

function place(event: BusEvent): Placed {
  const type = types.find((one) => one === event.type);
  if (!type) throw new Error(`Events of type ${event.type} are not counted`);
  const { saleId, seq, index } = placeOf(event.id);
  return { id: event.id, saleId, seq, index, type, data: readData(event, type), time: new Date(event.time) };
}

/** @throws Error when the id is not of the form `<saleId>:<seq>:<index>`. */
function placeOf(eventId: string) {
  const [, saleId = '', seq, index] = /^([\w-]+):(\d+):(\d+)$/.exec(eventId) ?? [];
  if (!saleId) throw new Error(`Invalid event id: ${eventId}`);
  return { saleId, seq: Number(seq), index: Number(index) };
}

async function count(collections: Collections, events: Placed[]): Promise<void> {
  await collections.connection.withSession((session) =>
    session.withTransaction(async () => {
      const positions = await readPositions(collections, events, session);
      const fresh = events.filter((event) => isUncounted(event, positions.get(event.saleId)));
      if (fresh.length === 0) return;
      await collections.minutes.bulkWrite(minutesOf(fresh), { session, ordered: false });
      await collections.analytics.bulkWrite(positionsOf(fresh, positions), { session });
    }, transactionOptions()),
  );
}

async function readPositions({ analytics }: Collections, events: Placed[], session: ClientSession) {
  const saleIds = [...new Set(events.map(({ saleId }) => saleId))];
  const found = await analytics.find({ _id: { $in: saleIds } }, { session }).toArray();
  return new Map(found.map((position) => [position._id, position]));
}

function isUncounted(event: Placed, position: AnalyticsRecord | undefined): boolean {
  return !position || isBehind(position, event) || (position.skipped?.includes(event.id) ?? false);
}

function isBehind(position: Pick<AnalyticsRecord, 'seq' | 'index'>, { seq, index }: Placed): boolean {
  return position.seq < seq || (position.seq === seq && position.index < index);
}

const minuteMs = 60_000;

function minutesOf(events: Placed[]) {
  const minutes = new Map<string, { saleId: string; minute: Date; counts: Counts }>();
  for (const event of events) {
    const minute = new Date(Math.floor(event.time.getTime() / minuteMs) * minuteMs);
    const key = `${event.saleId}:${minute.toISOString().slice(0, 16)}`;
    const entry = minutes.get(key) ?? { saleId: event.saleId, minute, counts: noCounts() };
    minutes.set(key, entry);
    add(entry.counts, event);
  }
  return [...minutes].map(([_id, { saleId, minute, counts }]) => ({
    updateOne: {
      filter: { _id },
      update: { $inc: counts, $setOnInsert: { saleId, minute } },
      upsert: true,
    },
  }));
}

const noCounts = (): Counts => ({
  accepted: 0,
  paid: 0,
  rejected: 0,
  cancelled: 0,
  units: 0,
  cancelledUnits: 0,
});

function add(counts: Counts, { type, data }: Placed): void {
  const { quantity } = data;
  switch (type) {
    case 'order.held':
      counts.accepted += 1;
      return;
    case 'order.paid':
      if (!('paymentId' in data)) counts.accepted += 1;
      counts.paid += 1;
      counts.units += quantity;
      return;
    case 'order.rejected':
      counts.accepted += 1;
      counts.rejected += 1;
      return;
    case 'order.cancelled':
      if ('unpaid' in data) return;
      counts.cancelled += 1;
      counts.cancelledUnits += quantity;
  }
}

function positionsOf(events: Placed[], positions: Map<string, AnalyticsRecord>) {
  const newest = new Map<string, Pick<AnalyticsRecord, 'seq' | 'index'>>(positions);
  for (const event of events) {
    const position = newest.get(event.saleId);
    if (!position || isBehind(position, event)) newest.set(event.saleId, event);
  }
  return [...newest].map(([_id, { seq, index }]) => ({
    updateOne: {
      filter: { _id },
      update: { $set: { seq, index }, $pull: { skipped: { $in: events.map(({ id }) => id) } } },
      upsert: true,
    },
  }));
}

const maxSkipped = 1_000;

async function noteSkipped({ analytics }: Collections, eventId: string): Promise<void> {
  const saleId = eventId.slice(0, eventId.indexOf(':'));
  await analytics.bulkWrite([
    { updateOne: { filter: { _id: saleId }, update: { $pull: { skipped: eventId } } } },
    {
      updateOne: {
        filter: { _id: saleId },
        update: {
          $push: { skipped: { $each: [eventId], $slice: -maxSkipped } },
          $setOnInsert: { seq: 0, index: 0 },
        },
        upsert: true,
      },
    },
  ]);
}

const maxMinutes = 1_440;

/** A sale's minutes that have events, the oldest first; a page has at most the newest 1,440 of them. */
export async function readMinutes(
  { minutes }: Collections,
  saleId: string,
  cursor?: string,
): Promise<{ minutes: SaleMinute[]; nextCursor: string | null }> {
  const newest = await minutes
    .find({ saleId, ...afterCursor('minute', cursor) })
    .sort({ minute: -1, _id: -1 })
    .limit(maxMinutes + 1)
    .toArray();
  const { page, nextCursor } = pageOf(newest, 'minute', maxMinutes);
  const inOrder = page.reverse().map(({ _id, saleId: _, minute, ...counts }) => ({
    minute: minute.toISOString(),
    ...counts,
  }));
  return { minutes: inOrder, nextCursor };
}
