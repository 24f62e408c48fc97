import { expect, test } from 'vitest';
import type { BuyState } from '../../public/sale/buy-state.js';
import { askAgainMs, isUnlikely, roomView, steady, type Wait, waitOf } from '../../public/sale/room-view.js';
import { formatsFor } from '../../public/shared/formats.js';
import { english as texts } from '../../public/texts/en.js';
import type { Place, RoomStatus, SaleStatus } from '../../sale/contract.ts';

const now = Date.UTC(2027, 0, 1);
const at = (ms: number) => new Date(now + ms).toISOString();
const room: RoomStatus = {
  ...{ saleId: 's', state: 'open', waiting: 90, inside: 2, calledUpTo: 10, left: 40, unitsPerCall: 1 },
  ...{ slowest: 60, fastest: 60, message: null, at: at(0) },
};
const placeIn = (state: Place['state'], more: Partial<Place> = {}): Place => {
  const at0 = { saleId: 's', lines: [], ahead: null, orderId: null, joinedAt: at(0) };
  return { ...at0, state, position: 31, ...more };
};
const look = (
  place: Place | null,
  status: RoomStatus | null = room,
  {
    of = 'open',
    wait = null,
    buy,
    sale = {},
  }: { of?: SaleStatus; wait?: Wait | null; buy?: BuyState; sale?: { site?: object } } = {},
) =>
  roomView({ sale, status: of, now, ...(buy && { buy }) }, place, status, wait, {
    texts,
    clock: formatsFor({ locale: 'en', language: 'en', timeZone: 'UTC' }).shortCountdown,
  });

test('a page says in each state what a person has to know, and offers what they can do', () => {
  expect(look(null, null, { of: 'scheduled' })).toMatchObject({
    kind: 'rules',
    action: 'join',
    mayLeave: false,
  });
  expect(look(placeIn('entered'), null, { of: 'scheduled' })).toMatchObject({
    kind: 'entered',
    mayLeave: true,
  });
  expect(look(placeIn('entered'), { ...room, state: 'drawing' })?.kind).toBe('drawing');
  const waits = look(placeIn('waiting'), room, { wait: waitOf(20, room) });
  expect(waits).toMatchObject({
    kind: 'waiting',
    action: null,
    mayLeave: true,
    note: texts.room.waitWithin(1),
  });
  expect(waits?.text).toBe('Your place is 31: at most 20 people ahead of you.');
  expect(look(placeIn('waiting', { position: 11 }))?.text).toContain('You are next');
  const called = look(placeIn('called', { answerBy: at(58_000) }));
  expect(called).toMatchObject({
    kind: 'called',
    action: 'come',
    text: 'It is your turn! Come in within 00:58.',
  });
  expect(look(placeIn('inside', { passUntil: at(90_000) }))).toMatchObject({ kind: 'inside', action: null });
  expect(look(placeIn('left'))).toMatchObject({ kind: 'late', action: 'join', text: texts.room.passed });
  for (const over of [look(placeIn('inside'), room, { buy: 'paid' }), look(null, room, { of: 'ended' })])
    expect(over).toBeNull();
  // Whoever has bought and wants more takes another place.
  expect(look(placeIn('served'), room, { buy: 'buy' })).toMatchObject({
    action: 'join',
    text: texts.room.late,
  });
  expect(look(placeIn('waiting', { missed: true }))?.text).toContain('did not come');
  expect(look(placeIn('called'), { ...room, message: '<b>Soon</b>' })?.message).toBe(
    'The shop says: <b>Soon</b>',
  );
});

test('while the sale is paused nobody is told that time runs, and a place that is the same is asked for less often', () => {
  const times = { answerBy: at(-1_000), passUntil: at(-1_000) };
  for (const state of ['called', 'inside'] as const) {
    const held = look(placeIn(state, times), { ...room, state: 'paused' }, { of: 'paused' });
    expect(held).toMatchObject({ kind: 'held', action: null, text: texts.room.held });
  }
  expect([1, 2, 3, 4, 5, 9].map(askAgainMs)).toEqual([2_000, 4_000, 8_000, 16_000, 30_000, 30_000]);
});

test('all who wait hear of a sell-out and of a pause; it is unlikely when those ahead will take what is left', () => {
  expect(look(placeIn('waiting'), { ...room, state: 'sold_out', left: 0 })?.kind).toBe('sold-out');
  expect(look(placeIn('waiting'), room, { of: 'sold_out' })?.kind).toBe('sold-out');
  expect(look(placeIn('waiting'), { ...room, state: 'paused' })?.kind).toBe('paused');
  expect(look(placeIn('waiting', { position: 48 }))?.kind).toBe('waiting');
  expect(look(placeIn('waiting', { position: 49 }))?.kind).toBe('unlikely');
  expect(isUnlikely(4, { inside: 0, left: 5, unitsPerCall: 1 })).toBe(false);
  expect(isUnlikely(5, { inside: 0, left: 5, unitsPerCall: 1 })).toBe(true);
  // Every second person buys nothing.
  expect(isUnlikely(7, { inside: 2, left: 5, unitsPerCall: 0.5 })).toBe(false);
});

test('in front of another site, where nothing is sold, nobody hears that it is unlikely', () => {
  expect(isUnlikely(20, { inside: 2, left: 0, unitsPerCall: 0 })).toBe(false);
  const sale = { site: { url: 'https://shop.example/drop', inside: 2 } };
  for (const unitsPerCall of [0, 1])
    expect(look(placeIn('waiting'), { ...room, left: 0, unitsPerCall }, { sale })?.kind).toBe('waiting');
  const passUntil = at(90_000);
  expect(look(placeIn('inside', { passUntil }), room, { sale })?.text).toBe(texts.room.insideSite('01:30'));
});

test('an estimate is a range of the measured pace, and never jumps upwards by more than a tenth', () => {
  expect(waitOf(9, { slowest: 0, fastest: 0 })).toBeNull();
  expect(waitOf(9, { slowest: 0, fastest: 10 })).toEqual({ from: 48_000, to: null });
  expect(waitOf(9, { slowest: 5, fastest: 10 })).toEqual({ from: 48_000, to: 150_000 });
  let wait = waitOf(9, { slowest: 10, fastest: 10 });
  for (const perMinute of [9, 4, 0, 1, 20, 0.1]) {
    const next = steady(wait, waitOf(9, { slowest: perMinute, fastest: Math.max(perMinute, 0.1) }));
    expect(next?.from).toBeLessThanOrEqual((wait?.from ?? 0) * 1.1);
    expect(next?.to ?? Number.NaN).toBeLessThanOrEqual((wait?.to ?? 0) * 1.1);
    wait = next;
  }
  // It may fall as fast as it likes.
  expect(steady({ from: 60_000, to: 90_000 }, { from: 1_000, to: 2_000 })).toEqual({
    from: 1_000,
    to: 2_000,
  });
});
