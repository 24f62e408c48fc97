import { openSystem, type System } from '../../commands/system.ts';
import { withDatabase } from '../../ops/local/databases/database-url.mjs';
import { redisClock } from '../../runtime/clock.ts';
import { pause } from '../../runtime/pause.ts';
import { placeIdOf, readPlace } from '../../sale/places/place.ts';
import { openPlaces } from '../../sale/places/places.ts';
import { callPeople } from '../../sale/room/calls.ts';
import { comeIn, readRoom } from '../../sale/room/room.ts';
import type { PlaceRecord } from '../../store/place-collections.ts';
import { mintTokens } from '../load/closed-loop.ts';
import { sendAll } from '../load/send-all.ts';
import { saveResult } from '../report/results.ts';
import { percentile } from '../report/statistics.ts';
import { figure, printTable } from '../report/table.ts';
import { judge, printVerdicts, type Verdict } from '../report/targets.ts';
import { moveBenchSale, openBenchSale, openOwnTestbed } from '../systems/testbed.ts';
import { playRoom } from './room.ts';

export interface WaitingOptions {
  /** The largest number of people who wait. */
  people: number;
  /** Rounds in which each number is measured, in turns with the smallest one. */
  rounds: number;
  /** Tabs that gather afterwards, for as many units. */
  tabs: number;
  connections: number;
}

/** How many wait in the room beside which each larger one is measured. */
const fewest = 1_000;
const insertedAtOnce = 5_000;
/** People who join, leave and are called in a round: as many as one transaction takes. */
const movedAtOnce = 500;
const singlesAtOnce = 100;
const polls = 2_000;
const perMinute = 100_000;
/** What a move in the large room may take, compared with the small one. */
const mostGrowth = 1.2;
/** A twentieth of the second for which it holds. */
const statusMaxMs = 50;

/** What each step took, in milliseconds: of the moves that share a transaction, for each person. */
type Times = Record<'join' | 'leave' | 'call' | 'come in' | 'read place' | 'status', number>;

/**
 * 1,000, 10,000, … people wait, and what they do is measured by the real functions; then tabs gather, the room opens at 500 a
 * second, and everything is sold. @returns whether all targets are met.
 */
export async function waiting({ people, rounds, tabs, connections }: WaitingOptions): Promise<boolean> {
  const verdicts: Verdict[] = [];
  const sizes = [];
  // Without a worker, which would call the people.
  const testbed = await openOwnTestbed({ workers: 0, servers: 1, env: { LIMIT_FACTOR: '0' } });
  const { system, url, secret, scratch } = testbed;
  const smallUrl = withDatabase(scratch.env.MONGO_URL ?? '', 'small');
  const small = await openSystem({ ...scratch.env, MONGO_URL: smallUrl, BASE_URL: url });
  try {
    const smallRoom = await openFullRoom(small);
    await addPeople(small, smallRoom, 0, fewest);
    const room = await openFullRoom(system);
    const [token = ''] = mintTokens(1, secret);
    const request = (path: string) =>
      `GET /api/sales/${room}/${path} HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer ${token}\r\n\r\n`;
    let waits = 0;
    for (let size = fewest; size <= people; size *= 10) {
      const redisBefore = await redisBytes(system);
      await addPeople(system, room, waits, size);
      waits = size;
      const redisMb = ((await redisBytes(system)) - redisBefore) / 2 ** 20;
      const { dataMb, indexMb } = await placesMemory(system);
      const found: { of: Times; beside: Times }[] = [];
      // The first round warms both up.
      for (let round = 0; round <= rounds; round++) {
        const times = { of: await measure(system, room), beside: await measure(small, smallRoom) };
        if (round > 0) found.push(times);
      }
      const polled = await sendAll(
        url,
        Array.from({ length: polls }, () => request('room')),
        connections,
      );
      const pollMs = percentile(polled.ms, 50);
      const ms = medians(found.map(({ of }) => of));
      const ratios = Object.fromEntries(
        steps.map((step) => [step, found.map(({ of, beside }) => of[step] / beside[step])]),
      ) as Record<keyof Times, number[]>;
      for (const step of moves) {
        if (size === fewest || size * 10 <= people) continue;
        const what = `${step}: ${size.toLocaleString('en')} people beside ${fewest.toLocaleString('en')}`;
        verdicts.push(judge(what, ratios[step], 'below', mostGrowth));
      }
      const statusMs = found.map(({ of }) => of.status);
      verdicts.push(
        judge(`status in ms, ${size.toLocaleString('en')} people`, statusMs, 'below', statusMaxMs),
      );
      verdicts.push(
        judge(`polls that failed, ${size.toLocaleString('en')} people`, [polled.failed], 'below', 1),
      );
      sizes.push({
        people: size,
        ms,
        ratios,
        pollMs,
        pollsPerSecond: polled.perSecond,
        dataMb,
        indexMb,
        redisMb,
      });
      console.log(`measured with ${size.toLocaleString('en')} people`);
    }
  } finally {
    await small.close();
    await testbed.close();
  }
  printTable(
    ['people', ...steps.map((step) => `${step}, ms`), 'poll, ms', 'data, MB', 'indexes, MB', 'Redis, MB'],
    sizes.map(({ people, ms, pollMs, dataMb, indexMb, redisMb }) =>
      [people, ...steps.map((step) => ms[step]), pollMs, dataMb, indexMb, redisMb].map(figure),
    ),
  );
  const options = { people, rounds, tabs, connections };
  saveResult('waiting', { options, sizes, verdicts });
  const drop = { people: tabs, stock: tabs, perMinute: 30_000, connections, tabs };
  const played = tabs > 0 ? await playRoom(drop) : null;
  if (played) verdicts.push(...played.verdicts);
  printVerdicts(verdicts);
  console.log(`\nWritten to ${saveResult('waiting', { options, sizes, played, verdicts })}`);
  return verdicts.every(({ pass }) => pass);
}

