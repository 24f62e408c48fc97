import { z } from 'zod';
import type { BusEvent } from '../messages/bus.ts';
import {
  canceller,
  count,
  instant,
  language,
  networkLimit,
  proofOfWork,
  type RejectionReason,
  refundedAmount,
  rejectionReason,
  roomSite,
  saleMode,
  salePhase,
  units,
} from '../sale/contract.ts';

/**
 * Version 1 of the schema of each event type's `data`, published under `dataschema` and checked by subscribers. A field may
 * be added to a version; removing or changing one needs a version 2 beside it. `order.held` and `order.expired` happen in
 * sales with a payment window; an order that was held becomes paid with the payment that its event names.
 */
const id = z.string().min(1);

const sale = z.object({ saleId: id });
const line = z.object({ itemId: id, label: z.string(), quantity: units, amount: count });
/** The money is absent in events of an earlier version, and of an order whose sale or item does not exist. */
const order = sale.extend({
  orderId: id,
  buyerId: id,
  quantity: units.describe('Units of all lines'),
  lines: z.array(line).exactOptional(),
  amount: count.exactOptional().describe('The price of all lines, in minor units'),
  currency: z.string().exactOptional().describe('ISO 4217'),
  refundedAmount: refundedAmount.exactOptional(),
});
const refused = order.extend({
  reason: rejectionReason,
  left: count.exactOptional().describe('Units that were left, of an order with one line that was sold out'),
});
const createdItem = z.object({
  itemId: id,
  productId: id,
  label: z.string(),
  amount: count.describe("The price, in minor units of the sale's currency"),
  stock: count,
  limitPerBuyer: units.nullable(),
});
export type CreatedItem = z.infer<typeof createdItem>;

/** Who cancelled an order and why, where it is known. */
const cancellation = {
  cancelledBy: canceller.exactOptional(),
  cancelReason: z.string().exactOptional(),
  keptBack: z.literal(true).exactOptional().describe('Its units did not go back on sale'),
  unpaid: z.literal(true).exactOptional().describe('It was held, and no payment had paid it'),
};
const refund = {
  refundAmount: count.describe('What goes back with it, in minor units; `refundedAmount` counts it already'),
  isWhole: z
    .literal(true)
    .exactOptional()
    .describe('The order has ended with it, and its units did not go back on sale'),
  refundReason: z.string().exactOptional().describe('What the shop says about it'),
};
const window = { opensAt: instant, closesAt: instant };
/** A sale of which nothing is sold yet: as it was published, and as it was changed before its opening. */
const wholeSale = sale.extend({
  productId: id,
  price: z.object({ amount: count, currency: z.string().length(3) }),
  stock: count,
  limitPerBuyer: units,
  currency: z.string().exactOptional(),
  items: z.array(createdItem).exactOptional().describe('Absent in events of an earlier version'),
  cancelWindowSeconds: count.nullable().exactOptional(),
  phases: z.array(salePhase).exactOptional(),
  requiresVerifiedEmail: z.literal(true).exactOptional(),
  language: language.exactOptional(),
  mode: saleMode.exactOptional(),
  roomPerMinute: units.exactOptional(),
  site: roomSite.exactOptional(),
  drawAt: instant.exactOptional(),
  drawBeacon: z.literal(true).exactOptional(),
  waitingList: z.boolean().exactOptional(),
  proofOfWork: proofOfWork.exactOptional(),
  networkLimit: networkLimit.exactOptional(),
  captcha: z.literal(true).exactOptional(),
  paymentWindowSeconds: count.exactOptional(),
  ...window,
});

export const eventSchemas = {
  'order.placed': order,
  'order.held': order.extend({ holdExpiresAt: instant }),
  'order.paid': order.extend({ paymentId: id.exactOptional() }),
  'order.rejected': refused,
  'order.cancelled': order.extend(cancellation),
  'order.expired': order,
  'order.refunded': order.extend(refund),
  'order.refund_failed': order
    .extend({ refundAmount: count.describe('What could not be given back, in minor units') })
    .describe('The provider has refused it for good; `refundedAmount` does not count it any more'),
  'inventory.reserved': order,
  'inventory.released': order,
  'inventory.failed': refused,
  'sale.created': wholeSale,
  'sale.changed': wholeSale,
  'sale.opened': sale.extend({ opensAt: instant }),
  'sale.paused': sale,
  'sale.resumed': sale,
  'sale.rescheduled': sale.extend(window),
  'sale.stock_added': sale.extend({ units, itemId: id.exactOptional() }),
  'sale.stock_withdrawn': sale.extend({ units, itemId: id.exactOptional() }),
  'sale.limit_changed': sale.extend({ limitPerBuyer: units }),
  'sale.item_limit_changed': sale.extend({ itemId: id, limitPerBuyer: units.nullable() }),
  'sale.ended': sale.extend({ closesAt: instant }),
  'sale.called_off': sale,
  'sale.drawn': sale
    .extend({
      entries: count,
      digest: z.string().describe('SHA-256 of the list of pseudonyms, in hex'),
      seed: z.string().describe('In hex; with the list anyone can recompute the draw'),
      randomness: z.string().exactOptional().describe('Of the beacon, in hex, where the draw depends on one'),
    })
    .describe('The draw was made: every entry has its number'),
} as const satisfies Record<`${string}.${string}`, z.ZodType<{ saleId: string }>>;

