import type { Channel, ChannelModel, ConsumeMessage } from 'amqplib';
import type { Log } from '../observe/log.ts';
import type { Rabbit } from './rabbit.ts';

/** How a message is answered: acknowledged (`done`), requeued (`again`), or dead-lettered (`dead`). */
export type Verdict = 'done' | 'again' | 'dead';

export interface Consumer {
  /** Waits for the messages being handled; the others stay in the queue. */
  close(): Promise<void>;
}

/**
 * Consumes an existing queue until it is closed, and starts again after each reconnect. A message is acknowledged after
 * `handle` resolved, and redelivered when its connection is lost before that.
 * @param prefetch the maximum number of unacknowledged messages.
 * @param handle should wait before it returns `again`, because the message is redelivered at once.
 * @throws RabbitAway when consuming could not start in time.
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
      log.warn({ error: error.message, queue }, 'handling a message failed, requeued it');
      return 'again' as const;
    });
    try {
      if (verdict === 'done') channel.ack(message);
      // While closing, unacknowledged messages return when the channel closes, in their order.
      else if (verdict === 'dead' || !isClosing) channel.nack(message, false, verdict === 'again');
    } catch {
      // The message's connection is lost, so RabbitMQ redelivers it.
    }
    inHand -= 1;
    if (inHand === 0) onEmpty();
  }

  async function consume(model: ChannelModel): Promise<void> {
    const reconnect = () => void model.close().catch(() => {});
    const channel = await model.createChannel();
    channel.on('error', (error) =>
      log.warn({ error: error.message, queue }, 'RabbitMQ closed the channel of a consumer'),
    );
    channel.on('close', () => {
      if (current === channel && !isClosing) reconnect();
    });
    await channel.prefetch(prefetch);
    current = channel;
    await channel.consume(queue, (message) => {
      if (isClosing) return;
      if (message) void hand(channel, message);
      // Without a message: the queue was deleted. It is declared again after a reconnect.
      else reconnect();
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
