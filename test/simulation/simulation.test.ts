import { randomInt } from 'node:crypto';
import { afterAll, beforeAll, test } from 'vitest';
import { simulate } from '../../simulation/run.ts';
import { startSystem, type TestSystem } from '../support/harness.ts';

let system: TestSystem;
beforeAll(async () => {
  system = await startSystem({ servers: 0, workers: 0, nginx: false });
});
afterAll(() => system.close());

const seed = Number(process.env.SIMULATION_SEED ?? randomInt(1, 2 ** 31));

test(`every invariant holds in 60 histories of crashes and repairs (seed ${seed})`, {
  timeout: 300_000,
}, async () => {
  await simulate(system.store, { seed, runs: 60 });
});
