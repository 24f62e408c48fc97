import mongoose, { type ClientSession, type Connection } from 'mongoose';

/** The longest that reading may take. */
const historySeconds = 3_600;
/** What MongoDB keeps by itself. */
const usualSeconds = 300;
const attemptsMax = 5;
const snapshotTooOld = 239;

/**
 * Reads MongoDB as it was at one moment, however long that takes and whatever is written meanwhile. For that MongoDB has
 * to keep what is overwritten, which ours does not do by itself: see embedded/mongo.mjs. Where it is not ours to say, it
 * keeps it for as long as it was told to.
 * @param read is run again from the beginning when another reader ended meanwhile, and the keeping with it.
 * @throws whatever `read` threw.
 */
export async function readAtOneMoment<Value>(
  mongo: Connection,
  read: (session: ClientSession) => Promise<Value>,
): Promise<Value> {
  for (let attempt = 1; ; attempt++) {
    const stopKeeping = await keepHistory(mongo);
    const session = await mongo.startSession({ snapshot: true });
    try {
      return await read(session);
    } catch (error) {
      if ((error as { code?: unknown }).code !== snapshotTooOld || attempt === attemptsMax) throw error;
    } finally {
      await session.endSession();
      await stopKeeping();
    }
  }
}

/** @returns what has MongoDB keep as much as it was started with. */
async function keepHistory(mongo: Connection): Promise<() => Promise<void>> {
  const admin = mongo.getClient().db('admin');
  const keep = async (seconds: number) => {
    await admin.command({ setParameter: 1, minSnapshotHistoryWindowInSeconds: seconds });
  };
  try {
    const { parsed } = await admin.command({ getCmdLineOpts: 1 });
    const started = Number(parsed.setParameter?.minSnapshotHistoryWindowInSeconds ?? usualSeconds);
    await keep(Math.max(started, historySeconds));
    return () => keep(started);
  } catch (error) {
    if (error instanceof mongoose.mongo.MongoServerError) return async () => {};
    throw error;
  }
}
