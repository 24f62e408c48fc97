import { type Channel, type ChannelModel, type ConfirmChannel, connect, type Options } from 'amqplib';
import { urlsOf } from '../databases/urls.ts';
import type { Log } from '../observe/log.ts';
import { within } from '../within.ts';

/** A message for RabbitMQ, which keeps it on the disk. */
export interface RabbitMessage {
  /** Empty: straight into the queue that the routing key names. */
  exchange: string;
  routingKey: string;
  /** Unlike any other message's. */
  id: string;
  content: Buffer;
  contentType: string;
  headers?: Record<string, string | number>;
  correlationId?: string;
  type?: string;
}

/** One connection to RabbitMQ, made again whenever it is lost, after at most 2 s. */
export interface Rabbit {
  /**
   * How to make exchanges and queues; it must be safe to repeat, and is repeated at each new connection.
   * @returns a function that resolves once they are there. It throws RabbitAway when that is not so in time, and Error
   *   when RabbitMQ has something else of that name; call it again, then.
   */
  prepares(make: (channel: Channel) => Promise<unknown>): () => Promise<void>;
  /**
   * Runs now and at each new connection, e.g. to consume. Resolves, with what ends that, when it has run once.
   * @throws RabbitAway when that is not so in time; then it does not run later either.
   */
  onConnection(run: (model: ChannelModel) => Promise<void>): Promise<() => void>;
  /**
   * Resolves when RabbitMQ has all these messages on its disk, each in at least one queue.
   * @throws RabbitAway when that is not so in time. They may be there all the same, some or all of them.
   */
  publish(messages: RabbitMessage[]): Promise<void>;
  /** Runs on a channel of its own. What is still unacknowledged in the end goes back to its queue. @throws RabbitAway */
  use<Result>(work: (channel: ConfirmChannel) => Promise<Result>): Promise<Result>;
  /** @throws RabbitAway when it is known without asking that nothing can be published now. */
  requireReady(): void;
  ping(): Promise<void>;
  close(): Promise<void>;
}

/** RabbitMQ cannot be reached, takes nothing, or does not answer in time. */
class RabbitAway extends Error {
  override name = 'RabbitAway';
}

interface Start {
  run(model: ChannelModel): Promise<void>;
  hasRun: boolean;
  resolve(): void;
  reject(error: unknown): void;
}

/** A message that fits no queue: RabbitMQ confirms such a message, and drops it, unless it must not be. */
class Unroutable extends RabbitAway {
  override name = 'Unroutable';
}

export function isRabbitAway(error: unknown): boolean {
  return error instanceof RabbitAway;
}

/** A queue that does not answer, as one that is just electing its leader, must not hold up the others for ever. */
const setUpMs = 10_000;

/**
 * @param waitMs how long anything that somebody waits for may take: a publish, a question.
 * @param silenceMs a broker, a network or a consumer that is silent for so long is taken for lost.
 */
