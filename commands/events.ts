import { eventsOf, readChanges } from '../log/events.ts';
import { setBack } from '../log/relay.ts';
import type { CloudEvent } from '../log/schemas.ts';
import type { EventBus } from '../messages/bus.ts';
import { openBus } from '../messages/open-bus.ts';
import { countLag, listSubscriptions, removeSubscription } from '../messages/subscriptions.ts';
import type { Config } from '../runtime/config.ts';
import { openLog } from '../runtime/observe/log.ts';
import { openSystem, runCommand, type System } from './system.ts';

const usage = `expected one of
  npm run events -- tail [N]         the newest N events (20), one JSON line each
  npm run events -- show SALE-ID     all events of a sale, in order
  npm run events -- for-order ID     what the log says of one order
  npm run events -- relay SALE [N]   publishes them again from document N (1) on; subscribers tell repeats
  npm run events -- subscriptions    who gets events, and how many wait for each, one JSON line each
  npm run events -- unsubscribe NAME forgets a subscription that nobody runs any more, with what waits for it`;

const print = (events: CloudEvent[]) => {
  for (const event of events) console.log(JSON.stringify(event));
};

const actions: Record<string, (system: System, argument?: string, from?: string) => Promise<void>> = {
  async tail({ collections }, count = '20') {
    const limit = Number(count);
    if (!Number.isInteger(limit) || limit < 1 || limit > 10_000) throw new Error(usage);
    // Each document has at least one event.
    const newest = await collections.events.find().sort({ at: -1 }).limit(limit).toArray();
    print(newest.reverse().flatMap(eventsOf).slice(-limit));
  },
  async show({ collections }, saleId) {
    if (!saleId) throw new Error(usage);
    for await (const record of readChanges(collections, saleId)) print(eventsOf(record));
  },
  async 'for-order'({ collections }, orderId) {
    if (!orderId) throw new Error(usage);
    const order = await collections.orders.findOne({ _id: orderId });
    if (!order) throw new Error(`Order ${orderId} does not exist`);
    for await (const record of readChanges(collections, order.saleId)) {
      print(eventsOf(record).filter(({ subject }) => subject === orderId));
    }
  },
  /** For a subscriber whose queue was lost with Redis. */
  async relay({ collections }, saleId, from = '1') {
    const seq = Number(from) - 1;
    if (!saleId || !Number.isInteger(seq) || seq < 0) throw new Error(usage);
    const names = (await listSubscriptions(collections)).map(({ _id }) => _id);
    if (!(await setBack(collections, saleId, names, seq)))
      throw new Error(`No event of sale ${saleId} has been published yet`);
    console.log(`${saleId}: events from ${from} on will be published again within half a minute`);
  },
  async subscriptions({ config, collections }) {
    await withBus(config, async (bus) => {
      const lag = await countLag(collections, bus);
      for (const { _id: name, types, losses, createdAt } of await listSubscriptions(collections)) {
        console.log(JSON.stringify({ name, types, waiting: lag[name] ?? null, losses, createdAt }));
      }
    });
  },
  async unsubscribe({ config, collections }, name) {
    if (!name) throw new Error(usage);
    const isGone = await withBus(config, (bus) => removeSubscription(collections, bus, name));
    if (!isGone) throw new Error(`Subscription ${name} does not exist`);
    console.log(`${name}: removed. A process that still runs it creates it again when it starts`);
  },
};

async function withBus<Result>(config: Config, work: (bus: EventBus) => Promise<Result>): Promise<Result> {
  const bus = openBus(config, openLog(config, 'command'), () => false);
  try {
    return await work(bus);
  } finally {
    await bus.close();
  }
}

/** `npm run events`: prints the event log as CloudEvents, republishes events, and manages subscriptions. */
await runCommand(async () => {
  const [action = '', argument, from] = process.argv.slice(2);
  const act = Object.hasOwn(actions, action) && actions[action];
  if (!act) throw new Error(usage);
  const system = await openSystem();
  try {
    await act(system, argument, from);
  } finally {
    await system.close();
  }
});
