import type { Redis } from 'ioredis';
import type { Config } from '../runtime/config.ts';
import { openPatientRedis } from '../runtime/connections.ts';
import type { Log } from '../runtime/log.ts';
import { openRabbit } from '../runtime/rabbit.ts';
import { openBullQueue } from './bull-queue.ts';
import type { PurchaseQueue } from './queue.ts';
import { openRabbitQueue } from './rabbit-queue.ts';

/**
 * Opens the engine that PURCHASE_QUEUE names, with connections of its own.
 * @param redis where the workers' heartbeats are.
 */
export function openPurchaseQueue(config: Config, redis: Redis, log: Log): PurchaseQueue {
  switch (config.PURCHASE_QUEUE) {
    case 'bull':
      return openBullQueue(() => openPatientRedis(config, log), { lockMs: config.JOB_LOCK_MS }, log);
    case 'rabbitmq': {
      const { RABBITMQ_URL: url = '', FLUSH_DEADLINE_MS: waitMs } = config;
      return openRabbitQueue(openRabbit({ url, waitMs }, log), redis, log);
    }
  }
}
