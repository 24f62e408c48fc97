import type { SaleRecord } from '../../store/collections.ts';
import type { OrderStatus, Purchase, PurchaseLine, RejectionReason } from '../contract.ts';
import { type Item, itemsOf, linesOf } from '../items.ts';
import { reservedItemsOf } from '../places/reserve.ts';

/** What a decision has to know of a sale. */
export interface SaleLimits {
  isCalledOff?: boolean;
  /** Units left of all items. */
  stock: number;
  limitPerBuyer: number;
  /** For how long an order is held until it is paid; 0 when it is paid at once. */
  paymentWindowSeconds: number;
  /** By item id. */
  items: ReadonlyMap<string, Pick<Item, 'stock' | 'limitPerBuyer' | 'amount'>>;
  /** How many orders each code lets in, by its id; absent where no purchase has one. */
  codes?: ReadonlyMap<string, number>;
  /** Ids of the items of which a press of Buy gets nothing, because their units are offered to people with a place. */
  reserved?: readonly string[];
  /** Only of a sale with a waiting room: the people who have been called in, of those who buy. */
  called?: ReadonlySet<string>;
}

export const limitsOf = (sale: SaleRecord): SaleLimits => ({
  isCalledOff: Boolean(sale.calledOffAt),
  stock: sale.stock,
  limitPerBuyer: sale.limitPerBuyer,
  paymentWindowSeconds: sale.paymentWindowSeconds ?? 0,
  items: new Map(itemsOf(sale).map((item) => [item.id, item])),
  reserved: reservedItemsOf(sale),
});

/** The state that a batch of purchases is decided against, as the settling transaction read it. */
export interface SettlementSnapshot {
  /** By sale id. */
  sales: ReadonlyMap<string, SaleLimits>;
  /** Units that each person has bought already, by `allowanceKey`. */
  allowances: ReadonlyMap<string, number>;
  /** Ids of purchases that already have an order. */
  settledOrderIds: ReadonlySet<string>;
}

export interface Outcome {
  purchase: Purchase;
  status: Extract<OrderStatus, 'held' | 'paid' | 'rejected'>;
  reason: RejectionReason | null;
  /** Units left of its only line, when it is sold out. */
  left?: number;
}

export interface Decision {
  /** One for each purchase that has no order yet, in the order of arrival. */
  outcomes: Outcome[];
  /** Units sold by this batch, by sale id and item id. A sale that sold none is left out. */
  sold: Map<string, Map<string, number>>;
  /** Units taken by this batch, by `allowanceKey`. */
  taken: Map<string, number>;
}

/** The id of the person whose limit counts. */
export const personOf = ({ buyerId, personId }: Pick<Purchase, 'buyerId' | 'personId'>) =>
  personId ?? buyerId;

/** @param holder a person's id, or what `holderOf` gives for one item. */
export const allowanceKey = (saleId: string, holder: string) => `${saleId}:${holder}`;

/** Who holds units of an item that has a limit of its own, in allowances and in gates. */
export const holderOf = (personId: string, itemId: string) => `${personId}:${itemId}`;

/** Who holds the uses of a code, in allowances and in gates. No person's id contains a colon. */
export const codeHolderOf = (codeId: string) => `code:${codeId}`;

/** Units that count towards one limit; of a code it is one for each order. */
export interface Claim {
  /** The person, the person's share of an item, or the code. */
  holder: string;
  units: number;
  limit: number;
  /** Why the purchase is rejected when it would be over the limit. */
  refusal: Extract<RejectionReason, 'over_limit' | 'code_used'>;
}

/** The limits that a purchase or an order counts towards: the sale's, those of the items that have one, and its code's. */
export function claimsOf(
  purchase: Pick<Purchase, 'buyerId' | 'personId' | 'quantity' | 'code'> & {
    lines?: PurchaseLine[] | undefined;
  },
  {
    limitPerBuyer,
    items,
    codes,
  }: Pick<SaleLimits, 'limitPerBuyer' | 'codes'> & {
    items: ReadonlyMap<string, Pick<Item, 'limitPerBuyer'>>;
  },
): Claim[] {
  const holder = personOf(purchase);
  const claims: Claim[] = [{ holder, units: purchase.quantity, limit: limitPerBuyer, refusal: 'over_limit' }];
  for (const { itemId, quantity: units } of linesOf(purchase)) {
    const limit = items.get(itemId)?.limitPerBuyer ?? null;
    if (limit !== null)
      claims.push({ holder: holderOf(holder, itemId), units, limit, refusal: 'over_limit' });
  }
  const { code } = purchase;
  if (code !== undefined)
    claims.push({ holder: codeHolderOf(code), units: 1, limit: codes?.get(code) ?? 0, refusal: 'code_used' });
  return claims;
}

