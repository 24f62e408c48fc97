import type { Config } from '../../runtime/config.ts';
import type { LeaderTask } from '../../runtime/leader/leader.ts';
import { pause } from '../../runtime/pause.ts';
import type { Payments } from '../../sale/payment/payments.ts';

/** Payments whose steps are taken at once, and so the maximum of concurrent requests to the provider. */
const atOnce = 50;

/** Takes the steps that no server has taken: after a crash, a lost webhook, a failure of the provider, or the end of a hold. */
export function settlePayments(
  payments: Payments,
  { PAYMENTS_INTERVAL_MS }: Pick<Config, 'PAYMENTS_INTERVAL_MS'>,
): LeaderTask {
  return async (stopping) => {
    while (!stopping.aborted) {
      const settled = await payments.settleDue(atOnce);
      if (settled < atOnce) await pause(PAYMENTS_INTERVAL_MS, stopping);
    }
  };
}
