import { LRUCache } from 'lru-cache';
import type { SaleRecord } from '../../store/collections.ts';
import type { Gate } from './gate.ts';

/** How long an answer is used without asking the gate again. */
const freshMs = 1_000;
const rememberedSales = 10_000;

/**
 * Whether a sale is only for buyers with a verified address. Asked before the admission of a buyer without one; whoever has
 * one has it in the access token. The gate knows it, so that a press of Buy reads MongoDB only where there is no gate yet.
 * @param onFault hears of a press that fails here, because Redis or MongoDB could not say.
 * @returns a function that answers at once when the sale was asked for within the last second.
 */
export function openVerifiedBuyers(
  gate: Pick<Gate, 'requiresVerifiedEmail' | 'sync'>,
  findSale: (saleId: string) => Promise<SaleRecord | null>,
  onFault: (saleId: string) => void,
): (saleId: string) => boolean | Promise<boolean> {
  const answers = new LRUCache<string, { required: boolean }>({
    max: rememberedSales,
    ttl: freshMs,
    async fetchMethod(saleId) {
      const known = await gate.requiresVerifiedEmail(saleId);
      if (known !== null) return { required: known };
      const sale = await findSale(saleId);
      if (sale) await gate.sync(sale);
      return { required: sale?.requiresVerifiedEmail === true };
    },
  });
  async function ask(saleId: string): Promise<boolean> {
    try {
      return (await answers.fetch(saleId))?.required === true;
    } catch (error) {
      onFault(saleId);
      throw error;
    }
  }
  return (saleId) => answers.get(saleId)?.required ?? ask(saleId);
}
