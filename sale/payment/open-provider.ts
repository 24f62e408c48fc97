import { createHmac } from 'node:crypto';
import type { Config } from '../../runtime/config.ts';
import { readSigningKeys } from '../../runtime/signing-keys.ts';
import type { Collections } from '../../store/collections.ts';
import { openExternal } from './external.ts';
import type { PaymentProvider } from './provider.ts';
import { openSimulated, type SimulatedOptions, type SimulatedProvider } from './simulated.ts';
import { openStripe } from './stripe.ts';

type Settings = Pick<
  Config,
  | 'NODE_ENV'
  | 'PAYMENT_PROVIDER'
  | 'JWT_SECRET'
  | 'STRIPE_SECRET_KEY'
  | 'STRIPE_WEBHOOK_SECRETS'
  | 'STRIPE_API_URL'
  | 'EXTERNAL_CHECKOUT_URL'
  | 'SIMULATED_LATENCY_MS'
>;

/** The provider in use; `simulated` is set when it is that one. */
export interface OpenedProvider {
  provider: PaymentProvider | null;
  simulated: SimulatedProvider | null;
}

/**
 * Opens the provider that PAYMENT_PROVIDER names; null when there is none.
 * @param deliver sends the simulated provider's webhooks.
 */
export async function openProvider(
  config: Settings,
  collections: Collections,
  deliver?: SimulatedOptions['deliver'],
): Promise<OpenedProvider> {
  const name = providerNameOf(config);
  switch (name) {
    case 'simulated': {
      const simulated = openSimulated({
        collections,
        webhookSecrets: readSigningKeys(config.JWT_SECRET).map(({ secret }) => derive(secret)),
        latencyMs: config.SIMULATED_LATENCY_MS,
        ...(deliver && { deliver }),
      });
      return { provider: simulated, simulated };
    }
    case 'stripe': {
      const options = {
        secretKey: config.STRIPE_SECRET_KEY,
        webhookSecrets: config.STRIPE_WEBHOOK_SECRETS,
        apiUrl: config.STRIPE_API_URL,
      };
      return { provider: await openStripe(options), simulated: null };
    }
    case 'external':
      return { provider: openExternal({ checkoutUrl: config.EXTERNAL_CHECKOUT_URL }), simulated: null };
    case 'none':
      return { provider: null, simulated: null };
  }
}

/** A shop in production has to name its provider, because orders that nobody has paid would be paid by the simulated one. */
function providerNameOf({ PAYMENT_PROVIDER: name, NODE_ENV }: Settings) {
  if (name !== 'auto') return name;
  return NODE_ENV === 'production' ? 'none' : 'simulated';
}

const derive = (secret: string) =>
  createHmac('sha256', secret).update('simulated webhooks').digest('base64url');
