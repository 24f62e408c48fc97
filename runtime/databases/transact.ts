import { setTimeout as delay } from 'node:timers/promises';
import mongoose, { type ClientSession, type Connection } from 'mongoose';
import { Overloaded } from '../group-commit.ts';

const { MongoError, MongoErrorLabel } = mongoose.mongo;

/** Each writer of a hot document waits this long between two of its transactions, so that other writers get their turn. */
export const gapMs = 15;
/** Delay between two attempts; shorter than the gap, so that an attempt falls into it. */
const retryAfterMs = { min: 2, max: 10 };

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
  { patienceMs }: { patienceMs: number },
): Promise<Value> {
  const deadline = performance.now() + patienceMs;
  const session = await connection.startSession();
  try {
    for (;;) {
      try {
        return await attempt(session, work, deadline);
      } catch (error) {
        const isTransient = isLabelled(error, MongoErrorLabel.TransientTransactionError);
        if (!isTransient || performance.now() > deadline) throw error;
      }
      await delay(retryAfterMs.min + Math.random() * (retryAfterMs.max - retryAfterMs.min));
    }
  } finally {
    await session.endSession();
  }
}

/** Optimistic concurrency failure: the data that a transaction was planned on has changed since it was read. */
export class Stale extends Error {}

/**
 * Repeats a read-plan-write attempt until its plan is not stale.
 * @param attempt gets the remaining time in ms.
 * @throws Overloaded when every plan was stale until the time ran out.
 */
export async function untilFresh<Value>(
  patienceMs: number,
  attempt: (patienceMs: number) => Promise<Value>,
): Promise<Value> {
  const deadline = performance.now() + patienceMs;
  for (;;) {
    const leftMs = deadline - performance.now();
    try {
      return await attempt(Math.max(0, leftMs));
    } catch (error) {
      if (!(error instanceof Stale)) throw error;
      if (leftMs < 0) throw new Overloaded('the data had changed before each attempt could write');
    }
  }
}

async function attempt<Value>(
  session: ClientSession,
  work: (session: ClientSession) => Promise<Value>,
  deadline: number,
): Promise<Value> {
  session.startTransaction();
  let value: Value;
  try {
    value = await work(session);
  } catch (error) {
    await session.abortTransaction().catch(() => {});
    throw error;
  }
  for (;;) {
    try {
      await session.commitTransaction();
      return value;
    } catch (error) {
      // Repeating the commit is safe, and tells whether the first one succeeded.
      const isUnknown = isLabelled(error, MongoErrorLabel.UnknownTransactionCommitResult);
      if (!isUnknown || performance.now() > deadline) throw error;
      await delay(retryAfterMs.max);
    }
  }
}

const isLabelled = (error: unknown, label: string) =>
  error instanceof MongoError && error.hasErrorLabel(label);
