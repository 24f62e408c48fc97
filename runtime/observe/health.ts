import { Router } from 'express';
import { withTimeout } from '../with-timeout.ts';

export type Dependencies = Record<string, () => Promise<unknown>>;

const patienceMs = 1_000;
/** Dependencies are checked at most four times a second, because anyone can request the probes as often as they like. */
const freshMs = 250;

/**
 * `/healthz` says only that this process runs, because a restart would not make a database available. `/readyz` is 200 when
 * all dependencies are available, 503 with the state of each when one is not, and 503 while the process stops, so that load
 * balancers send it no new requests.
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
      Object.entries(dependencies).map(async ([name, check]) => [name, await stateOf(check)] as const),
    );
    return states;
  }

  // Some load balancers request `/health` by default.
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

async function stateOf(check: () => Promise<unknown>): Promise<'up' | 'down'> {
  return withTimeout(check(), patienceMs).then(
    () => 'up',
    () => 'down',
  );
}
