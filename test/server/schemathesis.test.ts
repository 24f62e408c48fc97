import { expect, test } from 'vitest';
import { ROOT } from '../../ops/local/folders.mjs';
import { run } from '../../ops/local/processes/process.mjs';
import { startSystem } from '../support/harness.ts';
import { needs, pathOf } from '../support/needs.ts';

/** Python's Schemathesis, if the environment names it, as .ci/run does; its settings are in schemathesis.toml. */
const program = pathOf('Schemathesis');

test('answers to generated valid and invalid requests match the OpenAPI document', {
  timeout: 200_000,
  ...needs('Schemathesis'),
}, async () => {
  const system = await startSystem({ servers: 1, nginx: false });
  // A fixed seed, so that failures are reproducible.
  const bounds = ['--seed', '1', '--max-examples', '5', '--phases', 'coverage,fuzzing', '--mode', 'all'];
  const authorization = ['--header', `Authorization: Bearer ${system.adminToken}`];
  const args = ['run', `${system.url}/openapi.json`, ...authorization, ...bounds, '--no-color'];
  const { ok, output } = await run(program ?? '', args, { cwd: ROOT, deadlineMs: 190_000 });
  await system.close();
  expect(ok, output).toBe(true);
});
