import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestProject } from 'vitest/node';
import { openMongo } from '../../ops/local/databases/mongo.mjs';

declare module 'vitest' {
  interface ProvidedContext {
    /** A replica set that all test files share, each with its own database. */
    mongoUrl: string;
  }
}

export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const dataDir = await mkdtemp(join(tmpdir(), 'stampede-mongo-'));
  const mongo = await openMongo({ dataDir, report: console.log });
  project.provide('mongoUrl', mongo.url);
  return async () => {
    await mongo.close();
    await rm(dataDir, { recursive: true });
  };
}
