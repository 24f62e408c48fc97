import type { LeaderTask } from '../../runtime/leader/leader.ts';
import type { Exclusive } from '../../runtime/mutex.ts';
import type { Log } from '../../runtime/observe/log.ts';
import { pause } from '../../runtime/pause.ts';
import type { Gate } from '../../sale/admission/gate.ts';
import type { SaleSnapshot } from '../../sale/contract.ts';
import type { BeaconSource } from '../../sale/places/beacon.ts';
import { findDueDraws, makeDraw } from '../../sale/places/drawing.ts';
import { findOffering, type Offers, offerUnits } from '../../sale/places/offers.ts';
import { readSaleSnapshot } from '../../sale/sale.ts';
import type { Settled } from '../../sale/settlement/transaction.ts';
import type { Collections } from '../../store/collections.ts';
import type { WorkerObserver } from '../observer.ts';

const lookEveryMs = 250;
/** Between two rounds of offers, in which purchases of other sales are settled. */
const betweenRoundsMs = 20;

interface Dependencies {
  collections: Collections;
  gate: Gate;
  /** Keeps this process from settling meanwhile, which would conflict on the sale. */
  exclusive: Exclusive;
  announceSettled: (settled: Settled) => void;
  announceSale: (snapshot: SaleSnapshot) => void;
  observer: Pick<WorkerObserver, 'settled'>;
  beacon: BeaconSource;
}

/** Makes the draws that are due, and offers units to the people who wait for them. */
export function openPlacesTask(dependencies: Dependencies, log: Log): LeaderTask {
  const { collections, exclusive } = dependencies;
  async function draw(saleId: string): Promise<void> {
    if (!(await makeDraw(collections, saleId, dependencies.beacon))) return;
    log.info({ saleId }, 'draw made');
    await announce(dependencies, saleId);
  }
  async function offer(saleId: string): Promise<boolean> {
    const offers = await offerUnits(collections, saleId, exclusive);
    if (!offers) return false;
    dependencies.observer.settled(offers.batch);
    dependencies.announceSettled(offers.batch.settled);
    try {
      await updateGate(dependencies, offers);
    } catch (error) {
      // The comparison of the gates corrects it.
      log.warn({ error: (error as Error).message, saleId }, 'units offered, but updating the gate failed');
    }
    return offers.purchases.length > 0;
  }
  /** A sale that fails is tried again in the next round, and keeps no other sale waiting. */
  async function trying<Value>(saleId: string, work: Promise<Value>): Promise<Value | null> {
    try {
      return await work;
    } catch (error) {
      log.warn({ error: (error as Error).message, saleId }, 'draw or offers of a sale failed, retrying');
      return null;
    }
  }
  return async (stopping) => {
    while (!stopping.aborted) {
      for (const saleId of await findDueDraws(collections)) await trying(saleId, draw(saleId));
      let hasMore = false;
      for (const saleId of await findOffering(collections))
        hasMore = (await trying(saleId, offer(saleId))) || hasMore;
      await pause(hasMore ? betweenRoundsMs : lookEveryMs, stopping);
    }
  };
}

/** The gate takes the units as those of purchases that were admitted and are settled now. */
async function updateGate(dependencies: Dependencies, { batch, purchases, released }: Offers): Promise<void> {
  const { gate } = dependencies;
  // They are all of one sale.
  const [first] = purchases;
  if (first) await gate.queueAgain(gate.shardOf(first.saleId), purchases);
  await gate.removeSettled(batch.settledPurchases);
  if (!released) return;
  await gate.sync(released);
  await announce(dependencies, released._id);
}

async function announce({ collections, announceSale }: Dependencies, saleId: string): Promise<void> {
  const snapshot = await readSaleSnapshot(collections, saleId);
  if (snapshot) announceSale(snapshot);
}
