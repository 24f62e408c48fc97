import type { ClientSession } from 'mongoose';
import { mongoClock, redisClock } from '../../runtime/clock.ts';
import { gapMs, transact } from '../../runtime/databases/transact.ts';
import { groupCommit } from '../../runtime/group-commit.ts';
import type { Collections, SaleRecord } from '../../store/collections.ts';
import type { PlaceListRecord, PlaceRecord } from '../../store/place-collections.ts';
import { type Place, type PurchaseLine, unitsIn } from '../contract.ts';
import { groupBySale } from '../sale.ts';
import { allowanceKey, claimsOf, limitsOf } from '../settlement/decide.ts';
import type { OtherWriters } from '../settlement/other-writers.ts';
import { isDrawn, newListOf, pseudonymOf, readNamesKey } from './draw.ts';
import { placeIdOf, placeOf } from './place.ts';
import { publicCountsOf, reservedItemsOf } from './reserve.ts';

/** What a person asks for: to enter a draw, to wait for units that come back, to gather in a room, or to leave. */
/** `redeems`: the id of the code that the person's order will redeem; null when it needs none. */
export type PlaceRequest = { saleId: string; personId: string; buyerId: string; networkKey?: string } & (
  | { action: 'enter' | 'join'; lines: PurchaseLine[]; redeems?: string | null }
  | { action: 'gather' }
  | { action: 'leave' }
);

export type PlaceRefusal =
  | 'unknown_sale'
  | 'not_open'
  | 'paused'
  | 'ended'
  | 'unknown_item'
  | 'over_limit'
  | 'no_draw'
  /** The draw takes no entries any more, and lets nobody leave until it is made. */
  | 'entries_closed'
  | 'no_waiting_list'
  | 'still_on_sale'
  /** People wait only once the draw is made. */
  | 'not_drawn'
  | 'no_room'
  | 'list_full'
  /** The person was called into the room too often. */
  | 'called_out'
  /** The person has a pass into the room, with which they could still buy. */
  | 'inside'
  /** The place has become an order already. */
  | 'offered';

/** The person's place; null when there is none any more. */
type PlaceAnswer = Place | PlaceRefusal | null;

/** Requests that arrive together share one transaction; separate ones would conflict on the list of their sale. */
const maxBatch = 500;
const maxWaiting = 20_000;
/** How long a batch is retried after write conflicts before its requests fail. */
const patienceMs = 5_000;
/** Places of one sale. */
const maxPlaces = 1_000_000;
/** Calls of one person into a waiting room, who may come again and again. */
const maxCalls = 10;

export interface Places {
  /** @throws Overloaded when too many requests wait; MongoDB's write conflict when the retries ran out. */
  change(request: PlaceRequest): Promise<PlaceAnswer>;
  drained(): Promise<void>;
}

/** A request, and when it came: whoever was in time stays in time while the batch waits. */
interface Asked {
  request: PlaceRequest;
  at: Date;
}

/** @param reserved is told of a sale of which more items are reserved now, for its gate; it must not throw. */
export function openPlaces(
  collections: Collections,
  reserved: (sale: SaleRecord) => Promise<unknown>,
  otherWriters: Pick<OtherWriters, 'announce'>,
): Places {
  const { submit, drained } = groupCommit({
    async send(asked: Asked[]) {
      const { answers, reserving } = await changePlaces(collections, asked, otherWriters);
      await Promise.all(reserving.map(reserved));
      return answers;
    },
    maxBatch,
    maxWaiting,
    gapMs: () => gapMs,
  });
  return { change: (request) => submit({ request, at: redisClock.now() }), drained };
}