export function openRabbit(
  { url, waitMs, silenceMs = 30_000 }: { url: string; waitMs: number; silenceMs?: number },
  log: Log,
): Rabbit {
  let current: { model: ChannelModel; publisher: Publisher } | null = null;
  /** Why the broker takes no messages though it is there: its disk or memory is full. */
  let blocked: string | null = null;
  let isClosed = false;
  const starts: Start[] = [];

  /** A lost channel is a lost connection: what was made on it is made again. */
  function beginAnewWith(model: ChannelModel): void {
    if (current?.model === model && !isClosed) model.close().catch(() => {});
  }

  async function setUp(model: ChannelModel): Promise<void> {
    const publisher = openPublisher(await model.createConfirmChannel(), () => beginAnewWith(model));
    // One that is added meanwhile is reached by this loop as well.
    for (const start of starts) await answered(setUpMs, runStart(start, model));
    blocked = null;
    current = { model, publisher };
  }

  const hosts = urlsOf(url);
  /** Counts the connections that were lost or not made: the next one goes to the next host. */
  let turn = 0;
  const host = () => hosts[turn % hosts.length] ?? hosts[0];
  const [{ protocol, username, password, pathname, searchParams }] = hosts;
  const address = {
    protocol: protocol.slice(0, -1),
    get hostname() {
      return host().hostname.replace(/^\[|\]$/g, '');
    },
    get port() {
      return Number(host().port);
    },
    ...((username || password) && {
      username: decodeURIComponent(username),
      password: decodeURIComponent(password),
    }),
    vhost: pathname.slice(1),
    ...Object.fromEntries(searchParams),
    // Silence is noticed after two to three heartbeats.
    heartbeat: Math.max(1, Math.round(silenceMs / 3_000)),
  };
  const opening = connect(address, {
    timeout: waitMs,
    noDelay: true,
    recovery: { initialDelay: 100, maxDelay: 2_000, waitForConnect: false, setup: setUp },
  }).then((model) => {
    model.on('error', (error) => log.warn({ error: error.message }, 'RabbitMQ connection'));
    model.on('connect-failed', (error) => {
      turn += 1;
      log.warn({ error: error.message }, 'RabbitMQ is away');
    });
    model.on('blocked', (reason) => {
      blocked = reason;
      log.warn({ reason }, 'RabbitMQ takes no messages');
    });
    model.on('unblocked', () => {
      blocked = null;
    });
    model.on('disconnect', (error) => {
      current = null;
      turn += 1;
      if (!isClosed) log.warn({ error: error.message }, 'RabbitMQ is away');
    });
    return model;
  });

  function requireCurrent() {
    if (!current) throw new RabbitAway('There is no connection to RabbitMQ');
    if (blocked !== null) throw new RabbitAway(`RabbitMQ takes no messages: ${blocked}`);
    return current;
  }

  function forget(start: Start): void {
    const index = starts.indexOf(start);
    if (index !== -1) starts.splice(index, 1);
  }

  /** What RabbitMQ refuses the first time is a mistake, and its caller's; what it took once, it will take again. */
  async function runStart(start: Start, model: ChannelModel): Promise<void> {
    try {
      await start.run(model);
      start.hasRun = true;
      start.resolve();
    } catch (error) {
      if (start.hasRun || isRabbitAway(awayOr(error))) throw error;
      start.reject(error);
    }
  }

  async function onConnection(run: Start['run']): Promise<() => void> {
    const start: Start = { run, hasRun: false, resolve() {}, reject() {} };
    const hasRun = new Promise<void>((resolve, reject) => {
      start.resolve = resolve;
      start.reject = reject;
    });
    starts.push(start);
    // Lost in the middle of it: the next connection runs it.
    if (current) runStart(start, current.model).catch(() => {});
    try {
      await answered(waitMs, hasRun);
    } catch (error) {
      forget(start);
      throw error;
    }
    return () => forget(start);
  }

  const rabbit: Rabbit = {
    onConnection,

    prepares(make) {
      let made: Promise<unknown> | null = null;
      return async () => {
        made ??= onConnection(async (model) => {
          await useOnce(await model.createChannel(), make);
        });
        try {
          await made;
        } catch (error) {
          made = null;
          throw error;
        }
      };
    },

    async publish(messages) {
      const { model, publisher } = requireCurrent();
      try {
        await answered(waitMs, Promise.all(messages.map((message) => publisher(message))));
      } catch (error) {
        // Somebody took its queue away: it is made again.
        if (error instanceof Unroutable) beginAnewWith(model);
        throw awayOr(error);
      }
    },

    async use(work) {
      const { model } = requireCurrent();
      try {
        const channel = await answered(waitMs, model.createConfirmChannel());
        return await answered(waitMs, useOnce(channel, work));
      } catch (error) {
        throw awayOr(error);
      }
    },

    requireReady: () => void requireCurrent(),
    ping: () => rabbit.use(async () => {}),

    async close() {
      isClosed = true;
      await answered(waitMs, (await opening).close()).catch(() => {});
    },
  };
  return rabbit;
}

type Publisher = (message: RabbitMessage) => Promise<void>;

function openPublisher(channel: ConfirmChannel, onClose: () => void): Publisher {
  /** What came back because no queue fits it. It comes back before it is confirmed. */
  const returned = new Set<string>();
  channel.on('return', ({ properties }) => returned.add(properties.messageId));
  channel.on('error', () => {}); // Its end is what counts.
  channel.on('close', onClose);
  return ({ exchange, routingKey, id, content, ...properties }) =>
    new Promise((resolve, reject) => {
      const options: Options.Publish = { ...properties, messageId: id, persistent: true, mandatory: true };
      channel.publish(exchange, routingKey, content, options, (error) => {
        if (returned.delete(id)) reject(new Unroutable(`No queue takes ${exchange}/${routingKey}`));
        else if (error) reject(new RabbitAway(`RabbitMQ did not confirm: ${error.message}`));
        else resolve();
      });
    });
}

async function useOnce<Result, Own extends Channel>(
  channel: Own,
  work: (channel: Own) => Promise<Result>,
): Promise<Result> {
  channel.on('error', () => {}); // Told by the operation that caused it.
  try {
    return await work(channel);
  } finally {
    await channel.close().catch(() => {});
  }
}

function answered<Result>(ms: number, work: Promise<Result>): Promise<Result> {
  return within(ms, work, () => new RabbitAway(`RabbitMQ did not answer in ${ms} ms`));
}

/** What amqplib throws when the connection goes, or is gone. What RabbitMQ refuses carries a code. */
function awayOr(error: unknown): unknown {
  const { name, message } = error as Error;
  const isGone = /^(Channel|Connection) (clos|ended)|^channel closed|^Unexpected close|^Socket closed/i.test(
    message,
  );
  return name === 'IllegalOperationError' || isGone ? new RabbitAway(message) : error;
}
