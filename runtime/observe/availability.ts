import { Gauge, type Registry } from 'prom-client';
import { redisClock } from '../clock.ts';
import { singleFlight } from '../single-flight.ts';
import { withTimeout } from '../with-timeout.ts';
import type { Dependencies } from './health.ts';

/** A dependency that does not answer. */
interface Away {
  /** Its name among the dependencies, e.g. `mongodb`. */
  what: string;
  /** When it answered last; when the watch began if it never did. */
  since: Date;
}

/** Knows which dependencies do not answer, so that a request need not wait to find out. */
export interface Availability {
  away(): Away[];
  isAway(what: string): boolean;
  close(): void;
}

const checkEveryMs = 500;
const patienceMs = 1_000;

/** Checks each dependency twice a second, and never while its last check is pending. */
export function watchDependencies(dependencies: Dependencies, registry: Registry): Availability {
  const answered = new Map(Object.keys(dependencies).map((what) => [what, redisClock.now()]));
  const away = new Set<string>();
  const probe = singleFlight((what) => dependencies[what]?.() ?? Promise.reject());
  const check = singleFlight(async (what) => {
    try {
      await withTimeout(probe(what), patienceMs);
      away.delete(what);
      answered.set(what, redisClock.now());
    } catch {
      away.add(what);
    }
  });
  const checkAll = () => {
    for (const what of Object.keys(dependencies)) void check(what);
  };
  const timer = setInterval(checkAll, checkEveryMs);
  checkAll();
  new Gauge({
    name: 'stampede_dependency_up',
    help: '1 while the process gets answers from it; 0 since it does not',
    labelNames: ['dependency'],
    registers: [registry],
    collect() {
      for (const dependency of answered.keys()) this.set({ dependency }, away.has(dependency) ? 0 : 1);
    },
  });
  return {
    away: () => [...away].map((what) => ({ what, since: answered.get(what) ?? redisClock.now() })),
    isAway: (what) => away.has(what),
    close: () => clearInterval(timer),
  };
}
