import { type ClientSession, type Connection, mongo as driver } from 'mongoose';

/** MongoDB's error code SnapshotTooOld: the history window of the snapshot has passed. */
const snapshotTooOld = 239;

const snapshotUnavailable = 246;

/** Whether a collection or an index was being made at the moment of the snapshot; a new snapshot succeeds soon. */
export const isSnapshotUnavailable = (error: unknown) =>
  error instanceof driver.MongoServerError && error.code === snapshotUnavailable;

/**
 * The options of a read in a snapshot. The read concern is named for each read, because otherwise the driver takes that of the
 * connection, with which a snapshot is not one.
 */
export interface Snapshot {
  session: ClientSession;
  readConcern: { level: 'snapshot' };
}

/**
 * Runs all reads in one snapshot session, so that concurrent writes are not seen. MongoDB keeps a snapshot for
 * `minSnapshotHistoryWindowInSeconds`, 300 s by default.
 * @throws Error that names this parameter when reading took longer; otherwise the error of `read`.
 */
export async function readInSnapshot<Value>(
  mongo: Connection,
  read: (snapshot: Snapshot) => Promise<Value>,
): Promise<Value> {
  const session = await mongo.startSession({ snapshot: true });
  try {
    return await read({ session, readConcern: { level: 'snapshot' } });
  } catch (error) {
    if (error instanceof driver.MongoServerError && error.code === snapshotTooOld) {
      const what = 'Reading took longer than MongoDB keeps a snapshot';
      throw new Error(`${what}; raise its minSnapshotHistoryWindowInSeconds (300 s by default)`, {
        cause: error,
      });
    }
    throw error;
  } finally {
    await session.endSession();
  }
}