/** What is done for each person. The status is read once a second for all of them. */
const moves = ['join', 'leave', 'call', 'come in', 'read place'] as const;
const steps = [...moves, 'status'] as const;

const medians = (found: Times[]) =>
  Object.fromEntries(
    steps.map((step) => [
      step,
      percentile(
        found.map((times) => times[step]).sort((one, other) => one - other),
        50,
      ),
    ]),
  ) as Times;

/** A room that is open, with nobody in it. @returns the sale's id. */
async function openFullRoom(system: System): Promise<string> {
  const { collections } = system;
  const terms = { mode: 'room' as const, roomPerMinute: perMinute, limitPerBuyer: 1, stock: 1_000_000 };
  const opensAt = new Date(Date.now() + 60_000);
  const saleId = await openBenchSale(system, { name: 'Bench: waiting', ...terms, opensAt });
  await moveBenchSale(system, saleId, { opensAt: new Date(Date.now() + 1_500) });
  await pause(1_600);
  const drawn = { 'draw.state': 'drawn' as const };
  await collections.placeLists.updateOne({ _id: saleId }, { $set: drawn });
  await collections.sales.updateOne({ _id: saleId }, { $unset: { drawPending: 1 } });
  return saleId;
}

/** People as the draw leaves them, from this position on. */
async function addPeople({ collections }: System, saleId: string, from: number, to: number): Promise<void> {
  const { places, placeLists } = collections;
  for (let next = from; next < to; next += insertedAtOnce) {
    const some = Array.from({ length: Math.min(insertedAtOnce, to - next) }, (_, n): PlaceRecord => {
      const position = next + n + 1;
      const personId = `person-${position}-${saleId}`;
      const hex = position.toString(16).padStart(8, '0');
      return {
        ...{ _id: placeIdOf(saleId, personId), saleId, personId, buyerId: personId, lines: [] },
        ...{ state: 'waiting', position, drawn: position, pseudonym: hex.repeat(4), drawKey: hex.repeat(8) },
        joinedAt: new Date(),
      };
    });
    await places.insertMany(some, { ordered: false });
  }
  await placeLists.updateOne({ _id: saleId }, { $set: { places: to, lastPosition: to } });
}

async function measure({ collections }: System, saleId: string): Promise<Times> {
  const { places, placeLists } = collections;
  const { change } = openPlaces(collections, async () => {}, { announce: () => {} });
  const newcomers = Array.from({ length: movedAtOnce }, (_, n) => `newcomer-${n}`);
  const all = (action: 'gather' | 'leave') =>
    Promise.all(newcomers.map((personId) => change({ action, saleId, personId, buyerId: personId })));
  const perPerson = async (work: () => Promise<unknown>, people = movedAtOnce) => {
    const began = performance.now();
    await work();
    return (performance.now() - began) / people;
  };
  const join = await perPerson(() => all('gather'));
  const leave = await perPerson(() => all('leave'));
  const before = await placeLists.findOne({ _id: saleId });
  let calls = 0;
  const settings = { answerSeconds: 60, hasMails: false };
  const call = await perPerson(async () => {
    calls = await callPeople(collections, saleId, { gateLeft: 1_000_000, backlog: 0 }, settings);
  });
  const called = await places.find({ saleId, state: 'called' }).limit(singlesAtOnce).toArray();
  if (calls !== movedAtOnce || called.length < singlesAtOnce) throw new Error(`${calls} people were called`);
  const oneByOne = (work: (personId: string) => Promise<unknown>) =>
    perPerson(async () => {
      for (const { personId } of called) await work(personId);
    }, called.length);
  const come = await oneByOne((personId) => comeIn(collections, saleId, personId, 180));
  const read = await oneByOne((personId) => readPlace(collections, saleId, personId));
  const status = await perPerson(() => readRoom(collections, saleId, { gateLeft: null }), 1);
  // Everything is as before for the next round.
  const back = { $set: { state: 'waiting' as const }, $unset: { calls: 1, passUntil: 1 } };
  await places.updateMany({ saleId, state: { $in: ['called', 'inside'] } }, back as never);
  await places.deleteMany({ _id: { $in: newcomers.map((personId) => placeIdOf(saleId, personId)) } });
  const counts = {
    places: (before?.places ?? 0) - movedAtOnce,
    lastPosition: (before?.lastPosition ?? 0) - movedAtOnce,
  };
  // The pace allows so many again only after a moment.
  const room = {
    'room.calls': 0,
    'room.calledUpTo': 0,
    'room.nextCallAt': new Date(redisClock.now().getTime() - 60_000),
  };
  await placeLists.updateOne({ _id: saleId }, { $set: { ...counts, ...room } });
  return { join, leave, call, 'come in': come, 'read place': read, status };
}

async function placesMemory({ collections }: System): Promise<{ dataMb: number; indexMb: number }> {
  const [found] = await collections.places.aggregate([{ $collStats: { storageStats: {} } }]).toArray();
  const { size, totalIndexSize } = found?.storageStats ?? {};
  return { dataMb: size / 2 ** 20, indexMb: totalIndexSize / 2 ** 20 };
}

async function redisBytes({ redis }: System): Promise<number> {
  return Number(/used_memory:(\d+)/.exec(await redis.info('memory'))?.[1]);
}
