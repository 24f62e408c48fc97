import { expect, test } from 'vitest';
import { extraOf } from '../../../sale/room/calls.ts';
import { callsNow, paceOf, type RoomLoad, speedsOf, withStep } from '../../../sale/room/pace.ts';
import { openPasses } from '../../../sale/room/passes.ts';

const load = (more: Partial<RoomLoad> = {}): RoomLoad => ({
  ...{ free: 100, inside: 0, answering: 0, invited: 0, backlog: 0, paced: 500, extra: 0 },
  ...more,
});
const newRoom = {
  ...{ paused: false, message: null, extra: 0, calls: 0, calledUpTo: 0, nextCallAt: null, recent: [] },
};
const at = (ms: number) => new Date(1_800_000_000_000 + ms);

test('as many are called as there are units for them, and nobody when there is none', () => {
  expect(callsNow(load())).toEqual({ calls: 100, beyond: 0 });
  expect(callsNow(load({ inside: 30, answering: 20, invited: 70 })).calls).toBe(50);
  expect(callsNow(load({ free: 0, extra: 5 })).calls).toBe(0);
  expect(callsNow(load({ free: 5, inside: 7, invited: 7 })).calls).toBe(0);
  // While a unit is left and nobody is there who could take it, somebody is called.
  for (const invited of [0, 1, 50, 1_999]) expect(callsNow(load({ free: 1, invited })).calls).toBe(1);
});

test('the maximum pace, a backlog of settling and the size of a round bound it; the shop lets in more', () => {
  expect(callsNow(load({ paced: 7 })).calls).toBe(7);
  expect(callsNow(load({ backlog: 4_990 })).calls).toBe(10);
  expect(callsNow(load({ backlog: 9_000 })).calls).toBe(0);
  expect(callsNow(load({ free: 10_000, paced: 10_000 })).calls).toBe(500);
  expect(callsNow(load({ free: 10_000, invited: 1_900 })).calls).toBe(100);
  expect(callsNow(load({ free: 2, inside: 2, invited: 2, extra: 3 }))).toEqual({ calls: 3, beyond: 3 });
  expect(callsNow(load({ free: 9, paced: 4, extra: 3 }))).toEqual({ calls: 7, beyond: 3 });
  // However many the shop lets in: no more than three for each unit.
  expect(callsNow(load({ free: 1, extra: 500 }))).toEqual({ calls: 3, beyond: 2 });
  const room = { ...newRoom, extra: 500, extraUntil: at(60_000) };
  expect([extraOf(room, at(0)), extraOf(room, at(60_000)), extraOf(newRoom, at(0))]).toEqual([500, 0, 0]);
  expect(callsNow(load({ free: 1, inside: 2, answering: 1, invited: 3, extra: 500 })).calls).toBe(0);
});

test('in front of another site only the pace, the size of a round and who is inside bound it', () => {
  const site = (more: Partial<RoomLoad>) =>
    callsNow(load({ maxInside: 50, free: 0, backlog: 9_000, ...more }));
  expect(site({})).toEqual({ calls: 50, beyond: 0 });
  expect(site({ paced: 7 }).calls).toBe(7);
  expect(site({ invited: 48, extra: 9, paced: 1 })).toEqual({ calls: 2, beyond: 1 });
  expect(site({ invited: 50, extra: 9 }).calls).toBe(0);
  // The shop has lowered it meanwhile.
  expect(site({ invited: 60, extra: 9 }).calls).toBe(0);
  expect(site({ maxInside: 2_000 }).calls).toBe(500);
});

test('the maximum pace is kept over a minute, whatever the rounds, and a rest gives no more than a second of it', () => {
  for (const perMinute of [1, 30, 600, 30_000]) {
    for (const everyMs of [90, 250, 3_000]) {
      let nextCallAt: Date | null = null;
      let called = 0;
      for (let ms = 0; ms < 60_000; ms += everyMs) {
        const { paced, nextAfter } = paceOf({ perMinute, nextCallAt }, at(ms));
        nextCallAt = nextAfter(paced);
        called += paced;
      }
      expect(called).toBeLessThanOrEqual(perMinute + Math.ceil(perMinute / 60) + 1);
      if (everyMs < 1_000) expect(called).toBeGreaterThanOrEqual(perMinute * 0.95);
    }
  }
  expect(paceOf({ perMinute: 600, nextCallAt: at(-3_600_000) }, at(0)).paced).toBe(10);
});

test('the pace is measured over a quarter of a minute and over a minute, from a bounded number of steps', () => {
  let recent: { at: Date; calledUpTo: number }[] = [];
  expect(speedsOf(recent, at(0))).toEqual({ slowest: 0, fastest: 0 });
  // 2 places a second for 45 s, then 4 a second.
  for (let ms = 0; ms <= 60_000; ms += 250) {
    const calledUpTo = Math.round(ms < 45_000 ? ms / 500 : 90 + (ms - 45_000) / 250);
    recent = withStep(recent, { at: at(ms), calledUpTo });
  }
  expect(recent.length).toBeLessThan(70);
  const { slowest, fastest } = speedsOf(recent, at(60_000));
  expect(fastest).toBeGreaterThan(225);
  expect(fastest).toBeLessThan(256);
  expect(slowest).toBeGreaterThan(140);
  expect(slowest).toBeLessThan(160);
  // It stands still.
  expect(speedsOf(recent, at(90_000)).slowest).toBe(0);
});

test('a pass is for one person, one sale and a time; a forged one is none; a former key still signs for', () => {
  const [old, fresh] = ['old:aBcDeFgHiJkLmNoPqRsTuVwXyZ012345', 'new:012345aBcDeFgHiJkLmNoPqRsTuVwXyZ'];
  const passes = openPasses(`${fresh},${old}`);
  const soon = new Date(Date.now() + 60_000);
  const pass = passes.issue('sale', 'Ann', soon);
  expect(passes.allows(pass, 'sale', 'Ann', 'order-1')).toBe(true);
  expect(passes.allows(openPasses(old).issue('sale', 'Ann', soon), 'sale', 'Ann', 'order-1')).toBe(true);
  const later = `${(soon.getTime() + 1).toString(36)}${pass.slice(pass.indexOf('.'))}`;
  const refused: [string | undefined, string, string][] = [
    [pass, 'sale', 'Bob'],
    [pass, 'other', 'Ann'],
    [passes.issue('sale', 'Ann', new Date(Date.now() - 1)), 'sale', 'Ann'],
    [openPasses('x'.repeat(32)).issue('sale', 'Ann', soon), 'sale', 'Ann'],
    [later, 'sale', 'Ann'],
    [pass.slice(0, -1), 'sale', 'Ann'],
    ['', 'sale', 'Ann'],
    [undefined, 'sale', 'Ann'],
  ];
  for (const [shown, saleId, personId] of refused)
    expect(passes.allows(shown, saleId, personId, 'order-1')).toBe(false);
});

test('an accepted purchase has a pass for itself alone, also when the pass of its person has ended', () => {
  const passes = openPasses('x'.repeat(32));
  const pass = passes.issueForOrder('sale', 'order-1');
  expect(passes.allows(pass, 'sale', 'Ann', 'order-1')).toBe(true);
  expect(passes.allows(pass, 'sale', 'Ann', 'order-2')).toBe(false);
  expect(passes.allows(pass, 'other', 'Ann', 'order-1')).toBe(false);
});
