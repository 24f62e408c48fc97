import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openRabbitBus } from '../../messages/rabbit-bus.ts';
import { openRabbit as startRabbit } from '../../ops/local/databases/rabbit.mjs';
import { openLog } from '../../runtime/observe/log.ts';
import { openRabbit } from '../../runtime/rabbit/rabbit.ts';
import { queuesAreRegistered } from '../support/registered.ts';
import { type BusTestbed, busContract } from './bus-contract.ts';

busContract('RabbitMQ', openTestbed);

async function openTestbed(): Promise<BusTestbed> {
  const dataDir = await mkdtemp(join(tmpdir(), 'stampede-bus-'));
  let broker = await startRabbit({ dataDir });
  const made = new Set<string>();
  const log = openLog({ LOG_LEVEL: 'silent', INSTANCE: '1' }, 'test');
  return {
    async openBus({ retryWaitsMs }) {
      const rabbit = openRabbit({ url: broker.url, waitMs: 5_000 }, log);
      const isTransient = (error: unknown) => (error as Error).message === 'away';
      const bus = openRabbitBus(rabbit, { prefetch: 10, rules: { isTransient, retryWaitsMs } }, log);
      return {
        ...bus,
        declare(subscriptions) {
          for (const { name } of subscriptions) made.add(name);
          return bus.declare(subscriptions);
        },
        subscribe(subscription) {
          made.add(subscription.name);
          return bus.subscribe(subscription);
        },
        async close() {
          await bus.close();
          await rabbit.close();
        },
      };
    },
    async kill() {
      await queuesAreRegistered(dataDir, [...made, 'order-events']);
      process.kill(broker.pid, 'SIGKILL');
      await broker.ended;
    },
    async start() {
      broker = await startRabbit({ dataDir, port: broker.port });
    },
    async close() {
      await broker.close();
      await rm(dataDir, { recursive: true });
    },
  };
}
