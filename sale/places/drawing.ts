import { appendStaffEntry, type By } from '../../accounts/staff-log.ts';
import { appendChanges } from '../../log/events.ts';
import { mongoClock, redisClock } from '../../runtime/clock.ts';
import { transact } from '../../runtime/databases/transact.ts';
import { failpoint } from '../../runtime/failpoints.ts';
import type { Collections } from '../../store/collections.ts';
import type { BeaconRecord, PlaceRecord } from '../../store/place-collections.ts';
import { type BeaconChain, type BeaconSource, isLate, keyOf, notHere, roundFor } from './beacon.ts';
import { drawKeyOf, openListDigest, readSeed } from './draw.ts';

const salesAtOnce = 100;
const placesAtOnce = 1_000;
/** How long the last transaction is retried after write conflicts; the next pass tries again. */
const patienceMs = 5_000;

/**
 * @param aheadMs how far to look ahead
 * @returns the ids of the sales whose draw is to be made now, and how many draws are due within that time, these included.
 */
export async function findDueDraws(
  { sales }: Collections,
  aheadMs: number,
): Promise<{ due: string[]; soon: number }> {
  const pending = { drawPending: true, phase: { $ne: 'called_off' } } as const;
  const now = redisClock.now();
  const until = { $lte: new Date(now.getTime() + aheadMs) };
  const found = await sales
    .find(
      {
        $or: [
          { ...pending, drawAt: until },
          { ...pending, mode: 'room', opensAt: until },
        ],
      },
      { projection: { drawAt: 1, opensAt: 1 } },
    )
    .limit(salesAtOnce)
    .toArray();
  const due = found.filter(({ drawAt, opensAt }) => (drawAt ?? opensAt) <= now);
  return { due: due.map(({ _id }) => _id), soon: found.length };
}

/**
 * Makes a draw: closes the entries, publishes the digest of their list, gives each entry its position, and publishes the
 * seed. Each step is one write that happens once, or gives the same result again, so that after a crash the next leader
 * goes on where this one was.
 * @param source has the public random numbers, for which a draw may have to wait.
 * @returns whether it is made now.
 */
export async function makeDraw(
  collections: Collections,
  saleId: string,
  source: BeaconSource,
): Promise<boolean> {
  const { placeLists } = collections;
  const draw = async () => (await placeLists.findOne({ _id: saleId }))?.draw;
  const state = async () => (await draw())?.state;
  // Every entry writes the list too, so each is either committed before this or refused.
  if ((await state()) === 'entering') {
    // Whoever comes to a waiting room from now on is behind everybody who has entered.
    const closing = {
      'draw.state': 'closing',
      lastPosition: '$places',
      writes: { $add: ['$writes', 1] },
    };
    await placeLists.updateOne({ _id: saleId, 'draw.state': 'entering' }, [{ $set: closing }]);
    failpoint('closing');
  }
  if ((await state()) === 'closing') {
    await freeze(collections, saleId, source.chain);
    failpoint('frozen');
  }
  const frozen = await draw();
  if (frozen?.state !== 'frozen') return false;
  const beacon = frozen.beacon && (await takeBeacon(collections, saleId, frozen.beacon, source));
  if (beacon === null) return false;
  const seed = await readSeed(collections, saleId);
  const entries = await arrange(collections, saleId, keyOf(seed, beacon));
  failpoint('drawing');
  await publish(collections, saleId, seed, entries);
  failpoint('drawn');
  return true;
}

/** For so long after a sale's end its round is asked for, in case the beacon was away. */
const askedAfterEndMs = 7 * 86_400_000;

/** Stores the round that the draw depends on. @returns null while it is not here. */
async function takeBeacon(
  { placeLists, sales }: Collections,
  saleId: string,
  beacon: BeaconRecord,
  source: BeaconSource,
): Promise<BeaconRecord | null> {
  if (beacon.waivedAt || beacon.randomness !== null) return beacon;
  const now = redisClock.now();
  if (now < beacon.at) return null;
  // Nothing can be offered any more, so that a round which never came is not asked for without end.
  const sale = await sales.findOne({ _id: saleId }, { projection: { closesAt: 1 } });
  if (!sale || now.getTime() > sale.closesAt.getTime() + askedAfterEndMs) return null;
  const { randomness = null, signature = null, error } = source.poll(beacon.round);
  if (randomness === null && error === beacon.error) return null;
  // The shop may go on without it at the same moment, and only one of both counts.
  const isOpen = { _id: saleId, 'draw.beacon.waivedAt': null, 'draw.beacon.randomness': null };
  const news = {
    'draw.beacon.randomness': randomness,
    'draw.beacon.signature': signature,
    'draw.beacon.error': error,
  };
  const after = await placeLists.findOneAndUpdate(isOpen, { $set: news }, { returnDocument: 'after' });
  const stored = after?.draw?.beacon;
  return stored && stored.randomness !== null ? stored : null;
}

/**
 * Makes a draw go on without the random number that it was to depend on, because that is late. It is published so.
 * @param by is noted in the staff log.
 * @returns `not_late` when it is not, or when nothing waits for it; `unknown` when there is no such draw.
 */
