import { appendChanges } from '../log/events.ts';
import type { Change } from '../log/schemas.ts';
import { redisClock } from '../runtime/clock.ts';
import { transact } from '../runtime/databases/transact.ts';
import type { Exclusive } from '../runtime/mutex.ts';
import type { Collections, SaleRecord, SaleStage } from '../store/collections.ts';

type Window = Pick<SaleRecord, 'opensAt' | 'closesAt'>;

export function stageOf({ opensAt, closesAt }: Window, now: Date): SaleStage {
  if (now >= closesAt) return 'ended';
  return now >= opensAt ? 'open' : 'scheduled';
}

/**
 * The log entries for a sale's change of stage. An ended sale that was rescheduled opens again; a sale that goes back to
 * `scheduled` adds none, because `sale.rescheduled` is in the log already.
 */
export function changesOfStage(from: SaleStage, to: SaleStage, { opensAt, closesAt }: Window): Change[] {
  const opened: Change = { type: 'sale.opened', opensAt: opensAt.toISOString() };
  const ended: Change = { type: 'sale.ended', closesAt: closesAt.toISOString() };
  if (from === to || to === 'scheduled') return [];
  if (to === 'open') return [opened];
  // No pass ran while the sale was open, so both entries are missing.
  return from === 'scheduled' ? [opened, ended] : [ended];
}

const salesAtOnce = 100;
/** How long one sale is retried against other writers; the next pass tries again. */
const patienceMs = 5_000;

/**
 * Appends `sale.opened` and `sale.ended` to the log of each sale that has opened or ended. Each is written exactly once,
 * because the sale stores its last logged stage (in `phase`) and both change in one transaction.
 * @param exclusive keeps this process from settling meanwhile, because a sale that opens is the one that it settles.
 * @returns the number of sales whose stage changed; when it equals `salesAtOnce`, there may be more.
 */
export async function logStageChanges(
  collections: Collections,
  exclusive: Exclusive,
  now = redisClock.now(),
): Promise<number> {
  const due = await collections.sales
    .find({
      $or: [
        { phase: { $in: ['scheduled', null] }, opensAt: { $lte: now } },
        { phase: 'open', closesAt: { $lte: now } },
        { phase: 'open', opensAt: { $gt: now } },
        { phase: 'ended', closesAt: { $gt: now } },
      ],
    })
    .limit(salesAtOnce)
    .toArray();
  for (const sale of due) await exclusive(() => logStageChange(collections, sale, now));
  return due.length;
}

async function logStageChange(collections: Collections, sale: SaleRecord, now: Date): Promise<void> {
  const { _id, opensAt, closesAt, phase = null } = sale;
  const next = stageOf(sale, now);
  const changes = changesOfStage(phase ?? 'scheduled', next, sale);
  await transact(
    collections.connection,
    async (session) => {
      // The filter skips a sale that was rescheduled after the read; the next pass handles it.
      const updated = await collections.sales.findOneAndUpdate(
        { _id, phase, opensAt, closesAt },
        { $set: { phase: next }, $inc: { eventSeq: changes.length > 0 ? 1 : 0 } },
        { session, returnDocument: 'after' },
      );
      if (!updated || changes.length === 0) return;
      await appendChanges(collections, [{ saleId: _id, seq: updated.eventSeq, changes }], now, session);
    },
    { patienceMs },
  );
}
