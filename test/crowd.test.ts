import { setTimeout as delay } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { openCrowd } from '../worker/crowd.ts';

const intervalMs = 400;

/** Settles as fast as it is let, until `count` transactions have begun. @returns the waits between them (ms). */
async function waitsOf({ rest }: ReturnType<typeof openCrowd>, count: number): Promise<number[]> {
  const waits: number[] = [];
  let before = performance.now();
  for (let n = 0; n < count; n++) {
    await rest();
    await delay(5);
    waits.push(performance.now() - before);
    before = performance.now();
  }
  return waits;
}

test('while a crowd is here a transaction begins once in an interval', async () => {
  const crowd = openCrowd(async () => ({ fresh: 10_000, late: 0 }), intervalMs);
  const [first, ...others] = await waitsOf(crowd, 4);
  expect(crowd.isHere()).toBe(true);
  expect(first).toBeLessThan(intervalMs / 2); // Nobody was seen yet.
  for (const wait of others.slice(1)) expect(wait).toBeGreaterThan(intervalMs - 20);
});

test('a crowd that goes lets settling go on before the interval is over', async () => {
  let purchases = 10_000;
  const crowd = openCrowd(async () => ({ fresh: purchases, late: 0 }), 60_000);
  await crowd.rest();
  await expect.poll(crowd.isHere).toBe(true);
  const rested = crowd.rest();
  purchases = 0;
  await rested;
  expect(crowd.isHere()).toBe(false);
});

test.each([
  ['a few buyers', async () => ({ fresh: 399, late: 0 })],
  ['a crowd that stays until somebody has waited for long', async () => ({ fresh: 10_000, late: 1 })],
  ['a Redis that is away', () => Promise.reject(new Error('away'))],
])('%s hold nothing back', async (_who, countByAge) => {
  const crowd = openCrowd(countByAge, 60_000);
  await waitsOf(crowd, 30);
  expect(crowd.isHere()).toBe(false);
});

test('nobody is looked for in the quiet', async () => {
  let looks = 0;
  const crowd = openCrowd(async () => {
    looks += 1;
    return { fresh: 0, late: 0 };
  }, intervalMs);
  await crowd.rest();
  await delay(900);
  const before = looks;
  await delay(300);
  expect(before).toBeGreaterThan(3);
  expect(looks).toBe(before);
});