export async function waiveBeacon(
  { placeLists, ...collections }: Collections,
  saleId: string,
  by: By,
): Promise<'waived' | 'not_late' | 'unknown'> {
  return await transact(collections.connection, async (session) => {
    const list = await placeLists.findOne({ _id: saleId }, { session });
    if (!list?.draw) return 'unknown';
    const { state, beacon } = list.draw;
    const now = redisClock.now();
    if (state === 'frozen' && beacon?.waivedAt) return 'waived';
    if (state !== 'frozen' || !beacon || !isLate(beacon, now)) return 'not_late';
    const change = { $set: { 'draw.beacon.waivedAt': now }, $inc: { writes: 1 } };
    await placeLists.updateOne({ _id: saleId }, change, { session });
    const subject = { kind: 'sale', id: saleId };
    const after = { round: beacon.round, error: beacon.error };
    const entry = { ...by, action: 'sale.beacon_waived', subject, after };
    await appendStaffEntry({ placeLists, ...collections }, session, entry);
    return 'waived';
  });
}

async function freeze(collections: Collections, saleId: string, chain: BeaconChain): Promise<void> {
  const digest = openListDigest();
  let entries = 0;
  for await (const { pseudonym = '' } of readEntries(collections, saleId)) {
    digest.add(pseudonym);
    entries += 1;
  }
  const sale = await collections.sales.findOne({ _id: saleId });
  const now = redisClock.now();
  const frozen = {
    'draw.state': 'frozen' as const,
    'draw.entries': entries,
    'draw.digest': digest.hex(),
    'draw.frozenAt': now,
    ...(sale?.drawBeacon && { 'draw.beacon': { ...roundOf(chain, sale.drawAt ?? now, now), ...notHere } }),
  };
  await collections.placeLists.updateOne({ _id: saleId, 'draw.state': 'closing' }, { $set: frozen });
}

/** The round that was named with the sale; a later one when that is known already, because the list is fixed late. */
function roundOf(chain: BeaconChain, drawAt: Date, now: Date) {
  const named = roundFor(chain, drawAt);
  return now < named.at ? named : roundFor(chain, now);
}

/** The entries of a draw, sorted by pseudonym, page by page. Nobody can be added or removed once the entries are closed. */
export async function* readEntries({ places }: Collections, saleId: string): AsyncGenerator<PlaceRecord> {
  for (let after = ''; ; ) {
    const page = await places
      .find({ saleId, pseudonym: { $gt: after } })
      .sort({ pseudonym: 1 })
      .limit(placesAtOnce)
      .toArray();
    yield* page;
    const last = page.at(-1)?.pseudonym;
    if (last === undefined || page.length < placesAtOnce) return;
    after = last;
  }
}

/** Sorts the entries, and gives each its position. @returns their number. */
async function arrange(collections: Collections, saleId: string, key: Buffer): Promise<number> {
  const { places } = collections;
  let keyed: { _id: string; drawKey: string }[] = [];
  const writeKeys = async () => {
    if (keyed.length === 0) return;
    await places.bulkWrite(
      keyed.map(({ _id, drawKey }) => ({ updateOne: { filter: { _id }, update: { $set: { drawKey } } } })),
    );
    keyed = [];
  };
  for await (const { _id, pseudonym = '' } of readEntries(collections, saleId)) {
    keyed.push({ _id, drawKey: drawKeyOf(key, pseudonym) });
    if (keyed.length === placesAtOnce) await writeKeys();
  }
  await writeKeys();

  let position = 0;
  for (let after = ''; ; ) {
    const page = await places
      .find({ saleId, drawKey: { $gt: after } }, { projection: { drawKey: 1 } })
      .sort({ drawKey: 1 })
      .limit(placesAtOnce)
      .toArray();
    const last = page.at(-1)?.drawKey;
    if (last === undefined) return position;
    await places.bulkWrite(
      page.map(({ _id }) => {
        position += 1;
        // A leader that was suspended may get here once the draw is made, when people have new positions.
        const filter = { _id, drawn: { $exists: false } };
        return { updateOne: { filter, update: { $set: { position, drawn: position } } } };
      }),
    );
    after = last;
  }
}

async function publish(
  { placeLists, sales, ...collections }: Collections,
  saleId: string,
  seed: Buffer,
  entries: number,
): Promise<void> {
  await transact(
    collections.connection,
    async (session) => {
      const drawnAt = redisClock.now();
      const made = {
        'draw.state': 'drawn' as const,
        'draw.seed': seed.toString('hex'),
        'draw.drawnAt': drawnAt,
      };
      const list = await placeLists.findOneAndUpdate(
        { _id: saleId, 'draw.state': 'frozen' },
        { $set: made, $max: { lastPosition: entries }, $inc: { writes: 1 } },
        { session },
      );
      if (!list?.draw) return;
      const sale = await sales.findOneAndUpdate(
        { _id: saleId },
        { $set: { drawnAt }, $unset: { drawPending: 1 }, $inc: { revision: 1, eventSeq: 1 } },
        { session, returnDocument: 'after', projection: { eventSeq: 1 } },
      );
      if (!sale) return;
      const { digest, beacon } = list.draw;
      const randomness = !beacon?.waivedAt && beacon?.randomness;
      const drawn = {
        type: 'sale.drawn' as const,
        entries,
        digest: digest ?? '',
        seed: seed.toString('hex'),
        ...(randomness && { randomness }),
      };
      const entry = { saleId, seq: sale.eventSeq, changes: [drawn] };
      await appendChanges({ placeLists, sales, ...collections }, [entry], mongoClock.now(), session);
    },
    { patienceMs },
  );
}