async function changePlaces(
  collections: Collections,
  asked: Asked[],
  otherWriters: Pick<OtherWriters, 'announce'>,
): Promise<{ answers: PlaceAnswer[]; reserving: SaleRecord[] }> {
  const ofSales = [...groupBySale(asked.map((one, n) => ({ ...one, n, saleId: one.request.saleId })))];
  const keys = new Map<string, Buffer>();
  for (const [saleId] of ofSales) {
    const sale = await collections.sales.findOne({ _id: saleId }, { projection: { mode: 1 } });
    if (sale && isDrawn(sale)) keys.set(saleId, await readNamesKey(collections, saleId));
  }
  const { outcomes, reserving } = await transact(
    collections.connection,
    async (session) => {
      const outcomes: Outcome[] = [];
      const reserving: SaleRecord[] = [];
      for (const [saleId, ofSale] of ofSales) {
        const state = await readState(collections, saleId, ofSale, session);
        const edit = openEdit(state, keys.get(saleId));
        for (const { request, at, n } of ofSale) {
          const refusal = edit.apply(request, at);
          const place = edit.places.get(request.personId) ?? null;
          outcomes[n] = { refusal, place, list: state.list };
        }
        const sale = await write(collections, edit, state, session, otherWriters);
        if (sale) reserving.push(sale);
      }
      return { outcomes, reserving };
    },
    { patienceMs },
  );
  const answers = outcomes.map(({ refusal, place, list }) => {
    return refusal ?? (place && placeOf(collections, place, list));
  });
  return { answers: await Promise.all(answers), reserving };
}

interface Outcome {
  refusal: PlaceRefusal | null;
  place: PlaceRecord | null;
  list: PlaceListRecord;
}

interface State {
  /** Null when there is no such sale. */
  sale: SaleRecord | null;
  list: PlaceListRecord;
  /** By person. */
  places: ReadonlyMap<string, PlaceRecord>;
  allowances: ReadonlyMap<string, number>;
}

/** The list is written first, so that a write conflict with another transaction costs only this one command. */
async function readState(
  { sales, places, placeLists, allowances }: Collections,
  saleId: string,
  asked: Asked[],
  session: ClientSession,
): Promise<State> {
  const { writes: _, _id: __, ...fresh } = newListOf(saleId);
  const exists = await sales.findOne({ _id: saleId }, { session, projection: { _id: 1 } });
  if (!exists) return { sale: null, list: newListOf(saleId), places: new Map(), allowances: new Map() };
  const list = await placeLists.findOneAndUpdate(
    { _id: saleId },
    { $inc: { writes: 1 }, $setOnInsert: fresh },
    { upsert: true, returnDocument: 'after', session },
  );
  const sale = await sales.findOne({ _id: saleId }, { session });
  const personIds = [...new Set(asked.map(({ request }) => request.personId))];
  const ids = personIds.map((personId) => placeIdOf(saleId, personId));
  const found = await places.find({ _id: { $in: ids } }, { session }).toArray();
  const limits = sale && limitsOf(sale);
  const holders = asked.flatMap(({ request }) => {
    if (request.action === 'leave' || !limits) return [];
    if (request.action === 'gather') return [request.personId];
    return claimsOf({ ...request, quantity: unitsIn(request.lines) }, limits).map(({ holder }) => holder);
  });
  const allowanceKeys = [...new Set(holders)].map((holder) => allowanceKey(saleId, holder));
  const taken = await allowances.find({ _id: { $in: allowanceKeys } }, { session }).toArray();
  return {
    sale,
    list: list as PlaceListRecord,
    places: new Map(found.map((place) => [place.personId, place])),
    allowances: new Map(taken.map(({ _id, units }) => [_id, units])),
  };
}

