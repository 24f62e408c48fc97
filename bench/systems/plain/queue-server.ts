import { createPlainApp } from './app.ts';
import { runPlainProcess } from './process.ts';
import { enqueue, openPlainQueue } from './queue.ts';

/** The server of the side with a queue: it answers when the purchase is a job, and the worker does the rest. */
await runPlainProcess('queue-server', async ({ config, dependencies }) => {
  const queue = openPlainQueue(config.REDIS_URL);
  await queue.isReady();
  const app = createPlainApp(
    async (purchase) => {
      await enqueue(queue, purchase);
      return null;
    },
    config.JWT_SECRET,
    { ...dependencies, redis: () => queue.client.ping() },
  );
  return { app, close: () => queue.close() };
});
