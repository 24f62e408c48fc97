import { driverOf, type OrderRecord } from '../sale/collections.ts';
import type { CloudEvent } from '../sale/contract.ts';
import { eventsOf, readChanges } from '../sale/events.ts';
import { openSystem, runCommand, type System } from './system.ts';

const usage = `expected one of
  npm run events -- tail [N]         the newest N events (20), one JSON line each
  npm run events -- show SALE-ID     all events of a sale, in order
  npm run events -- for-order ID     what the log says of one order
  npm run events -- relay SALE [N]   publishes them again from document N (1) on; subscribers tell repeats`;

const print = (events: CloudEvent[]) => {
  for (const event of events) console.log(JSON.stringify(event));
};

const actions: Record<string, (system: System, argument?: string, from?: string) => Promise<void>> = {
  async tail({ collections }, count = '20') {
    const limit = Number(count);
    if (!Number.isInteger(limit) || limit < 1 || limit > 10_000) throw new Error(usage);
    // Each document has at least one event.
    const newest = await driverOf(collections.events).find().sort({ at: -1 }).limit(limit).toArray();
    print(newest.reverse().flatMap(eventsOf).slice(-limit));
  },
  async show({ collections }, saleId) {
    if (!saleId) throw new Error(usage);
    for await (const record of readChanges(collections, saleId)) print(eventsOf(record));
  },
  async 'for-order'({ collections }, orderId) {
    if (!orderId) throw new Error(usage);
    const order = await collections.orders.findById(orderId).lean<OrderRecord>();
    if (!order) throw new Error(`There is no order ${orderId}`);
    for await (const record of readChanges(collections, order.saleId)) {
      print(eventsOf(record).filter(({ subject }) => subject === orderId));
    }
  },
  /** For a subscriber whose queue was lost, as when a Redis without a disk died. */
  async relay({ collections }, saleId, from = '1') {
    const seq = Number(from) - 1;
    if (!saleId || !Number.isInteger(seq) || seq < 0) throw new Error(usage);
    const { matchedCount } = await driverOf(collections.relays).updateOne({ _id: saleId }, { $min: { seq } });
    if (matchedCount === 0) throw new Error(`Nothing of sale ${saleId} was published so far`);
    console.log(`${saleId}: published again from ${from} on, within half a minute`);
  },
};

/** `npm run events`: reads the event log, as CloudEvents. */
await runCommand(async () => {
  const [action = '', argument, from] = process.argv.slice(2);
  const act = actions[action];
  if (!act) throw new Error(usage);
  const system = await openSystem();
  try {
    await act(system, argument, from);
  } finally {
    await system.close();
  }
});