/** The changes of one sale's places, in the order of arrival. Pure. */
function openEdit({ sale, list, places: before, allowances }: State, namesKey: Buffer | undefined) {
  const places = new Map(before);
  const changed = new Set<string>();
  const reserved = new Set(sale ? reservedItemsOf(sale) : []);
  let lastPosition = list.lastPosition;
  /** The draw's state, if it is changed: whoever comes to a room when it opens closes the list of those before. */
  let isClosed = false;
  const drawState = () => (isClosed ? 'closing' : (list.draw?.state ?? 'drawn'));

  function leave(personId: string): PlaceRefusal | null {
    const place = places.get(personId);
    if (!place || place.state === 'left' || place.state === 'served') return null;
    if (place.state === 'offered' || place.state === 'inside') return place.state;
    const state = drawState();
    if (state === 'closing' || state === 'frozen') return 'entries_closed';
    changed.add(personId);
    if (state === 'entering') places.delete(personId);
    else places.set(personId, { ...place, state: 'left' });
    return null;
  }

  /** Before the opening a person in a room takes part in the draw, and afterwards gets the place behind all others. */
  function gather({ saleId, personId, buyerId, networkKey }: PlaceRequest, at: Date): PlaceRefusal | null {
    if (!sale?.publishedAt) return 'unknown_sale';
    if (sale.mode !== 'room') return 'no_room';
    if (at >= sale.closesAt) return 'ended';
    const known = places.get(personId);
    if (known?.state === 'waiting' || known?.state === 'called' || known?.state === 'inside') {
      // A place that is older than the sale's limit for networks counts from now on.
      const isCounted = !networkKey || known.networkKey !== undefined;
      if (known.buyerId === buyerId && isCounted) return null;
      places.set(personId, { ...known, buyerId, ...(!isCounted && { networkKey }) });
      changed.add(personId);
      return null;
    }
    if ((allowances.get(allowanceKey(saleId, personId)) ?? 0) >= sale.limitPerBuyer) return 'over_limit';
    const count = list.places + places.size - before.size;
    if (!known && count >= maxPlaces) return 'list_full';
    if ((known?.calls?.length ?? 0) >= maxCalls) return 'called_out';
    const isEntry = drawState() === 'entering' && at < sale.opensAt;
    if (!isEntry && drawState() === 'entering') {
      isClosed = true;
      lastPosition = count;
    }
    if (!isEntry) lastPosition += 1;
    const { pseudonym, drawKey, drawn, calls } = known ?? {};
    places.set(personId, {
      _id: placeIdOf(saleId, personId),
      saleId,
      personId,
      buyerId,
      lines: [],
      state: 'waiting',
      position: isEntry ? null : lastPosition,
      ...(pseudonym && { pseudonym, ...(drawKey && { drawKey }), ...(drawn && { drawn }) }),
      ...(isEntry && namesKey && { pseudonym: pseudonymOf(namesKey, personId) }),
      ...(calls && { calls }),
      ...(networkKey && { networkKey }),
      joinedAt: mongoClock.now(),
    });
    changed.add(personId);
    return null;
  }

  function refusalOf(
    request: Extract<PlaceRequest, { lines: PurchaseLine[] }>,
    at: Date,
  ): PlaceRefusal | null {
    if (!sale?.publishedAt) return 'unknown_sale';
    const isEntry = request.action === 'enter';
    if (isEntry && sale.mode !== 'draw') return 'no_draw';
    if (!isEntry && (!sale.waitingList || sale.mode === 'room')) return 'no_waiting_list';
    if (at >= sale.closesAt) return 'ended';
    if (at < sale.opensAt) return 'not_open';
    if (sale.paused) return 'paused';
    if (isEntry && (list.draw?.state !== 'entering' || at >= (sale.drawAt ?? at))) return 'entries_closed';
    if (!isEntry && list.draw && list.draw.state !== 'drawn') return 'not_drawn';
    const limits = limitsOf(sale);
    if (!request.lines.every(({ itemId }) => limits.items.has(itemId))) return 'unknown_item';
    const left = new Map(publicCountsOf(sale).items.map(({ id, stock }) => [id, stock]));
    const isLeft = (itemId: string) => !reserved.has(itemId) && (left.get(itemId) ?? 0) > 0;
    if (request.lines.some(({ itemId }) => isLeft(itemId))) return 'still_on_sale';
    for (const { holder, units, limit } of claimsOf(
      { ...request, quantity: unitsIn(request.lines) },
      limits,
    )) {
      if ((allowances.get(allowanceKey(sale._id, holder)) ?? 0) + units > limit) return 'over_limit';
    }
    const isNew = !places.has(request.personId);
    if (isNew && list.places + places.size - before.size >= maxPlaces) return 'list_full';
    return null;
  }

  return {
    places,
    changed,
    lastPosition: () => lastPosition,
    isClosed: () => isClosed,
    /** The items that people wait for now. */
    reserved,
    /** @returns why it is refused; null when the place is as it was asked for. */
    apply(request: PlaceRequest, at: Date): PlaceRefusal | null {
      const { saleId, personId, buyerId, networkKey } = request;
      if (!sale) return 'unknown_sale';
      if (request.action === 'leave') return leave(personId);
      if (request.action === 'gather') return gather(request, at);
      const refusal = refusalOf(request, at);
      if (refusal) return refusal;
      const { lines, redeems: code } = request;
      const known = places.get(personId);
      const isWaiting = known?.state === 'waiting';
      // Whoever asks for more than before has not waited for it yet.
      const keepsPosition = isWaiting && (request.action === 'enter' || asksNoMore(known.lines, lines));
      if (keepsPosition)
        places.set(personId, {
          ...withoutCode(known),
          ...{ buyerId, lines },
          ...(code && { code }),
          ...(networkKey && !known.networkKey && { networkKey }),
        });
      else {
        const { pseudonym, drawKey, drawn } = known ?? {};
        const ofDraw = pseudonym ? { pseudonym, ...(drawKey && { drawKey }), ...(drawn && { drawn }) } : {};
        const entered = namesKey &&
          request.action === 'enter' && { pseudonym: pseudonymOf(namesKey, personId) };
        if (request.action === 'join') lastPosition += 1;
        places.set(personId, {
          _id: placeIdOf(saleId, personId),
          saleId,
          personId,
          buyerId,
          lines,
          ...(code && { code }),
          state: 'waiting',
          position: request.action === 'join' ? lastPosition : null,
          ...ofDraw,
          ...entered,
          ...(networkKey && { networkKey }),
          joinedAt: mongoClock.now(),
        });
      }
      changed.add(personId);
      if (request.action === 'join') for (const { itemId } of lines) reserved.add(itemId);
      return null;
    },
  };
}

