import type { Channel, ChannelModel, ConsumeMessage } from 'amqplib';
import type { Log } from '../observe/log.ts';
import type { Rabbit } from './rabbit.ts';

/** What becomes of a message: it is done with; it comes again, to whoever is next; it goes to the dead letters. */
export type Verdict = 'done' | 'again' | 'dead';

export interface Consumer {
  /** Lets what is in hand come to its end; the rest stays in the queue. */
  close(): Promise<void>;
}

/**
 * Consumes a queue that is there until it is closed, over all connections. A message is acknowledged after `handle` resolved; one
 * whose connection is lost meanwhile comes again.
 * @param prefetch how many messages are in hand at once, at most.
 * @param handle must not spin: `again` brings the message back at once.
 * @throws RabbitAway when it could not begin in time.
 */
export async function openConsumer(
  rabbit: Rabbit,
  { queue, prefetch }: { queue: string; prefetch: number },
  handle: (message: ConsumeMessage) => Promise<Verdict>,
  log: Log,
): Promise<Consumer> {
  let current: Channel | null = null;
  let isClosing = false;
  let inHand = 0;
  let onEmpty = () => {};

  async function hand(channel: Channel, message: ConsumeMessage): Promise<void> {
    inHand += 1;
    const verdict = await handle(message).catch((error) => {
      log.warn({ error: error.message, queue }, 'a message comes again');
      return 'again' as const;
    });
    try {
      if (verdict === 'done') channel.ack(message);
      // In a close all that is left goes back together with the channel, in its order.
      else if (verdict === 'dead' || !isClosing) channel.nack(message, false, verdict === 'again');
    } catch {
      // The connection it came over is gone, and RabbitMQ hands it out again.
    }
    inHand -= 1;
    if (inHand === 0) onEmpty();
  }

  async function consume(model: ChannelModel): Promise<void> {
    const beginAnew = () => void model.close().catch(() => {});
    const channel = await model.createChannel();
    channel.on('error', (error) => log.warn({ error: error.message, queue }, 'a consumer lost its channel'));
    channel.on('close', () => {
      if (current === channel && !isClosing) beginAnew();
    });
    await channel.prefetch(prefetch);
    current = channel;
    await channel.consume(queue, (message) => {
      if (isClosing) return;
      if (message) void hand(channel, message);
      // The queue was taken away: with a new connection it is made again.
      else beginAnew();
    });
  }

  async function close(): Promise<void> {
    isClosing = true;
    if (inHand > 0) await new Promise<void>((resolve) => (onEmpty = resolve));
    await current?.close().catch(() => {});
  }

  try {
    const forget = await rabbit.onConnection(consume);
    return {
      async close() {
        forget();
        await close();
      },
    };
  } catch (error) {
    await close();
    throw error;
  }
}
