import mongoose, { type ClientSession, type Connection } from 'mongoose';
import { Overloaded } from '../group-commit.ts';
import { retry } from '../retry.ts';

const { MongoError, MongoErrorLabel } = mongoose.mongo;

/** Each writer of a hot document waits this long between two of its transactions, so that other writers get their turn. */
export const gapMs = 15;
/** Backoff between two attempts; shorter than the gap, so that an attempt falls into it. */
const betweenAttempts = { firstMs: 4, longestMs: 10 };

/**
 * Runs work in a transaction, and retries it after a write conflict. The driver's own `withTransaction` backs off up to
 * 500 ms, and so keeps missing the gaps between the worker's transactions on a hot sale.
 * @param work runs once for each attempt; it must have no effects outside this session.
 * @param patienceMs no further attempt is made after this time.
 * @throws the last error of `work` or MongoDB.
 */
export async function transact<Value>(
  connection: Connection,
  work: (session: ClientSession) => Promise<Value>,
  { patienceMs = 5_000 }: { patienceMs?: number } = {},
): Promise<Value> {
  const deadline = performance.now() + patienceMs;
  const session = await connection.startSession();
  try {
    return await retry(() => attempt(session, work, deadline), {
      ...betweenAttempts,
      patienceMs,
      shouldRetry: (error) => isLabelled(error, MongoErrorLabel.TransientTransactionError),
    });
  } finally {
    await session.endSession();
  }
}

/** Optimistic concurrency failure: the data that a transaction was planned on has changed since it was read. */
export class Stale extends Error {}

/**
 * Repeats a read-plan-write attempt until its plan is not stale.
 * @param attempt gets a function that runs its writes in a transaction.
 * @throws Overloaded when every plan was stale until the time ran out.
 */
export async function untilFresh<Value>(
  connection: Connection,
  attempt: (
    write: <Written>(work: (session: ClientSession) => Promise<Written>) => Promise<Written>,
  ) => Promise<Value>,
  { patienceMs }: { patienceMs: number },
): Promise<Value> {
  const deadline = performance.now() + patienceMs;
  const leftMs = () => Math.max(0, deadline - performance.now());
  try {
    return await retry(() => attempt((work) => transact(connection, work, { patienceMs: leftMs() })), {
      firstMs: 1,
      longestMs: 50,
      patienceMs,
      shouldRetry: (error) => error instanceof Stale,
    });
  } catch (error) {
    throw error instanceof Stale
      ? new Overloaded('the data had changed before each attempt could write')
      : error;
  }
}

async function attempt<Value>(
  session: ClientSession,
  work: (session: ClientSession) => Promise<Value>,
  deadline: number,
): Promise<Value> {
  // It names a read concern, because without one the driver changes the default read concern object of the connection, which all
  // its other reads use. The commit waits for the majority.
  session.startTransaction({ readConcern: { level: 'local' } });
  let value: Value;
  try {
    value = await work(session);
  } catch (error) {
    await session.abortTransaction().catch(() => {});
    throw error;
  }
  // Repeating the commit is safe, and tells whether the first one succeeded.
  await retry(() => session.commitTransaction(), {
    firstMs: betweenAttempts.longestMs,
    longestMs: betweenAttempts.longestMs,
    patienceMs: deadline - performance.now(),
    shouldRetry: (error) => isLabelled(error, MongoErrorLabel.UnknownTransactionCommitResult),
  });
  return value;
}

const isLabelled = (error: unknown, label: string) =>
  error instanceof MongoError && error.hasErrorLabel(label);
