import type { OrderStatus, Purchase, RejectionReason } from '../contract.ts';

/** The state that a batch of purchases is decided against, as the settling transaction read it. */
export interface SettlementSnapshot {
  /** By sale id. */
  sales: ReadonlyMap<string, { stock: number; limitPerBuyer: number }>;
  /** Units that each person has bought already, by `allowanceKey`. */
  allowances: ReadonlyMap<string, number>;
  /** Ids of purchases that already have an order. */
  settledOrderIds: ReadonlySet<string>;
}

export interface Outcome {
  purchase: Purchase;
  status: Extract<OrderStatus, 'paid' | 'rejected'>;
  reason: RejectionReason | null;
}

export interface Decision {
  /** One for each purchase that has no order yet, in the order of arrival. */
  outcomes: Outcome[];
  /** Units sold by this batch, by sale id. A sale that sold none is left out. */
  sold: Map<string, number>;
  /** Units taken by this batch, by `allowanceKey`. */
  taken: Map<string, number>;
}

/** The id of the person whose limit counts. */
export const personOf = ({ buyerId, personId }: Pick<Purchase, 'buyerId' | 'personId'>) =>
  personId ?? buyerId;

export const allowanceKey = (saleId: string, personId: string) => `${saleId}:${personId}`;

/**
 * Decides a batch, first come, first served; a purchase gets all of its units or none. The function is pure, so that the
 * rules can be tested without a database, and a retried transaction decides again on its new reads.
 */
export function decide(purchases: readonly Purchase[], snapshot: SettlementSnapshot): Decision {
  const decision: Decision = { outcomes: [], sold: new Map(), taken: new Map() };
  const seen = new Set<string>();

  for (const purchase of purchases) {
    // A resend or a redelivered job can bring the same purchase twice; it has one outcome.
    if (snapshot.settledOrderIds.has(purchase.orderId) || seen.has(purchase.orderId)) continue;
    seen.add(purchase.orderId);

    const reason = refusalOf(purchase, snapshot, decision);
    decision.outcomes.push({ purchase, status: reason ? 'rejected' : 'paid', reason });
    if (reason) continue;
    add(decision.sold, purchase.saleId, purchase.quantity);
    add(decision.taken, allowanceKey(purchase.saleId, personOf(purchase)), purchase.quantity);
  }
  return decision;
}

function refusalOf(
  purchase: Purchase,
  { sales, allowances }: SettlementSnapshot,
  { sold, taken }: Decision,
): RejectionReason | null {
  const { saleId, quantity } = purchase;
  const sale = sales.get(saleId);
  if (!sale) return 'unknown_sale';
  const key = allowanceKey(saleId, personOf(purchase));
  const has = (allowances.get(key) ?? 0) + (taken.get(key) ?? 0);
  if (has + quantity > sale.limitPerBuyer) return 'over_limit';
  const left = sale.stock - (sold.get(saleId) ?? 0);
  return quantity > left ? 'sold_out' : null;
}

function add(totals: Map<string, number>, key: string, units: number): void {
  totals.set(key, (totals.get(key) ?? 0) + units);
}
