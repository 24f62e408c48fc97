import { setTimeout as delay } from 'node:timers/promises';
import type { Redis } from 'ioredis';
import type { Config } from '../runtime/config.ts';
import { openLease } from '../runtime/lease.ts';
import type { Log } from '../runtime/log.ts';
import type { DeadLetterShop } from '../sale/dead-letters.ts';
import { type Reconciled, reconcile } from '../sale/reconciliation.ts';

/**
 * Reconciles every `RECONCILE_INTERVAL_MS`, in one worker at a time; when that one dies, another goes on.
 * @param onPass is told what each pass put right.
 */
export function openReconciler(
  shop: DeadLetterShop,
  redis: Redis,
  config: Pick<Config, 'RECONCILE_INTERVAL_MS' | 'RECONCILE_AFTER_MS'>,
  log: Log,
  onPass: (done: Reconciled) => void = () => {},
): { close: () => Promise<void> } {
  const intervalMs = config.RECONCILE_INTERVAL_MS;
  const lease = openLease(redis, 'reconciler', 3 * intervalMs);
  const closing = new AbortController();

  async function pass(): Promise<void> {
    if (!(await lease.hold())) return;
    const done = await reconcile(shop, { staleAfterMs: config.RECONCILE_AFTER_MS });
    onPass(done);
    if (done.forgotten.length > 0) log.error(done, 'purchases that nobody remembers');
    else if (done.givenUp + done.ended + done.requeued + done.gates > 0) log.warn(done, 'reconciled');
  }

  async function run(): Promise<void> {
    while (!closing.signal.aborted) {
      await pass().catch((error) => log.warn({ error: error.message }, 'reconciling waits'));
      await delay(intervalMs, undefined, { signal: closing.signal }).catch(() => {});
    }
    await lease.release().catch(() => {});
  }

  const running = run();
  return {
    async close() {
      closing.abort();
      await running;
    },
  };
}
