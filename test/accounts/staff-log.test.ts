import { afterAll, beforeAll, expect, test } from 'vitest';
import { runScript } from '../../ops/local/processes/process.mjs';
import { startSystem, type TestSystem } from '../support/harness.ts';

let system: TestSystem;

beforeAll(async () => {
  system = await startSystem({ servers: 2 });
});
afterAll(() => system.close());
