import { Router } from 'express';
import { withTimeout } from '../with-timeout.ts';

export type Dependencies = Record<string, () => Promise<unknown>>;

const patienceMs = 1_000;
/** Anybody may ask: however often they do, what it depends on is asked four times a second. */
const freshMs = 250;

/**
 * `/healthz`: this process runs, whatever it depends on: restarting it would bring no database back. `/readyz`: 200 when
 * it can do its work; 503 that names what is away, and 503 once it stops, so that nobody sends it anything new.
 */
export function healthRoutes(dependencies: Dependencies, isStopping = () => false): Router {
  const router = Router();
  let checkedAt = -Infinity;
  let states: Promise<(readonly [string, 'up' | 'down'])[]>;
  function check() {
    const now = performance.now();
    if (now - checkedAt < freshMs) return states;
    checkedAt = now;
    states = Promise.all(
      Object.entries(dependencies).map(async ([name, ask]) => [name, await stateOf(ask)] as const),
    );
    return states;
  }

  // The second is what load balancers ask by themselves.
  router.get(['/healthz', '/health'], (_request, response) => {
    response.json({ status: 'ok' });
  });
  router.get('/readyz', async (_request, response) => {
    if (isStopping()) {
      response.status(503).json({ status: 'stopping', dependencies: {} });
      return;
    }
    const found = await check();
    const ready = found.every(([, state]) => state === 'up');
    response
      .status(ready ? 200 : 503)
      .json({ status: ready ? 'ready' : 'not ready', dependencies: Object.fromEntries(found) });
  });
  return router;
}

async function stateOf(ask: () => Promise<unknown>): Promise<'up' | 'down'> {
  return withTimeout(ask(), patienceMs).then(
    () => 'up',
    () => 'down',
  );
}
