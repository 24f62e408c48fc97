import { waitUntil } from '../../ops/local/processes/process.mjs';
import { openSocketClient } from '../../rehearsal/socket-client.ts';
import { mintTokens } from '../load/closed-loop.ts';
import type { OwnTestbed } from '../systems/testbed.ts';
import { holdOrders } from './authorised-payments.ts';

const expiriesPerSecond = 10_000 / 60;
const deadlineSeconds = 60;

/** Lets so many holds end at random times, 10,000 a minute. @returns the milliseconds from each deadline until a tab saw the unit back, sorted. */
export async function measureExpiry(testbed: OwnTestbed, count: number): Promise<number[]> {
  const { system, url, secret } = testbed;
  const { orders } = system.collections;
  const { saleId } = await holdOrders(testbed, { count });
  const [token = ''] = mintTokens(1, secret);
  const lags: number[] = [];
  let deadlines: number[] = [];
  const tab = await openSocketClient({ url, saleId, token }, (event) => {
    if (!event.startsWith('["stock"')) return;
    const { stock } = JSON.parse(event)[1];
    // Nothing was left before, and the holds that are due longest expire first.
    while (lags.length < stock) lags.push(Date.now() - (deadlines[lags.length] as number));
  });
  const begin = new Date(Date.now() + 2_000);
  const withinMs = (count / expiriesPerSecond) * 1_000;
  const deadline = { $add: [begin, { $round: { $multiply: [{ $rand: {} }, withinMs] } }] };
  await orders.updateMany({ saleId }, [{ $set: { holdExpiresAt: deadline } }]);
  const held = await orders.find({ saleId }).sort({ holdExpiresAt: 1 }).toArray();
  deadlines = held.map(({ holdExpiresAt }) => holdExpiresAt?.getTime() ?? Number.NaN);
  await waitUntil(async () => lags.length === count, {
    deadlineMs: withinMs + deadlineSeconds * 1_000,
    what: 'not every unit is back on sale',
  });
  tab.close();
  return lags.sort((a, b) => a - b);
}
