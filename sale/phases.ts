import { trusted } from 'mongoose';
import { appendChanges } from '../log/events.ts';
import type { Change } from '../log/schemas.ts';
import { redisClock } from '../runtime/clock.ts';
import type { Collections, SalePhase, SaleRecord } from '../store/collections.ts';

type Window = Pick<SaleRecord, 'opensAt' | 'closesAt'>;

export function phaseOf({ opensAt, closesAt }: Window, now: Date): SalePhase {
  if (now >= closesAt) return 'ended';
  return now >= opensAt ? 'open' : 'scheduled';
}

/**
 * What the log says when a sale goes from one phase to another. An ended sale that was moved opens once more; one that
 * was open and now lies ahead says nothing, since `sale.rescheduled` did.
 */
export function changesOfPhase(from: SalePhase, to: SalePhase, { opensAt, closesAt }: Window): Change[] {
  const opened: Change = { type: 'sale.opened', opensAt: opensAt.toISOString() };
  const ended: Change = { type: 'sale.ended', closesAt: closesAt.toISOString() };
  if (from === to || to === 'scheduled') return [];
  if (to === 'open') return [opened];
  // Nobody looked while it was open.
  return from === 'scheduled' ? [opened, ended] : [ended];
}

const salesAtOnce = 100;

/**
 * Writes `sale.opened` and `sale.ended` into the log of sales whose time has come, each once: the sale keeps the phase
 * that the log knows, and both change in one transaction.
 * @returns how many sales went on to another phase; when it is `salesAtOnce`, there may be more.
 */
export async function turnPhases(collections: Collections, now = redisClock.now()): Promise<number> {
  const due = await collections.sales
    .find({
      $or: [
        { phase: trusted({ $in: ['scheduled', null] }), opensAt: trusted({ $lte: now }) },
        { phase: 'open', closesAt: trusted({ $lte: now }) },
        { phase: 'open', opensAt: trusted({ $gt: now }) },
        { phase: 'ended', closesAt: trusted({ $gt: now }) },
      ],
    })
    .limit(salesAtOnce)
    .lean<SaleRecord[]>();
  for (const sale of due) await turnPhase(collections, sale, now);
  return due.length;
}

async function turnPhase(collections: Collections, sale: SaleRecord, now: Date): Promise<void> {
  const { _id, opensAt, closesAt, phase = null } = sale;
  const next = phaseOf(sale, now);
  const changes = changesOfPhase(phase ?? 'scheduled', next, sale);
  await collections.sales.db.withSession((session) =>
    session.withTransaction(async () => {
      // Whoever moved its window meanwhile leaves it to the next pass.
      const turned = await collections.sales
        .findOneAndUpdate(
          { _id, phase, opensAt, closesAt },
          { $set: { phase: next }, $inc: { eventSeq: changes.length > 0 ? 1 : 0 } },
          { session, returnDocument: 'after' },
        )
        .lean<SaleRecord>();
      if (!turned || changes.length === 0) return;
      await appendChanges(collections, [{ saleId: _id, seq: turned.eventSeq, changes }], now, session);
    }),
  );
}
