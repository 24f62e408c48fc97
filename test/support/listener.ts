import { nanoid } from 'nanoid';
import type { BusEvent } from '../../messages/bus.ts';
import { openBus } from '../../messages/open-bus.ts';
import { waitUntil } from '../../ops/local/processes/process.mjs';
import { openLog } from '../../runtime/observe/log.ts';
import type { TestSystem } from './harness.ts';

export interface Listener {
  /** In the order of arrival, with duplicates. */
  events: BusEvent[];
  /** Waits for the first matching event. */
  hears(type: string, fits?: (event: BusEvent) => boolean): Promise<BusEvent>;
  close(): Promise<void>;
}

/** Subscribes to all events that the system publishes from now on. */
export async function listenTo({ store: { config } }: TestSystem): Promise<Listener> {
  const log = openLog(config, 'test');
  const bus = openBus(config, log, () => false);
  const events: BusEvent[] = [];
  const subscription = {
    name: `test-${nanoid(8).toLowerCase().replaceAll('_', '0')}`,
    types: ['*.*'],
    maxBatch: 500,
    handle: async (batch: BusEvent[]) => void events.push(...batch),
  };
  await waitUntil(() => bus.subscribe(subscription).then(() => true), {
    deadlineMs: 5_000,
    what: 'it subscribes',
  });
  return {
    events,
    hears: (type, fits = () => true) =>
      waitUntil(() => events.find((event) => event.type === type && fits(event)), {
        deadlineMs: 30_000,
        what: `the bus brings ${type}`,
      }),
    close: () => bus.close(),
  };
}
