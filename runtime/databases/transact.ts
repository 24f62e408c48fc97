import { setTimeout as delay } from 'node:timers/promises';
import mongoose, { type ClientSession, type Connection } from 'mongoose';
import { Overloaded } from '../group-commit.ts';

const { MongoError, MongoErrorLabel } = mongoose.mongo;

/** What writers of a hot document leave between two transactions of theirs, so that others get at it. */
export const gapMs = 15;
/** Between two attempts: no gap is missed. */
const retryAfterMs = { min: 2, max: 10 };

/**
 * Runs work in a transaction, and again when another writer of the same documents was quicker. The driver's own
 * `withTransaction` waits longer after each attempt, up to 500 ms, and so keeps missing the gaps between the worker's
 * transactions on a hot sale.
 * @param work is run once for each attempt; it must change nothing but what it writes in this session.
 * @param patienceMs after so long no further attempt is made.
 * @throws whatever `work` or MongoDB threw at last.
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

/** Thrown in a transaction when what it was planned on has changed since that was read. */
export class Stale extends Error {}

/**
 * Reads, plans and writes, and does all of it again when the plan was stale.
 * @param attempt is given how much of the patience is left.
 * @throws Overloaded when the plan was stale all that time.
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
      if (leftMs < 0) throw new Overloaded('what was read had changed at each attempt');
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
      // Committing again is how to learn whether the commit came through.
      const isUnknown = isLabelled(error, MongoErrorLabel.UnknownTransactionCommitResult);
      if (!isUnknown || performance.now() > deadline) throw error;
      await delay(retryAfterMs.max);
    }
  }
}

const isLabelled = (error: unknown, label: string) =>
  error instanceof MongoError && error.hasErrorLabel(label);
