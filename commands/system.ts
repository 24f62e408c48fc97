import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { hostname, userInfo } from 'node:os';
import { join } from 'node:path';
import type { Redis } from 'ioredis';
import type { By } from '../accounts/staff-log.ts';
import { hostsOf, withDatabase } from '../ops/local/databases/database-url.mjs';
import { describeFileFault } from '../ops/local/files/file-fault.mjs';
import { dataFolder } from '../ops/local/folders.mjs';
import { type Config, readConfig } from '../runtime/config.ts';
import { openMongo, openPatientRedis } from '../runtime/databases/connections.ts';
import { openLog } from '../runtime/observe/log.ts';
import { withTimeout } from '../runtime/with-timeout.ts';
import { type Gate, openGate } from '../sale/admission/gate.ts';
import { openPurchaseQueue } from '../sale/queue/open-queue.ts';
import type { PurchaseQueue } from '../sale/queue/queue.ts';
import { type Collections, openCollections } from '../store/collections.ts';
import { readShards } from '../store/shards.ts';
import { requireNoHalfRestore } from './archive.ts';

/** The system that a command works on: the one named by the environment, or the one running in this folder. */
export interface System {
  config: Config;
  /** The URL of its API; null when only its databases are known. */
  baseUrl: string | null;
  collections: Collections;
  redis: Redis;
  gate: Gate;
  queue: PurchaseQueue;
  close(): Promise<void>;
}

/** Who runs a command, for the staff log. @param command as it was typed, e.g. `npm run dlq`. */
export function byCommand(command: string): By {
  const actor = { kind: 'command', id: operatingUser(), name: command, role: null } as const;
  return { actor, from: hostname(), requestId: null };
}

/** A container may run under a number that has no name. */
function operatingUser(): string {
  try {
    return userInfo().username;
  } catch {
    return String(process.getuid?.() ?? '');
  }
}

type Environment = Record<string, string | undefined>;

/**
 * @returns null when the environment names no system and none is running here.
 * @throws Error when the environment names only one of the databases, which could mix two systems.
 */
export function findEnvironment(): Environment | null {
  const { MONGO_URL, REDIS_URL } = process.env;
  if (MONGO_URL && REDIS_URL) return process.env;
  const running = readRunning();
  const isRunnings =
    (!MONGO_URL || withDatabase(MONGO_URL) === running?.env.MONGO_URL) &&
    (!REDIS_URL || REDIS_URL === running?.env.REDIS_URL);
  if (!isRunnings) {
    const [set, missing] = MONGO_URL ? ['MONGO_URL', 'REDIS_URL'] : ['REDIS_URL', 'MONGO_URL'];
    throw new Error(
      `${set} is set and ${missing} is not: set both, or neither for what runs in this folder.`,
    );
  }
  return running && { ...process.env, ...running.env };
}

/** The processes of the system that is running in this folder. */
export function findProcesses(): { name: string; pid: number }[] {
  return readRunning()
    ? readState<{ processes: { name: string; pid: number }[] }>('processes.json').processes
    : [];
}

/** The file that `npm start` writes while it is running. */
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
  // The log is off, because a command's output is its result, and it reports an unavailable database itself.
  {
    logLevel = 'error',
    mayBeHalfRestored = false,
    monitorCommands = true,
  }: { logLevel?: string; mayBeHalfRestored?: boolean; monitorCommands?: boolean } = {},
): Promise<System> {
  if (!environment) {
    throw new Error(
      'No system runs here. Start one with `npm start`, or name one with MONGO_URL and REDIS_URL.',
    );
  }
  // Commands that sign no token need no secret.
  const unused = randomBytes(32).toString('base64url');
  const given = readConfig({ JWT_SECRET: unused, LOG_LEVEL: logLevel, ...environment });
  const log = openLog(given, 'command');
  const { mongo, close: closeMongo } = openMongo(given, log, { monitorCommands });
  const { redis, close: closeRedis } = openPatientRedis(given, log);
  const collections = openCollections(mongo);

  let config: Config;
  const deadlineMs = given.MONGO_WAIT_MS * 2;
  const closeDatabases = () => Promise.all([closeRedis(), closeMongo()]);
  try {
    await Promise.all([
      requireAnswer(mongo.asPromise(), deadlineMs, 'MongoDB', 'MONGO_URL', given.MONGO_URL),
      requireAnswer(redis.ping(), deadlineMs, 'Redis', 'REDIS_URL', given.REDIS_URL),
    ]);
    if (!mayBeHalfRestored) await requireNoHalfRestore({ collections });
    // A command need not be told SHARDS, because the database knows it.
    config = { ...given, SHARDS: (await readShards(collections)) ?? given.SHARDS };
  } catch (error) {
    await closeDatabases();
    throw error;
  }
  const queue = openPurchaseQueue(config, redis, log);
  async function close(): Promise<void> {
    await queue.close();
    await closeDatabases();
  }
  return {
    config,
    baseUrl: environment.BASE_URL ?? null,
    collections,
    redis,
    gate: openGate(redis, config.SHARDS),
    queue,
    close,
  };
}

/** @throws Error with the database and its hosts, without the password. */
async function requireAnswer(
  answer: Promise<unknown>,
  deadlineMs: number,
  database: string,
  setting: string,
  url: string,
): Promise<void> {
  const late = new Error(`within ${deadlineMs / 1_000} s`);
  try {
    await withTimeout(answer, deadlineMs, () => late);
  } catch (error) {
    const { message } = error as Error;
    const fault = error === late ? message : `(${message})`;
    throw new Error(
      `${database} at ${hostsOf(url)} does not answer ${fault}: start it, or correct ${setting}.`,
    );
  }
}

/** Runs a command's body. An error is printed on stderr without a stack, with exit code 1. */
export async function runCommand(body: () => Promise<void>): Promise<void> {
  // A closed stdout, as with `npm run events … | head`, ends the command.
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE') process.exit();
    throw error;
  });
  try {
    await body();
  } catch (error) {
    const { message, code, name } = error as NodeJS.ErrnoException;
    console.error(describeFileFault(error, dataFolder()) ?? (message || code || name));
    process.exitCode = 1;
  }
}
