import { type ClientSession, type Connection, mongo as driver } from 'mongoose';

/** MongoDB's code for a snapshot whose documents it has overwritten by now. */
const snapshotTooOld = 239;

/**
 * Reads MongoDB in one snapshot, whatever is written meanwhile. MongoDB keeps a snapshot for
 * `minSnapshotHistoryWindowInSeconds`, which is 300 s unless it was told otherwise.
 * @throws Error that says what to do when reading took longer than that; otherwise whatever `read` threw.
 */
export async function readInSnapshot<Value>(
  mongo: Connection,
  read: (session: ClientSession) => Promise<Value>,
): Promise<Value> {
  const session = await mongo.startSession({ snapshot: true });
  try {
    return await read(session);
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
