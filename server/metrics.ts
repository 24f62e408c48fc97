import type { IncomingMessage, ServerResponse } from 'node:http';
import { Counter, Gauge, Histogram, type Registry } from 'prom-client';
import type { BatchTrip } from '../runtime/group-commit.ts';
import { secondsBuckets, sizeBuckets } from '../runtime/observe/metrics.ts';
import type { Admission, Admit } from '../sale/admission/admission.ts';
import type { Live } from './live/live.ts';

const outcomes = {
  admitted: 0,
  known: 0,
  sold_out: 0,
  not_open: 0,
  over_limit: 0,
  paused: 0,
  ended: 0,
  unknown_sale: 0,
  busy: 0,
  unconfirmed: 0,
} satisfies Record<Admission['outcome'], 0>;

/** What a server counts of its own. Labels are few: a series for each is kept in every instance. */
export function openServerMetrics(registry: Registry) {
  const registers = [registry];
  const requests = new Histogram({
    name: 'stampede_http_request_seconds',
    help: 'From a request to the end of its answer; the route is buy, order or other',
    labelNames: ['route', 'status'],
    buckets: secondsBuckets,
    registers,
  });
  // From 0, so that the first fault is a rise.
  for (const status of ['2xx', '4xx', '5xx']) requests.zero({ route: 'buy', status });
  const admissions = new Counter({
    name: 'stampede_admissions_total',
    help: 'Presses of Buy by what became of them; failed: Redis or MongoDB could not say',
    labelNames: ['outcome'],
    registers,
  });
  for (const outcome of [...Object.keys(outcomes), 'failed']) admissions.inc({ outcome }, 0);
  const flushSize = new Histogram({
    name: 'stampede_flush_purchases',
    help: 'Purchases in one flush to Redis',
    buckets: sizeBuckets,
    registers,
  });
  const flushSeconds = new Histogram({
    name: 'stampede_flush_seconds',
    help: 'Round trip of a flush, until Redis has it on its disk',
    buckets: secondsBuckets,
    registers,
  });

  return {
    watchRequest({ method = '', url = '' }: IncomingMessage, response: ServerResponse): void {
      const startedAt = performance.now();
      response.on('finish', () => {
        const labels = { route: routeOf(method, url), status: `${Math.floor(response.statusCode / 100)}xx` };
        requests.observe(labels, (performance.now() - startedAt) / 1_000);
      });
    },

    countAdmissions(admit: Admit): Admit {
      return async (purchase) => {
        const admission = await admit(purchase).catch((error) => {
          admissions.inc({ outcome: 'failed' });
          throw error;
        });
        admissions.inc({ outcome: admission.outcome });
        return admission;
      };
    },

    noteFlush({ items, seconds }: BatchTrip<unknown>): void {
      flushSize.observe(items.length);
      flushSeconds.observe(seconds);
    },

    watchSockets(live: Pick<Live, 'count' | 'traffic'>): void {
      new Gauge({
        name: 'stampede_sockets',
        help: 'Open sockets',
        registers,
        collect() {
          this.set(live.count().sockets);
        },
      });
      new Counter({
        name: 'stampede_socket_packets_total',
        help: 'Packets from and to sockets',
        labelNames: ['direction'],
        registers,
        collect() {
          const { received, sent } = live.traffic();
          this.reset();
          this.inc({ direction: 'in' }, received);
          this.inc({ direction: 'out' }, sent);
        },
      });
    },
  };
}

const buying = /^\/api\/sales\/[^/]+\/purchases$/;
const asking = /^\/api\/orders\/[^/?]+$/;

/** The two that a crowd uses, and all the others together. */
export function routeOf(method: string, url: string): 'buy' | 'order' | 'other' {
  if (method === 'POST' && buying.test(url)) return 'buy';
  return method === 'GET' && asking.test(url) ? 'order' : 'other';
}
