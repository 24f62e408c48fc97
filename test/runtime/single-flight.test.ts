import { expect, test } from 'vitest';
import { singleFlight } from '../../runtime/single-flight.ts';

test('those who ask while it is on its way share one load; the next asks again', async () => {
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

test('a load that fails fails for all who asked, and is not remembered', async () => {
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
