import { keyedQueue } from '../../runtime/keyed-queue.ts';
import type { LeaderTask } from '../../runtime/leader/leader.ts';
import type { Exclusive } from '../../runtime/mutex.ts';
import type { Log } from '../../runtime/observe/log.ts';
import { pause } from '../../runtime/pause.ts';
import type { Gate } from '../../sale/admission/gate.ts';
import type { SaleSnapshot } from '../../sale/contract.ts';
import type { BeaconSource } from '../../sale/places/beacon.ts';
import { findDueDraws, makeDraw } from '../../sale/places/drawing.ts';
import { findOffering, offerUnits, takeFromGate } from '../../sale/places/offers.ts';
import { readSaleSnapshot } from '../../sale/sale.ts';
import type { Settled } from '../../sale/settlement/transaction.ts';
import type { Collections } from '../../store/collections.ts';
import type { WorkerObserver } from '../observer.ts';

const lookEveryMs = 250;
/** While no draw is near and no unit is kept for people with a place. */
const idleLookEveryMs = 1_000;
/** Between two rounds of offers, in which purchases of other sales are settled. */
const betweenRoundsMs = 20;
/** Draws that are made at the same time, so that a large one does not hold up the others. */
const drawsAtOnce = 4;
/** More sales than the queries find. */
const maxWaiting = 2_000;

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
  /** @returns whether there may be more to offer. */
  async function offer(saleId: string): Promise<boolean> {
    const offers = await offerUnits(collections, saleId, exclusive);
    if (!offers) return false;
    dependencies.observer.settled(offers.batch);
    dependencies.announceSettled(offers.batch.settled);
    try {
      await takeFromGate(dependencies.gate, offers);
      if (offers.released) await announce(dependencies, saleId);
    } catch (error) {
      // The comparison of the gates corrects it.
      log.warn({ error: (error as Error).message, saleId }, 'units offered, but updating the gate failed');
    }
    return offers.purchases.length > 0;
  }
  return async (stopping) => {
    /** A sale that fails is tried again in the next round. */
    const inTurn = (maxRunning: number, work: (saleId: string) => Promise<unknown>) =>
      keyedQueue({
        async work(saleId) {
          if (stopping.aborted) return;
          await work(saleId).catch((error: Error) => {
            log.warn({ error: error.message, saleId }, 'draw or offers of a sale failed, retrying');
          });
        },
        maxRunning,
        maxWaiting,
      });
    const draws = inTurn(drawsAtOnce, draw);
    // One at a time, because each keeps this process from settling meanwhile; each sale once, then the next.
    const rounds = inTurn(1, async (saleId) => {
      if (!(await offer(saleId))) return;
      await pause(betweenRoundsMs, stopping);
      rounds.run(saleId);
    });
    try {
      while (!stopping.aborted) {
        const { due, soon } = await findDueDraws(collections, idleLookEveryMs);
        for (const saleId of due) draws.run(saleId);
        const offering = await findOffering(collections);
        for (const saleId of offering) rounds.run(saleId);
        await pause(soon + offering.length > 0 ? lookEveryMs : idleLookEveryMs, stopping);
      }
    } finally {
      await Promise.all([draws.drained(), rounds.drained()]);
    }
  };
}

async function announce({ collections, announceSale }: Dependencies, saleId: string): Promise<void> {
  const snapshot = await readSaleSnapshot(collections, saleId);
  if (snapshot) announceSale(snapshot);
}
