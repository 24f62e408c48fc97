import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Redis } from 'ioredis';
import { dataFolder } from '../embedded/folders.mjs';
import { type Config, readConfig } from '../runtime/config.ts';
import { openMongo, openPatientRedis } from '../runtime/connections.ts';
import { openLog } from '../runtime/log.ts';
import { type Collections, openCollections } from '../sale/collections.ts';
import { type Gate, openGate } from '../sale/gate.ts';
import { openPurchaseQueue } from '../sale/open-queue.ts';
import type { PurchaseQueue } from '../sale/queue.ts';

/** The system a command works on: the one the environment names, or the one running in this folder. */
export interface System {
  config: Config;
  /** Where its API is; null when only its databases are known. */
  baseUrl: string | null;
  collections: Collections;
  redis: Redis;
  gate: Gate;
  queue: PurchaseQueue;
  close(): Promise<void>;
}

type Environment = Record<string, string | undefined>;

/** @returns null when the environment names no system and none runs here. */
export function findEnvironment(): Environment | null {
  if (process.env.MONGO_URL && process.env.REDIS_URL) return process.env;
  const running = readRunning();
  return running && { ...process.env, ...running.env };
}

/** The processes of the system that runs in this folder. */
export function findProcesses(): { name: string; pid: number }[] {
  return readRunning()
    ? readState<{ processes: { name: string; pid: number }[] }>('processes.json').processes
    : [];
}

/** What `npm start` writes about itself while it runs. */
function readRunning(): { pid: number; env: Environment } | null {
  try {
    const running = readState<{ pid: number; env: Environment }>('running.json');
    process.kill(running.pid, 0);
    return running;
  } catch {
    return null;
  }
}

function readState<State>(file: string): State {
  return JSON.parse(readFileSync(join(dataFolder(), file), 'utf8'));
}

/** @throws Error, in one line, when there is no system or its MongoDB does not answer. */
export async function openSystem(
  environment: Environment | null = findEnvironment(),
  // What a command prints is its result; that a database is away, it says itself.
  { logLevel = 'error' }: { logLevel?: string } = {},
): Promise<System> {
  if (!environment) {
    throw new Error(
      'No system runs here. Start one with `npm start`, or name one with MONGO_URL and REDIS_URL.',
    );
  }
  // A command that signs no token needs no secret.
  const unused = randomBytes(32).toString('base64url');
  const config = readConfig({ JWT_SECRET: unused, LOG_LEVEL: logLevel, ...environment });
  const log = openLog(config, 'command');
  const { mongo, close: closeMongo } = openMongo(config, log);
  const { redis, close: closeRedis } = openPatientRedis(config, log);
  const collections = openCollections(mongo);

  const answered = await Promise.race([
    Promise.all([mongo.asPromise(), redis.ping()]).then(
      () => true,
      () => false,
    ),
    new Promise<false>((resolve) => setTimeout(resolve, config.MONGO_WAIT_MS * 2, false).unref()),
  ]);
  if (!answered) {
    await Promise.all([closeRedis(), closeMongo()]);
    throw new Error('MongoDB or Redis does not answer.');
  }
  const queue = openPurchaseQueue(config, redis, log);
  async function close(): Promise<void> {
    await queue.close();
    await Promise.all([closeRedis(), closeMongo()]);
  }
  return {
    config,
    baseUrl: environment.BASE_URL ?? null,
    collections,
    redis,
    gate: openGate(redis),
    queue,
    close,
  };
}

/** Runs a command's body; a fault is one line on stderr and exit code 1. */
export async function runCommand(body: () => Promise<void>): Promise<void> {
  try {
    await body();
  } catch (error) {
    console.error((error as Error).message);
    process.exitCode = 1;
  }
}
