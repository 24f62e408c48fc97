import { Router } from 'express';

export type Dependencies = Record<string, () => Promise<unknown>>;

const patienceMs = 1_000;

/**
 * `/healthz`: this process runs. `/readyz`: 200 when it can do its work, otherwise 503 that names what is away.
 */
export function healthRoutes(dependencies: Dependencies): Router {
  const router = Router();
  router.get('/healthz', (_request, response) => {
    response.json({ status: 'ok' });
  });
  router.get('/readyz', async (_request, response) => {
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
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<'down'>((resolve) => {
    timer = setTimeout(resolve, patienceMs, 'down');
  });
  const up = check().then(
    () => 'up' as const,
    () => 'down' as const,
  );
  const state = await Promise.race([up, late]);
  clearTimeout(timer);
  return state;
}
