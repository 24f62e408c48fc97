import { Router } from 'express';
import { within } from './within.ts';

export type Dependencies = Record<string, () => Promise<unknown>>;

const patienceMs = 1_000;

/**
 * `/healthz`: this process runs, whatever it depends on: restarting it would bring no database back. `/readyz`: 200 when
 * it can do its work; 503 that names what is away, and 503 once it stops, so that nobody sends it anything new.
 */
export function healthRoutes(dependencies: Dependencies, isStopping = () => false): Router {
  const router = Router();
  router.get('/healthz', (_request, response) => {
    response.json({ status: 'ok' });
  });
  router.get('/readyz', async (_request, response) => {
    if (isStopping()) {
      response.status(503).json({ status: 'stopping', dependencies: {} });
      return;
    }
    const states = await Promise.all(
      Object.entries(dependencies).map(async ([name, check]) => [name, await stateOf(check)] as const),
    );
    const ready = states.every(([, state]) => state === 'up');
    response
      .status(ready ? 200 : 503)
      .json({ status: ready ? 'ready' : 'not ready', dependencies: Object.fromEntries(states) });
  });
  return router;
}

async function stateOf(check: () => Promise<unknown>): Promise<'up' | 'down'> {
  return within(patienceMs, check()).then(
    () => 'up',
    () => 'down',
  );
}
