import { LRUCache } from 'lru-cache';
import type { SaleRecord } from '../../store/collections.ts';
import type { Gate } from '../admission/gate.ts';
import type { NetworkLimit, ProofOfWork } from '../contract.ts';

/** What a sale demands of people before a purchase, a place or an entry. */
export interface Demands {
  requiresVerifiedEmail: boolean;
  /** In a waiting room the place has met the demands, and purchases need its pass. */
  isRoom: boolean;
  opensAt: Date;
  closesAt: Date;
  proofOfWork?: ProofOfWork;
  networkLimit?: NetworkLimit;
  captcha?: true;
}

const demandsOf = ({ mode, opensAt, closesAt, requiresVerifiedEmail, ...sale }: SaleRecord): Demands => ({
  requiresVerifiedEmail: requiresVerifiedEmail === true,
  isRoom: mode === 'room',
  opensAt,
  closesAt,
  ...againstBots(sale),
});

/** What may be demanded against bots; what is not is null, false or absent. */
export interface AgainstBots {
  proofOfWork?: ProofOfWork | null | undefined;
  networkLimit?: NetworkLimit | null | undefined;
  captcha?: boolean | undefined;
}

/** Only what is demanded. */
export function againstBots({
  proofOfWork,
  networkLimit,
  captcha,
}: AgainstBots): Pick<Demands, keyof AgainstBots> {
  return {
    ...(proofOfWork && { proofOfWork }),
    ...(networkLimit && { networkLimit }),
    ...(captcha && { captcha }),
  };
}

/** The demands against bots as a gate has them; empty when there are none. */
export function demandsFieldOf(sale: AgainstBots): string {
  const choices = againstBots(sale);
  return Object.keys(choices).length > 0 ? JSON.stringify(choices) : '';
}

/** How long an answer is used without asking the gate again. */
const freshMs = 1_000;
const rememberedSales = 10_000;

/**
 * What a sale demands, which is asked before every purchase. The gate knows it, so that a press of Buy reads MongoDB only where
 * there is no gate yet.
 * @param onFault hears of a press that fails here, because Redis or MongoDB could not say.
 * @returns a function that answers at once when the sale was asked for within the last second; null for an unknown sale.
 */
export function openDemands(
  gate: Pick<Gate, 'demands' | 'sync'>,
  findSale: (saleId: string) => Promise<SaleRecord | null>,
  onFault: (saleId: string) => void,
): (saleId: string) => Demands | null | Promise<Demands | null> {
  const answers = new LRUCache<string, { demands: Demands | null }>({
    max: rememberedSales,
    ttl: freshMs,
    ignoreFetchAbort: true,
    async fetchMethod(saleId) {
      const known = await gate.demands(saleId);
      if (known) return { demands: known };
      const sale = await findSale(saleId);
      if (sale) await gate.sync(sale);
      return { demands: sale && demandsOf(sale) };
    },
  });
  async function ask(saleId: string): Promise<Demands | null> {
    try {
      return (await answers.fetch(saleId))?.demands ?? null;
    } catch (error) {
      onFault(saleId);
      throw error;
    }
  }
  return (saleId) => {
    const known = answers.get(saleId);
    return known ? known.demands : ask(saleId);
  };
}
