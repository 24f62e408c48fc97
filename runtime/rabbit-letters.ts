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
export async function walkLetters(
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

async function walkAlone(...[rabbit, queue, visit]: Parameters<typeof walkLetters>): Promise<number> {
  // An exclusive queue is its connection's, and goes with it: a lock that a crash cannot leave behind.
  const lock = `${queue}.looking`;
  await takeLock(rabbit, lock);
  try {
    return await rabbit.use(async (channel) => {
      const { messageCount } = await channel.checkQueue(queue);
      for (let n = 0; n < Math.min(messageCount, lettersAtOnce); n++) {
        const letter = await channel.get(queue);
        if (!letter) break;
        if ((await visit(letter)) === 'take') channel.ack(letter);
      }
      channel.nackAll(true);
      // They are back once this is answered: the next one who looks finds them.
      await channel.checkQueue(queue);
      return messageCount;
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

/** How many letters there are, without looking at them. */
export async function countMessages(rabbit: Rabbit, queue: string): Promise<number> {
  return (await rabbit.use((channel) => channel.checkQueue(queue))).messageCount;
}
