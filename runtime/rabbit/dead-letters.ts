import type { GetMessage } from 'amqplib';
import { retry } from '../retry.ts';
import type { Rabbit } from './rabbit.ts';

/** Bounds one scan, because the next scan of the same queue has to wait for it. */
const lettersAtOnce = 1_000;

const lockEveryMs = 75;
const lockTries = 100;
const resourceLocked = 405;

/** The last scan of each queue in this process; the next one waits for it. */
const scans = new Map<string, Promise<unknown>>();

/**
 * Visits the messages of a dead letter queue, up to 1,000 of them, in no particular order; those that are kept return to
 * the queue's end. RabbitMQ hides unacknowledged messages from other consumers, so a lock lets one process scan at a time.
 * @param visit returns `take` to delete the message for good; anything that has to be stored first must be by then.
 * @returns the number of messages in the queue.
 * @throws RabbitAway
 */
export async function forEachDeadLetter(
  rabbit: Rabbit,
  queue: string,
  visit: (letter: GetMessage) => 'keep' | 'take' | Promise<'keep' | 'take'>,
): Promise<number> {
  const before = scans.get(queue) ?? Promise.resolve();
  const scan = before.then(() => scanWithLock(rabbit, queue, visit));
  const ended = scan.catch(() => {});
  scans.set(queue, ended);
  try {
    return await scan;
  } finally {
    if (scans.get(queue) === ended) scans.delete(queue);
  }
}

async function scanWithLock(
  ...[rabbit, queue, visit]: Parameters<typeof forEachDeadLetter>
): Promise<number> {
  // An exclusive queue serves as the lock: RabbitMQ deletes it with its connection, so a crash cannot leave it behind.
  const lock = `${queue}.looking`;
  await takeLock(rabbit, lock);
  try {
    return await rabbit.use(async (channel) => {
      let total = 0;
      // The loop does not use the queue's own count, which lags behind messages that were just returned.
      for (let seen = 0; seen < lettersAtOnce; seen++) {
        const letter = await channel.get(queue);
        if (!letter) break;
        total = seen + 1 + letter.fields.messageCount;
        if ((await visit(letter)) === 'take') channel.ack(letter);
      }
      channel.nackAll(true);
      // This is answered after the nack, so the next scan finds the returned messages.
      await channel.checkQueue(queue);
      return total;
    });
  } finally {
    await rabbit.use((channel) => channel.deleteQueue(lock)).catch(() => {});
  }
}

async function takeLock(rabbit: Rabbit, lock: string): Promise<void> {
  await retry(() => rabbit.use((channel) => channel.assertQueue(lock, { exclusive: true, durable: false })), {
    firstMs: lockEveryMs,
    longestMs: lockEveryMs,
    maxAttempts: lockTries,
    shouldRetry: (error) => (error as { code?: number }).code === resourceLocked,
  });
}

/** How many messages wait in a queue. */
export async function countMessages(rabbit: Rabbit, queue: string): Promise<number> {
  return (await rabbit.use((channel) => channel.checkQueue(queue))).messageCount;
}
