import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openBullBus } from '../../messages/bull-bus.ts';
import { openRedis as startRedis } from '../../ops/local/databases/redis.mjs';
import { readConfig } from '../../runtime/config.ts';
import { openPatientRedis, openRedis } from '../../runtime/databases/connections.ts';
import { openLog } from '../../runtime/observe/log.ts';
import { type BusTestbed, busContract } from './bus-contract.ts';

busContract('Bull', openTestbed);

async function openTestbed(): Promise<BusTestbed> {
  const dataDir = await mkdtemp(join(tmpdir(), 'stampede-bus-'));
  let redis = await startRedis({ dataDir });
  const config = readConfig({
    MONGO_URL: 'mongodb://127.0.0.1:1/unused',
    REDIS_URL: redis.url,
    JWT_SECRET: 'x'.repeat(32),
    LOG_LEVEL: 'silent',
  });
  const log = openLog(config, 'test');
  return {
    async openBus({ retryWaitsMs }) {
      const connection = openRedis(config, log);
      await new Promise((resolve) => connection.redis.once('ready', resolve));
      const bus = openBullBus({
        redis: connection.redis,
        openPatientRedis: (options) => openPatientRedis(config, log, options),
        log,
        rules: { isTransient: (error) => (error as Error).message === 'away', retryWaitsMs },
        leaseMs: 1_500,
        publishDeadlineMs: 2_000,
      });
      return {
        ...bus,
        async close() {
          await bus.close();
          await connection.close();
        },
      };
    },
    async kill() {
      process.kill(redis.pid, 'SIGKILL');
      await redis.ended;
    },
    async start() {
      redis = await startRedis({ dataDir, port: redis.port });
    },
    async close() {
      await redis.close();
      await rm(dataDir, { recursive: true });
    },
  };
}
