import type { System } from '../../commands/system.ts';
import { audit } from '../../insight/audit/audit.ts';
import { openProvider } from '../../sale/payment/open-provider.ts';
import type { Crowd, SeenPurchase, Stage } from './buyers.ts';
import type { AddedUnits } from './merchant.ts';

/** A step of a sale's stock, as linearizable/main.go reads it. */
interface CounterStep {
  client: number;
  kind: 'take' | 'give' | 'short';
  units: number;
  call: number;
  return: number;
}

export interface CounterHistory {
  id: string;
  stock: number;
  /** All units that were ever put on sale: more can never be left. */
  most: number;
  operations: CounterStep[];
}

/** A time in which a fault was in effect, in ms since the run began. */
export interface FaultWindow {
  from: number;
  to: number;
}

/** How long units that came back may take until everybody can buy them, and how long a fault has consequences. */
const repairMs = 15_000;
const never = Number.MAX_SAFE_INTEGER;

/** Statuses that may follow one that a buyer was told. */
const mayBecome: Record<string, string[]> = {
  queued: ['queued', 'held', 'paid', 'rejected', 'cancelled', 'expired', 'refunded'],
  held: ['held', 'paid', 'cancelled', 'expired', 'refunded'],
  paid: ['paid', 'cancelled', 'refunded'],
  rejected: ['rejected'],
  expired: ['expired'],
  cancelled: ['cancelled'],
  refunded: ['refunded'],
};

/** @returns a line for each culprit, at most twenty. */
export function linesOf(kind: string, culprits: string[]): string[] {
  const lines = culprits.slice(0, 20).map((culprit) => `${kind}: ${culprit}`);
  return culprits.length > 20 ? [...lines, `${kind}: and ${culprits.length - 20} more`] : lines;
}

/**
 * Compares what the crowd was told with what MongoDB has, with sums and sets of its own, and audits the shop.
 * @returns a line for each thing that is wrong, at most twenty of a kind.
 */
export async function findFaults(
  system: System,
  crowd: Crowd,
  stages: Stage[],
  added: AddedUnits[],
): Promise<string[]> {
  const { collections } = system;
  const faults: string[] = [];
  const blame = (kind: string, culprits: string[]) => faults.push(...linesOf(kind, culprits));

  const orders = new Map((await collections.orders.find().toArray()).map((order) => [order._id, order]));
  const accepted = crowd.purchases.filter(({ orderId, refused }) => orderId !== null && refused === null);
  blame(
    'accepted and without an order',
    accepted.flatMap(({ orderId }) => (orders.has(orderId ?? '') ? [] : [String(orderId)])),
  );
  blame(
    'accepted and refused later',
    crowd.purchases.flatMap(({ orderId, refusedAfterAccepted }) =>
      refusedAfterAccepted ? [String(orderId)] : [],
    ),
  );
  blame(
    'told otherwise',
    accepted.flatMap(({ orderId, statuses }) => {
      const story = [...statuses, orders.get(orderId ?? '')?.status ?? 'missing'];
      const isTrue = story.every((status, n) => n === 0 || mayBecome[story[n - 1] ?? '']?.includes(status));
      return isTrue ? [] : [`${orderId}: ${story.join(' → ')}`];
    }),
  );
  blame(
    'cancelled for its buyer only',
    accepted.flatMap(({ orderId, cancelledAt }) =>
      cancelledAt !== null && orders.get(orderId ?? '')?.status !== 'cancelled' ? [String(orderId)] : [],
    ),
  );

  const seen = new Set(crowd.purchases.map(({ orderId }) => orderId));
  const places = await collections.places.find().toArray();
  const placed = new Set(places.map(({ saleId, buyerId }) => `${saleId}:${buyerId}`));
  blame(
    'an order that nobody asked for',
    [...orders.values()].flatMap(({ _id, saleId, buyerId }) =>
      seen.has(_id) || placed.has(`${saleId}:${buyerId}`) ? [] : [_id],
    ),
  );
  blame(
    'a place that is lost',
    crowd.places.map(({ saleId, buyerId }) => `${saleId}:${buyerId}`).filter((place) => !placed.has(place)),
  );

  for (const { saleId, stock } of stages) {
    const sale = await collections.sales.findOne({ _id: saleId });
    const live = [...orders.values()].filter(
      (order) => order.saleId === saleId && ['held', 'paid'].includes(order.status),
    );
    const sold = live.reduce((sum, { quantity }) => sum + quantity, 0);
    if (!sale || sale.stock < 0 || sold + sale.stock !== sale.unitsOnSale)
      blame('units', [`sale ${saleId}: ${sold} sold + ${sale?.stock} left ≠ ${sale?.unitsOnSale} on sale`]);
    const put = stock + unitsIn(added, saleId);
    if (sale?.unitsOnSale !== put)
      blame('units put on sale', [`sale ${saleId}: ${sale?.unitsOnSale}, the shop put ${put}`]);
    const unitsOf = new Map<string, number>();
    for (const { buyerId, quantity } of live) unitsOf.set(buyerId, (unitsOf.get(buyerId) ?? 0) + quantity);
    const limit = sale?.limitPerBuyer ?? 0;
    const greedy = [...unitsOf].filter(([, units]) => units > limit);
    blame(
      'over the limit',
      greedy.map(([buyerId, units]) => `${buyerId} has ${units} of sale ${saleId}`),
    );
  }

  const orderOfPayment = new Map(
    (await collections.payments.find().toArray()).map(({ _id, orderId }) => [_id, orderId]),
  );
  const kept = new Map<string, number>();
  for (const { paymentId, capturedAmount, refunds, stage } of await collections.simulatedPayments
    .find()
    .toArray()) {
    const orderId = orderOfPayment.get(paymentId) ?? '';
    const refunded = refunds.reduce((sum, { amount }) => sum + amount, 0);
    kept.set(orderId, (kept.get(orderId) ?? 0) + capturedAmount - refunded);
    if (stage === 'authorised') blame('money', [`${paymentId} of order ${orderId} is authorised still`]);
  }
  blame(
    'money',
    [...orders.values()].flatMap(({ _id, status, amount = 0, paymentId, refundedAmount = 0 }) => {
      const due = status === 'paid' && paymentId ? amount - refundedAmount : 0;
      const has = kept.get(_id) ?? 0;
      return has === due
        ? []
        : [`order ${_id} is ${status}, and the provider keeps ${has} instead of ${due}`];
    }),
  );

  const { provider } = await openProvider(system.config, collections);
  const report = await audit(collections, system.gate, system.queue, { provider });
  if (!report.ok) blame('audit', [JSON.stringify(report)]);
  return faults;
}

