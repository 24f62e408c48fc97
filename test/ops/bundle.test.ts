import { existsSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { bundleOf } from '../../ops/local/bundle.mjs';
import { run } from '../../ops/local/processes/process.mjs';

let dir: string;
let entry: string;
let part: string;
const made: string[] = [];
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'stampede-bundle-'));
  [entry, part] = [join(dir, 'entry.ts'), join(dir, 'part.ts')];
  await writeFile(entry, "import { say } from './part.ts';\n\nsay(import.meta.url);\n");
  await writeFile(part, 'export const say = (text: string): void => console.log("one", text);\n');
});
afterAll(async () => {
  const files = made.flatMap((file) => [file, `${file}.map`, file.replace(/-\w+\.mjs$/, '.json')]);
  await Promise.all(files.map((file) => rm(file, { force: true })));
  await rm(dir, { recursive: true });
});

async function bundle(): Promise<string> {
  const file = (await bundleOf(entry)) ?? '';
  made.push(file);
  return file;
}
const runBundle = (file: string) =>
  run(process.execPath, ['--enable-source-maps', file], { deadlineMs: 20_000 });

test('a bundle runs as its sources, and is used again until one of them changes', async () => {
  const first = await bundle();
  expect((await runBundle(first)).stdout).toBe(`one ${pathToFileURL(entry).href}\n`);
  expect(await bundle()).toBe(first);
  await writeFile(part, 'export const say = (text: string): void => console.log("another", text);\n');
  const second = await bundle();
  expect(second).not.toBe(first);
  expect((await runBundle(second)).stdout).toMatch(/^another /);
  // A process that was just launched may still have to read the first one.
  expect(existsSync(first)).toBe(true);
});

test('an error names the line of the source', async () => {
  await writeFile(part, "\n\nexport const say = (_text: string): void => {\n  throw new Error('no');\n};\n");
  expect((await runBundle(await bundle())).stderr).toMatch(/part\.ts:4/);
});

test('there is no bundle of what cannot be compiled', async () => {
  await writeFile(part, 'export const say = (');
  expect(await bundleOf(entry)).toBeNull();
});
