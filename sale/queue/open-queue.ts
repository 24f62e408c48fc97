import type { Redis } from 'ioredis';
import type { Config } from '../../runtime/config.ts';
import { openPatientRedis, type openRedis } from '../../runtime/databases/connections.ts';
import type { Log } from '../../runtime/observe/log.ts';
import { openRabbit } from '../../runtime/rabbit/rabbit.ts';
import { shardOf, shardsIn } from '../shard.ts';
import { openBullQueue } from './bull-queue.ts';
import type { PurchaseQueue } from './queue.ts';
import { openRabbitQueue } from './rabbit-queue.ts';

/**
 * Opens the engine that PURCHASE_QUEUE names, with connections of its own.
 * @param redis holds the workers' heartbeats.
 * @param options.consumes whether this process takes jobs: then RabbitMQ redelivers them after JOB_LOCK_MS of silence, like
 *   Bull.
 * @param options.connect opens its connections to Redis; by openRedis its commands fail while Redis is away.
 */
export function openPurchaseQueue(
  config: Config,
  redis: Redis,
  log: Log,
  {
    consumes = false,
    connect = openPatientRedis,
  }: { consumes?: boolean; connect?: typeof openPatientRedis | typeof openRedis } = {},
): PurchaseQueue {
  const { JOB_LOCK_MS: lockMs, PURCHASE_RETRY_FIRST_MS: firstRetryMs } = config;
  switch (config.PURCHASE_QUEUE) {
    case 'bull':
      return openBullQueue(
        (options) => connect(config, log, options),
        {
          shards: shardsIn(redis, config.SHARDS),
          shardOfSale: (saleId) => shardOf(saleId, config.SHARDS),
        },
        { lockMs, firstRetryMs },
        log,
      );
    case 'rabbitmq': {
      const { RABBITMQ_URL: url = '', FLUSH_DEADLINE_MS: waitMs } = config;
      const rabbit = openRabbit({ url, waitMs, ...(consumes && { silenceMs: lockMs }) }, log);
      return openRabbitQueue(rabbit, redis, firstRetryMs, log);
    }
  }
}
