import { type Channel, type ChannelModel, type ConfirmChannel, connect, type Options } from 'amqplib';
import { urlsOf } from '../databases/urls.ts';
import type { Log } from '../observe/log.ts';
import { withTimeout } from '../with-timeout.ts';

/** A persistent message for RabbitMQ. */
export interface RabbitMessage {
  /** Empty for the default exchange, which routes to the queue that the routing key names. */
  exchange: string;
  routingKey: string;
  /** Unique among all messages. */
  id: string;
  content: Buffer;
  contentType: string;
  headers?: Record<string, string | number>;
  correlationId?: string;
  type?: string;
}

/** One connection to RabbitMQ, which reconnects within 2 s whenever it is lost. */
export interface Rabbit {
  /**
   * Registers how to declare exchanges and queues; `make` must be idempotent and runs again after each reconnect.
   * @returns a function that resolves once they are declared. It throws RabbitAway when that takes too long, and Error when
   *   they exist with other arguments; it can be called again then.
   */
  prepares(make: (channel: Channel) => Promise<unknown>): () => Promise<void>;
  /**
   * Runs `run` now and after each reconnect, e.g. to consume. Resolves after the first run with a function that ends this.
   * @throws RabbitAway when the first run takes too long; then it does not run later either.
   */
  onConnection(run: (model: ChannelModel) => Promise<void>): Promise<() => void>;
  /**
   * Resolves when RabbitMQ confirmed all these messages: each is on disk in at least one queue.
   * @throws RabbitAway when they are not confirmed in time. Some or all of them may have been stored all the same.
   */
  publish(messages: RabbitMessage[]): Promise<void>;
  /** Runs on a channel of its own. Messages left unacknowledged return to their queue. @throws RabbitAway */
  use<Result>(work: (channel: ConfirmChannel) => Promise<Result>): Promise<Result>;
  /** @throws RabbitAway when the connection is known to be lost or blocked. */
  requireReady(): void;
  ping(): Promise<void>;
  close(): Promise<void>;
}

/** RabbitMQ cannot be reached, blocks publishers, or does not answer in time. */
class RabbitAway extends Error {
  override name = 'RabbitAway';
}

interface Start {
  run(model: ChannelModel): Promise<void>;
  hasRun: boolean;
  resolve(): void;
  reject(error: unknown): void;
}

/** RabbitMQ confirms an unroutable message too, so it is published as `mandatory`, returned, and becomes this error. */
class Unroutable extends RabbitAway {
  override name = 'Unroutable';
}

export function isRabbitAway(error: unknown): boolean {
  return error instanceof RabbitAway;
}

/** Bounds each set-up step, because a queue that is electing its leader may not answer and would block the others. */
const setUpMs = 10_000;

/**
 * @param waitMs time-out of each operation.
 * @param silenceMs after so long without a sign of life the connection counts as lost.
 */
export function openRabbit(
  { url, waitMs, silenceMs = 30_000 }: { url: string; waitMs: number; silenceMs?: number },
  log: Log,
): Rabbit {
  let current: { model: ChannelModel; publisher: Publisher } | null = null;
  /** Why RabbitMQ blocks publishers (its disk or memory is full); null when it does not. */
  let blocked: string | null = null;
  let isClosed = false;
  const starts: Start[] = [];

  /** Closes the connection when one of its channels is lost, so that everything is set up again on a new one. */
  function reconnect(model: ChannelModel): void {
    if (current?.model === model && !isClosed) model.close().catch(() => {});
  }

  async function setUp(model: ChannelModel): Promise<void> {
    const publisher = openPublisher(await model.createConfirmChannel(), () => reconnect(model));
    // The loop also reaches a start that is added while it runs.
    for (const start of starts) await answered(setUpMs, runStart(start, model));
    blocked = null;
    current = { model, publisher };
  }

  const hosts = urlsOf(url);
  /** Counts failed and lost connections, so that each attempt goes to the next host. */
  let failures = 0;
  const host = () => hosts[failures % hosts.length] ?? hosts[0];
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
    // amqplib detects a lost connection after two to three missed heartbeats.
    heartbeat: Math.max(1, Math.round(silenceMs / 3_000)),
  };
  const opening = connect(address, {
    timeout: waitMs,
    noDelay: true,
    recovery: { initialDelay: 100, maxDelay: 2_000, waitForConnect: false, setup: setUp },
  }).then((model) => {
    model.on('error', (error) => log.warn({ error: error.message }, 'RabbitMQ connection error'));
    model.on('connect-failed', (error) => {
      failures += 1;
      log.warn({ error: error.message }, 'cannot connect to RabbitMQ, retrying');
    });
    model.on('blocked', (reason) => {
      blocked = reason;
      log.warn({ reason }, 'RabbitMQ blocks publishers');
    });
    model.on('unblocked', () => {
      blocked = null;
    });
    model.on('disconnect', (error) => {
      current = null;
      failures += 1;
      if (!isClosed) log.warn({ error: error.message }, 'RabbitMQ connection lost, reconnecting');
    });
    return model;
  });

  function requireCurrent() {
    if (!current) throw new RabbitAway('There is no connection to RabbitMQ');
    if (blocked !== null) throw new RabbitAway(`RabbitMQ blocks publishers: ${blocked}`);
    return current;
  }

  function forget(start: Start): void {
    const index = starts.indexOf(start);
    if (index !== -1) starts.splice(index, 1);
  }

  /** An error at the first run is the caller's mistake and is thrown to them; later it is a passing fault and is retried. */
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
    // If the connection is lost meanwhile, the next one runs it.
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
        // The queue was deleted; a reconnect declares it again.
        if (error instanceof Unroutable) reconnect(model);
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
  /** Ids of unroutable messages; RabbitMQ returns a message before it confirms it. */
  const returned = new Set<string>();
  channel.on('return', ({ properties }) => returned.add(properties.messageId));
  channel.on('error', () => {}); // A close follows, which is handled.
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
  channel.on('error', () => {}); // The operation that caused it throws the same error.
  try {
    return await work(channel);
  } finally {
    await channel.close().catch(() => {});
  }
}

function answered<Result>(ms: number, work: Promise<Result>): Promise<Result> {
  return withTimeout(work, ms, () => new RabbitAway(`RabbitMQ did not answer in ${ms} ms`));
}

/** Turns amqplib's errors of a lost connection into RabbitAway. An operation that RabbitMQ refused keeps its error. */
function awayOr(error: unknown): unknown {
  const { name, message } = error as Error;
  const isGone = /^(Channel|Connection) (clos|ended)|^channel closed|^Unexpected close|^Socket closed/i.test(
    message,
  );
  return name === 'IllegalOperationError' || isGone ? new RabbitAway(message) : error;
}
