import { setTimeout as delay } from 'node:timers/promises';
import type { GetMessage } from 'amqplib';
import type { Rabbit } from './rabbit.ts';

/** Looking holds up whoever looks next, so it is bounded. */
const lettersAtOnce = 1_000;

const lockEveryMs = 50;
const lockTries = 100;
const resourceLocked = 405;

/** Who looks for a queue's letters in this process: one after the other. */
const looking = new Map<string, Promise<unknown>>();

/**
 * Looks through a queue of dead letters, up to 1,000 of them, in no order: what is not taken goes back, and to the end.
 * RabbitMQ shows messages only to the one who holds them, and for everyone else they are not there meanwhile: so one
 * looks at a time, over all processes.
 * @param visit what it takes is gone for good, so whatever must be safe first is safe when it returns.
 * @returns how many letters there are.
 * @throws RabbitAway
 */
export async function walkDeadLetters(
  rabbit: Rabbit,
  queue: string,
  visit: (letter: GetMessage) => 'keep' | 'take' | Promise<'keep' | 'take'>,
): Promise<number> {
  const before = looking.get(queue) ?? Promise.resolve();
  const walk = before.then(() => walkAlone(rabbit, queue, visit));
  const ended = walk.catch(() => {});
  looking.set(queue, ended);
  try {
    return await walk;
  } finally {
    if (looking.get(queue) === ended) looking.delete(queue);
  }
}

async function walkAlone(...[rabbit, queue, visit]: Parameters<typeof walkDeadLetters>): Promise<number> {
  // An exclusive queue is its connection's, and goes with it: a lock that a crash cannot leave behind.
  const lock = `${queue}.looking`;
  await takeLock(rabbit, lock);
  try {
    return await rabbit.use(async (channel) => {
      let total = 0;
      // Not by the queue's own count, which lags behind what was just given back.
      for (let seen = 0; seen < lettersAtOnce; seen++) {
        const letter = await channel.get(queue);
        if (!letter) break;
        total = seen + 1 + letter.fields.messageCount;
        if ((await visit(letter)) === 'take') channel.ack(letter);
      }
      channel.nackAll(true);
      // Answered after that: the next one who looks finds them there.
      await channel.checkQueue(queue);
      return total;
    });
  } finally {
    await rabbit.use((channel) => channel.deleteQueue(lock)).catch(() => {});
  }
}

async function takeLock(rabbit: Rabbit, lock: string): Promise<void> {
  for (let tries = 1; ; tries++) {
    try {
      await rabbit.use((channel) => channel.assertQueue(lock, { exclusive: true, durable: false }));
      return;
    } catch (error) {
      if ((error as { code?: number }).code !== resourceLocked || tries === lockTries) throw error;
      await delay(lockEveryMs);
    }
  }
}

/** How many messages wait in a queue. */
export async function countMessages(rabbit: Rabbit, queue: string): Promise<number> {
  return (await rabbit.use((channel) => channel.checkQueue(queue))).messageCount;
}
