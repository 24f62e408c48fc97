import { randomInt } from 'node:crypto';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { simulate } from '../../simulation/run.ts';
import { startSystem, type TestSystem } from '../support/harness.ts';
import { watchShardKeys } from '../support/shard-keys.ts';

let system: TestSystem;
beforeAll(async () => {
  system = await startSystem({ servers: 0, workers: 0, nginx: false });
});
afterAll(() => system.close());

const seed = Number(process.env.SIMULATION_SEED ?? randomInt(1, 2 ** 31));

test(`every invariant holds in 25 histories of crashes and repairs (seed ${seed})`, {
  timeout: 300_000,
}, async () => {
  const withoutKey = watchShardKeys(system.store.collections.connection);
  await simulate(system.store, { seed, runs: 25 });
  // The simulation itself makes all payments due.
  withoutKey.delete('update payments by dueAt');
  expect([...withoutKey]).toEqual([]);
});
