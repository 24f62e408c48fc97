import { createPlainApp } from './app.ts';
import { runPlainProcess } from './process.ts';
import { enqueue, openPlainQueue } from './queue.ts';

/** The side with a queue: a request is answered once its purchase is a job; everything else is the worker's. */
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