/**
 * Decides a batch, first come, first served; a purchase gets all units of all its lines or none. The function is pure, so
 * that the rules can be tested without a database, and a retried transaction decides again on its new reads.
 */
export function decide(purchases: readonly Purchase[], snapshot: SettlementSnapshot): Decision {
  const decision: Decision = { outcomes: [], sold: new Map(), taken: new Map() };
  const seen = new Set<string>();

  for (const purchase of purchases) {
    // A resend or a redelivered job can bring the same purchase twice; it has one outcome.
    if (snapshot.settledOrderIds.has(purchase.orderId) || seen.has(purchase.orderId)) continue;
    seen.add(purchase.orderId);

    const sale = snapshot.sales.get(purchase.saleId);
    const reason = sale ? refusalOf(purchase, sale, snapshot, decision) : 'unknown_sale';
    const left = reason === 'sold_out' && sale ? leftOf(purchase, sale, decision) : {};
    const status = reason || !sale ? 'rejected' : isFree(purchase, sale) ? 'paid' : 'held';
    decision.outcomes.push({ purchase, status, reason, ...left });
    if (reason || !sale) continue;
    const sold = decision.sold.get(purchase.saleId) ?? new Map<string, number>();
    decision.sold.set(purchase.saleId, sold);
    for (const { itemId, quantity } of linesOf(purchase)) add(sold, itemId, quantity);
    for (const { holder, units } of claimsOf(purchase, sale))
      add(decision.taken, allowanceKey(purchase.saleId, holder), units);
  }
  return decision;
}

/** Whether nothing is to be paid, here at least. */
const isFree = (purchase: Purchase, { paymentWindowSeconds, items }: SaleLimits) =>
  paymentWindowSeconds === 0 || linesOf(purchase).every(({ itemId }) => items.get(itemId)?.amount === 0);

function refusalOf(
  purchase: Purchase,
  sale: SaleLimits,
  { allowances }: SettlementSnapshot,
  { sold, taken }: Decision,
): RejectionReason | null {
  if (sale.isCalledOff) return 'called_off';
  const { saleId, quantity } = purchase;
  const lines = linesOf(purchase);
  const isClear = purchase.lines !== undefined || sale.items.size === 1;
  if (!isClear || !lines.every(({ itemId }) => sale.items.has(itemId))) return 'unknown_item';
  for (const { holder, units, limit, refusal } of claimsOf(purchase, sale)) {
    const key = allowanceKey(saleId, holder);
    if ((allowances.get(key) ?? 0) + (taken.get(key) ?? 0) + units > limit) return refusal;
  }
  if (lines.some(({ itemId }) => sale.reserved?.includes(itemId))) return 'sold_out';
  // A server of the version before admits without a pass, because it knows none.
  if (sale.called && !sale.called.has(personOf(purchase))) return 'sold_out';
  const soldOfSale = sold.get(saleId) ?? nothing;
  // A process of the version before changes only the sale's stock, so both have to suffice.
  const isThere =
    quantity <= sale.stock - sumOf(soldOfSale) &&
    lines.every(({ itemId, quantity }) => {
      return quantity <= (sale.items.get(itemId)?.stock ?? 0) - (soldOfSale.get(itemId) ?? 0);
    });
  return isThere ? null : 'sold_out';
}

/** What the buyer is told; of several lines, it would not say which one is missing. */
function leftOf(
  purchase: Purchase,
  { items, reserved }: SaleLimits,
  { sold }: Decision,
): Pick<Outcome, 'left'> {
  const [line, ...others] = linesOf(purchase);
  if (line && others.length === 0 && reserved?.includes(line.itemId)) return { left: 0 };
  const stock = line && items.get(line.itemId)?.stock;
  if (stock === undefined || others.length > 0) return {};
  return { left: Math.max(0, stock - (sold.get(purchase.saleId)?.get(line?.itemId ?? '') ?? 0)) };
}

const nothing: ReadonlyMap<string, number> = new Map();

/** The units of all items. */
export function sumOf(units: ReadonlyMap<string, number>): number {
  let sum = 0;
  for (const ofItem of units.values()) sum += ofItem;
  return sum;
}

function add(totals: Map<string, number>, key: string, units: number): void {
  totals.set(key, (totals.get(key) ?? 0) + units);
}