type Schemas = typeof eventSchemas;
export type EventType = keyof Schemas;

export type EventData<Type extends EventType = EventType> = z.infer<Schemas[Type]>;

/** An event as subscribers get it. */
export interface CloudEvent extends BusEvent {
  type: EventType;
  /** The order's id, or the sale's. */
  subject: string;
  dataschema: string;
  data: EventData;
}

type OfSale = Extract<EventType, `sale.${string}`>;

/** What happened to an order, as the event log keeps it. */
export interface OrderChange extends Omit<EventData<'order.placed'>, 'saleId'> {
  /** Whose limit counts, when that is not the buyer's own id. It stays in the log: subscribers are not told. */
  personId?: string;
  /** Of the request that led to it. */
  traceparent?: string;
}

/** One thing that happened to a sale, as the event log keeps it: events.ts spells it out. */
export type Change =
  | { [Type in OfSale]: { type: Type } & Omit<EventData<Type>, 'saleId'> }[OfSale]
  | (OrderChange & { type: 'order.held'; holdExpiresAt: string })
  /** With a payment's id, the order was held before, and its units were taken then. */
  | (OrderChange & { type: 'order.paid'; paymentId?: string })
  | (OrderChange & { type: 'order.expired' })
  | (OrderChange & { type: 'order.cancelled' } & Pick<
        EventData<'order.cancelled'>,
        keyof typeof cancellation
      >)
  | (OrderChange & { type: 'order.refunded' } & Pick<EventData<'order.refunded'>, keyof typeof refund>)
  | (OrderChange & { type: 'order.refund_failed'; refundAmount: number })
  | (OrderChange & { type: 'order.rejected'; reason: RejectionReason; left?: number });

/** What the log, and so a replay, knows of an order itself: whose it is, its lines and its money. */
export type LoggedOrder = Pick<
  OrderChange,
  'buyerId' | 'personId' | 'quantity' | 'lines' | 'amount' | 'currency' | 'refundedAmount'
>;

/** Picks these out of an order or of a change in the log; what is absent there stays absent. */
export function loggedOrderOf({
  buyerId,
  personId,
  quantity,
  lines,
  amount,
  currency,
  refundedAmount,
}: LoggedOrder): LoggedOrder {
  return {
    buyerId,
    ...(personId && { personId }),
    quantity,
    ...(lines && { lines }),
    ...(amount !== undefined && { amount }),
    ...(currency !== undefined && { currency }),
    ...(refundedAmount !== undefined && { refundedAmount }),
  };
}

type OrderEntry = Extract<Change, { orderId: string }>;

/** Whether an order begins with this entry of the log: it was held, paid without being held, or rejected. */
export function beginsOrder(change: Change): change is OrderEntry {
  if (change.type === 'order.paid') return change.paymentId === undefined;
  return change.type === 'order.held' || change.type === 'order.rejected';
}

/** An event's validated `data`. @throws Error that names the first invalid field. */
export function readData<Type extends EventType>(
  event: { type: string; data: unknown },
  type: Type,
): EventData<Type> {
  if (!Object.hasOwn(eventSchemas, type)) throw new Error(`Unknown event type ${type}`);
  const parsed = eventSchemas[type].safeParse(event.data);
  if (parsed.success) return parsed.data as EventData<Type>;
  const [issue] = parsed.error.issues;
  throw new Error(`Invalid data of ${event.type}: ${issue?.path.join('.') || 'data'}: ${issue?.message}`);
}

/** JSON Schema 2020-12 of an event's `data`. */
export function jsonSchemaOf(type: EventType): object {
  return z.toJSONSchema(eventSchemas[type], { target: 'draft-2020-12' });
}