const withoutCode = ({ code: _, ...place }: PlaceRecord): PlaceRecord => place;

function asksNoMore(before: PurchaseLine[], now: PurchaseLine[]): boolean {
  const units = new Map(before.map(({ itemId, quantity }) => [itemId, quantity]));
  return now.every(({ itemId, quantity }) => quantity <= (units.get(itemId) ?? 0));
}

/** @returns the sale when more of its items are reserved than before. */
async function write(
  { places, placeLists, sales }: Collections,
  { changed, reserved, lastPosition, isClosed, places: after }: ReturnType<typeof openEdit>,
  { sale, list, places: before }: State,
  session: ClientSession,
  otherWriters: Pick<OtherWriters, 'announce'>,
): Promise<SaleRecord | null> {
  if (!sale || changed.size === 0) return null;
  const _id = sale._id;
  const writes = [...changed].map((personId) => {
    const filter = { _id: placeIdOf(_id, personId) };
    const place = after.get(personId);
    return place ? { replaceOne: { filter, replacement: place, upsert: true } } : { deleteOne: { filter } };
  });
  await places.bulkWrite(writes, { session });
  const counts = {
    $set: { lastPosition: lastPosition(), ...(isClosed() && { 'draw.state': 'closing' as const }) },
    $inc: { places: after.size - before.size },
  };
  if (lastPosition() !== list.lastPosition || after.size !== before.size)
    await placeLists.updateOne({ _id }, counts, { session });
  const known = new Set(reservedItemsOf(sale));
  const more = [...reserved].filter((itemId) => !known.has(itemId));
  if (more.length === 0) return null;
  // The sale is in the snapshot of this transaction, so units that came back meanwhile make it conflict.
  otherWriters.announce();
  return await sales.findOneAndUpdate(
    { _id },
    { $addToSet: { reservedItems: { $each: more } }, $inc: { revision: 1 } },
    { session, returnDocument: 'after' },
  );
}