const unitsIn = (added: AddedUnits[], ofSale: string) =>
  added.reduce((sum, { saleId, units }) => sum + (saleId === ofSale ? units : 0), 0);

/**
 * The steps of each sale's stock. A sale with a waiting list has none, since its units go to people who did not press; in a
 * room somebody may be told that it is sold out while units are kept for others who are inside.
 * @param windows when faults were in effect: what was refused as sold out then proves nothing.
 */
export async function countersOf(
  { collections }: System,
  crowd: Crowd,
  stages: Stage[],
  added: AddedUnits[],
  windows: FaultWindow[],
  beganAt: number,
): Promise<CounterHistory[]> {
  const histories: CounterHistory[] = [];
  for (const { saleId, kind, stock } of stages.filter((stage) => stage.kind !== 'waiting-list')) {
    const purchases = crowd.purchases.filter((purchase) => purchase.saleId === saleId);
    const orders = new Map(
      (await collections.orders.find({ saleId }).toArray()).map((order) => [order._id, order]),
    );
    const operations: CounterStep[] = [];
    const unsure = windows.map(({ from, to }) => ({ from, to: to + repairMs }));
    for (const { units, call, return: end } of added.filter((step) => step.saleId === saleId)) {
      const available = end + repairMs;
      operations.push({ client: operations.length, kind: 'give', units, call, return: available });
      unsure.push({ from: call, to: available });
    }
    for (const purchase of purchases) {
      const order = orders.get(purchase.orderId ?? '');
      if (!order || order.status === 'rejected') continue;
      const step = { client: operations.length, units: order.quantity };
      const known = purchase.knownAt ?? never;
      operations.push({ ...step, kind: 'take', call: purchase.pressedAt, return: known });
      const givenAt = gaveBackAt(purchase, order.holdExpiresAt?.getTime() ?? 0, order.status, beganAt);
      if (givenAt === null) continue;
      operations.push({ ...step, kind: 'give', call: givenAt.call, return: givenAt.return });
      unsure.push({ from: givenAt.call, to: givenAt.return });
    }
    for (const { refused, quantity, pressedAt, knownAt } of purchases) {
      if (refused !== 'sold_out' || knownAt === null || kind === 'room') continue;
      if (unsure.some(({ from, to }) => from <= knownAt && pressedAt <= to)) continue;
      operations.push({
        client: operations.length,
        kind: 'short',
        units: quantity,
        call: pressedAt,
        return: knownAt,
      });
    }
    histories.push({ id: saleId, stock, most: stock + unitsIn(added, saleId), operations });
  }
  return histories;
}

/** The earliest and the latest time at which the units of an order were back on sale; null when it kept them. */
function gaveBackAt(
  { cancelAskedAt, cancelledAt }: SeenPurchase,
  deadline: number,
  status: string,
  beganAt: number,
): { call: number; return: number } | null {
  if (status === 'expired') return { call: deadline - beganAt, return: deadline - beganAt + repairMs };
  if (status !== 'cancelled' || cancelAskedAt === null) return null;
  return { call: cancelAskedAt, return: cancelledAt === null ? never : cancelledAt + repairMs };
}
