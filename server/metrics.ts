import type { IncomingMessage, ServerResponse } from 'node:http';
import { Gauge, Histogram, type Registry } from 'prom-client';
import { type Counters, exposeOutcomes } from '../insight/counters.ts';
import type { BatchTrip } from '../runtime/group-commit.ts';
import { exposeCounts, secondsBuckets, sizeBuckets } from '../runtime/observe/metrics.ts';
import type { Live } from './live/live.ts';
import { preferredWaitOf } from './live/settled-orders.ts';

/** The metrics of one server. Labels have few values, because every instance keeps a series for each value. */
export function openServerMetrics(registry: Registry, counters: Pick<Counters, 'totals'>) {
  const registers = [registry];
  const requests = new Histogram({
    name: 'stampede_http_request_seconds',
    help: 'Time from a request to the end of its answer; the route is buy, order, buy_waiting, order_waiting (with Prefer: wait) or other',
    labelNames: ['route', 'status'],
    buckets: secondsBuckets,
    registers,
  });
  // The series start at 0, so that Prometheus sees the first fault as an increase.
  for (const status of ['2xx', '4xx', '5xx']) requests.zero({ route: 'buy', status });
  exposeCounts(
    registry,
    {
      name: 'stampede_admissions_total',
      help: 'Presses of Buy by outcome; failed: Redis or MongoDB was unavailable',
      label: 'outcome',
    },
    () => counters.totals.admissions,
  );
  exposeOutcomes(registry, counters);
  const admissionSeconds = new Histogram({
    name: 'stampede_admission_seconds',
    help: 'Time from a press of Buy until it is accepted or refused, also when its answer waits for the order',
    buckets: secondsBuckets,
    registers,
  });
  const flushSize = new Histogram({
    name: 'stampede_flush_purchases',
    help: 'Purchases in one flush to Redis',
    buckets: sizeBuckets,
    registers,
  });
  const flushSeconds = new Histogram({
    name: 'stampede_flush_seconds',
    help: 'Round trip of a flush, until Redis has written it to its disk',
    buckets: secondsBuckets,
    registers,
  });

  return {
    request({ method = '', url = '', headers }: IncomingMessage, response: ServerResponse): void {
      const startedAt = performance.now();
      const route = routeOf(method, url);
      // An answer that a client prefers to wait for is not late; pages wait so for each purchase.
      const isWaiting = route !== 'other' && preferredWaitOf(headers.prefer as string | undefined) > 0;
      response.on('finish', () => {
        const labels = {
          route: isWaiting ? `${route}_waiting` : route,
          status: `${Math.floor(response.statusCode / 100)}xx`,
        };
        requests.observe(labels, (performance.now() - startedAt) / 1_000);
      });
    },

    admission(seconds: number): void {
      admissionSeconds.observe(seconds);
    },

    flush({ items, seconds }: BatchTrip<unknown>): void {
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
      exposeCounts(
        registry,
        {
          name: 'stampede_socket_packets_total',
          help: 'Packets from and to sockets',
          label: 'direction',
        },
        () => {
          const { received, sent } = live.traffic();
          return { in: received, out: sent };
        },
      );
    },
  };
}

const buying = /^\/api\/sales\/[^/]+\/purchases$/;
const readingOrder = /^\/api\/orders\/[^/?]+$/;

/** The two routes that most requests of a rush use, and `other` for all the rest. */
export function routeOf(method: string, url: string): 'buy' | 'order' | 'other' {
  if (method === 'POST' && buying.test(url)) return 'buy';
  return method === 'GET' && readingOrder.test(url) ? 'order' : 'other';
}
