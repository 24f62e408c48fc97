import { expect, test } from 'vitest';
import { singleFlight } from '../../runtime/single-flight.ts';

test('concurrent calls share one load, and the next call loads again', async () => {
  const asked: string[] = [];
  const read = singleFlight(async (key) => `${key} ${asked.push(key)}`);
  expect(await Promise.all([read('a'), read('b'), read('a'), read('a')])).toEqual([
    'a 1',
    'b 2',
    'a 1',
    'a 1',
  ]);
  expect(await read('a')).toBe('a 3');
  expect(asked).toEqual(['a', 'b', 'a']);
});

test('a failed load fails all its callers, and is not cached', async () => {
  let away = true;
  const read = singleFlight(async () => {
    if (away) throw new Error('away');
    return 'here';
  });
  const answers = await Promise.allSettled([read('a'), read('a')]);
  expect(answers.map(({ status }) => status)).toEqual(['rejected', 'rejected']);
  away = false;
  expect(await read('a')).toBe('here');
});
