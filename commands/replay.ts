import { isDeepStrictEqual, parseArgs } from 'node:util';
import type { Connection } from 'mongoose';
import { replay } from '../log/replay.ts';
import { linesOf } from '../sale/items.ts';
import { instant } from '../server/http/inputs.ts';
import type { Collections, ItemCounts, OrderRecord } from '../store/collections.ts';
import { openSystem, runCommand } from './system.ts';

async function rebuild(collections: Collections, into: Connection, until: Date | undefined) {
  const counts = { sales: 0, orders: 0 };
  await into.dropDatabase();
  for await (const { orders, saleId, items, ...sale } of replay(collections, { until })) {
    const itemCounts = items.size > 1 ? Object.fromEntries(items) : undefined;
    await into
      .collection('sales')
      .insertOne({ _id: saleId as never, ...sale, ...(itemCounts && { itemCounts }) });
    const documents = [...orders].map(([_id, order]) => ({ _id: _id as never, saleId, ...order }));
    if (documents.length > 0) await into.collection('orders').insertMany(documents);
    counts.sales += 1;
    counts.orders += documents.length;
  }
  return counts;
}

/** What has to be the same in both databases. Orders and logs of an earlier version lack the money. */
const compared: Record<string, (document: Record<string, unknown>) => unknown[]> = {
  sales({ stock, unitsOnSale, paused, itemCounts }) {
    const counts = Object.entries((itemCounts ?? {}) as Record<string, ItemCounts>);
    return [stock, unitsOnSale, paused, counts.map(([id, item]) => [id, item.stock, item.unitsOnSale])];
  },
  orders({ saleId, buyerId, personId, status, ...order }) {
    const lines = linesOf(order as unknown as OrderRecord).map(({ itemId, quantity }) => [itemId, quantity]);
    return [saleId, buyerId, personId, status, order.quantity, lines];
  },
};
const batchSize = 1_000;

/** Counts the sales and orders that differ between two databases. */
async function countDifferences(real: Connection, rebuilt: Connection): Promise<number> {
  let count = 0;
  for (const [name, contentOf] of Object.entries(compared)) {
    count += await countUnlike(name, contentOf, real, rebuilt);
    count += await countUnlike(name, contentOf, rebuilt, real);
  }
  return count;
}

async function countUnlike(
  name: string,
  contentOf: (document: Record<string, unknown>) => unknown[],
  from: Connection,
  to: Connection,
): Promise<number> {
  let count = 0;
  let batch: Record<string, unknown>[] = [];
  const flush = async () => {
    const ids = batch.map(({ _id }) => _id as never);
    const others = await to
      .collection(name)
      .find({ _id: { $in: ids } })
      .toArray();
    const otherById = new Map(others.map((other) => [String(other._id), other as Record<string, unknown>]));
    for (const document of batch) {
      const other = otherById.get(String(document._id));
      if (!other || !isDeepStrictEqual(contentOf(other), contentOf(document))) count += 1;
    }
    batch = [];
  };
  for await (const document of from.collection(name).find()) {
    // Purchases of an unknown sale are not in the log.
    if (document.reason === 'unknown_sale') continue;
    batch.push(document);
    if (batch.length === batchSize) await flush();
  }
  await flush();
  return count;
}

/**
 * `npm run replay`: rebuilds stock and orders from the event log in a second database, and compares; exit code 1 when they
 * differ. `--until TIME` rebuilds an earlier state without comparing.
 */
await runCommand(async () => {
  const { values } = parseArgs({ options: { until: { type: 'string' } } });
  const read = instant.optional().safeParse(values.until);
  if (!read.success) throw new Error(`--until: ${read.error.issues[0]?.message}, got ${values.until}`);
  const until = read.data;
  const { collections, close } = await openSystem();
  try {
    const real = collections.connection;
    const rebuilt = real.useDb(`${real.name}-replay`);
    const counts = await rebuild(collections, rebuilt, until);
    const differences = until ? null : await countDifferences(real, rebuilt);
    console.log(JSON.stringify({ database: rebuilt.name, ...counts, differences }));
    if (differences) process.exitCode = 1;
  } finally {
    await close();
  }
});
