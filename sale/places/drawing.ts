import { redisClock } from '../../runtime/clock.ts';
import { transact } from '../../runtime/databases/transact.ts';
import { failpoint } from '../../runtime/failpoints.ts';
import type { Collections } from '../../store/collections.ts';
import type { PlaceRecord } from '../../store/place-collections.ts';
import { drawKeyOf, openListDigest, readSeed } from './draw.ts';

const salesAtOnce = 100;
const placesAtOnce = 1_000;
/** How long the last transaction is retried after write conflicts; the next pass tries again. */
const patienceMs = 5_000;

/** The ids of the sales whose draw is to be made now. */
export async function findDueDraws({ sales }: Collections, now = redisClock.now()): Promise<string[]> {
  const pending = { drawPending: true, phase: { $ne: 'called_off' } } as const;
  const due = await sales
    .find(
      {
        $or: [
          { ...pending, drawAt: { $lte: now } },
          { ...pending, mode: 'room', opensAt: { $lte: now } },
        ],
      },
      { projection: { _id: 1 } },
    )
    .limit(salesAtOnce)
    .toArray();
  return due.map(({ _id }) => _id);
}

/**
 * Makes a draw: closes the entries, publishes the digest of their list, gives each entry its position, and publishes the
 * seed. Each step is one write that happens once, or gives the same result again, so that after a crash the next leader
 * goes on where this one was.
 */
export async function makeDraw(collections: Collections, saleId: string): Promise<void> {
  const { placeLists } = collections;
  const state = async () => (await placeLists.findOne({ _id: saleId }))?.draw?.state;
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
    await freeze(collections, saleId);
    failpoint('frozen');
  }
  if ((await state()) !== 'frozen') return;
  const seed = await readSeed(collections, saleId);
  const entries = await arrange(collections, saleId, seed);
  failpoint('drawing');
  await publish(collections, saleId, seed, entries);
  failpoint('drawn');
}

async function freeze(collections: Collections, saleId: string): Promise<void> {
  const digest = openListDigest();
  let entries = 0;
  for await (const { pseudonym = '' } of readEntries(collections, saleId)) {
    digest.add(pseudonym);
    entries += 1;
  }
  const frozen = {
    'draw.state': 'frozen' as const,
    'draw.entries': entries,
    'draw.digest': digest.hex(),
    'draw.frozenAt': redisClock.now(),
  };
  await collections.placeLists.updateOne({ _id: saleId, 'draw.state': 'closing' }, { $set: frozen });
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
  { connection, placeLists, sales }: Collections,
  saleId: string,
  seed: Buffer,
  entries: number,
): Promise<void> {
  await transact(
    connection,
    async (session) => {
      const drawnAt = redisClock.now();
      const made = {
        'draw.state': 'drawn' as const,
        'draw.seed': seed.toString('hex'),
        'draw.drawnAt': drawnAt,
      };
      const { matchedCount } = await placeLists.updateOne(
        { _id: saleId, 'draw.state': 'frozen' },
        { $set: made, $max: { lastPosition: entries }, $inc: { writes: 1 } },
        { session },
      );
      if (matchedCount === 0) return;
      await sales.updateOne(
        { _id: saleId },
        { $set: { drawnAt }, $unset: { drawPending: 1 }, $inc: { revision: 1 } },
        { session },
      );
    },
    { patienceMs },
  );
}
