import { type Config, eventRetryWaitsMs } from '../runtime/config.ts';
import { openPatientRedis, openRedis } from '../runtime/databases/connections.ts';
import type { Log } from '../runtime/observe/log.ts';
import { openRabbit } from '../runtime/rabbit/rabbit.ts';
import { openBullBus } from './bull-bus.ts';
import type { EventBus } from './bus.ts';
import { openRabbitBus } from './rabbit-bus.ts';

/** Maximum number of unacknowledged events of a subscription, with RabbitMQ. */
const prefetch = 10;

/**
 * Opens the engine that EVENT_BUS names, with connections of its own.
 * @param isTransient whether a subscriber's error is transient: see delivery.ts.
 */
export function openBus(config: Config, log: Log, isTransient: (error: unknown) => boolean): EventBus {
  const rules = {
    retryWaitsMs: eventRetryWaitsMs(config),
    isTransient(error: unknown) {
      const transient = isTransient(error);
      // Only the code is logged, because the error's message could contain a buyer's address.
      if (transient)
        log.warn(
          { error: (error as { code?: string }).code },
          'subscriber failed by a transient fault, retrying',
        );
      return transient;
    },
  };
  switch (config.EVENT_BUS) {
    case 'rabbitmq': {
      const rabbit = openRabbit({ url: config.RABBITMQ_URL ?? '', waitMs: config.FLUSH_DEADLINE_MS }, log);
      const bus = openRabbitBus(rabbit, { prefetch, rules }, log);
      return {
        ...bus,
        async close() {
          await bus.close();
          await rabbit.close();
        },
      };
    }
    case 'bull': {
      const { redis, close: closeRedis } = openRedis(config, log);
      const bus = openBullBus({
        redis,
        openPatientRedis: (options) => openPatientRedis(config, log, options),
        log,
        rules,
        leaseMs: config.JOB_LOCK_MS,
        publishDeadlineMs: config.FLUSH_DEADLINE_MS,
        maxJobs: config.EVENT_QUEUE_MAX_JOBS,
      });
      return {
        ...bus,
        async close() {
          await bus.close();
          await closeRedis();
        },
      };
    }
  }
}
