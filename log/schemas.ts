import { z } from 'zod';
import type { EventType, RejectionReason } from '../sale/contract.ts';

/**
 * What each type of event carries in its `data`, version 1: the schemas behind `dataschema`, and what a subscriber
 * checks before it believes an event. A field may be added to a version, never taken away or changed; that makes
 * version 2 beside it. `order.held` and `order.expired` wait for sales with a payment window: nothing emits them yet.
 */
const id = z.string().min(1);
const units = z.int().min(1);
const count = z.int().min(0);
const instant = z.iso.datetime();

const sale = z.object({ saleId: id });
const order = sale.extend({ orderId: id, buyerId: id, quantity: units });
const refused = order.extend({
  reason: z.enum(['sold_out', 'over_limit', 'unknown_sale', 'failed'] satisfies RejectionReason[]),
});
const window = { opensAt: instant, closesAt: instant };

export const eventSchemas = {
  'order.placed': order,
  'order.held': order.extend({ holdExpiresAt: instant }),
  'order.paid': order,
  'order.rejected': refused,
  'order.cancelled': order,
  'order.expired': order,
  'inventory.reserved': order,
  'inventory.released': order,
  'inventory.failed': refused,
  'sale.created': sale.extend({
    productId: id,
    price: z.object({ amount: count, currency: z.string().length(3) }),
    stock: count,
    limitPerBuyer: units,
    ...window,
  }),
  'sale.opened': sale.extend({ opensAt: instant }),
  'sale.paused': sale,
  'sale.resumed': sale,
  'sale.rescheduled': sale.extend(window),
  'sale.stock_added': sale.extend({ units }),
  'sale.ended': sale.extend({ closesAt: instant }),
} as const satisfies Record<EventType, z.ZodType<{ saleId: string }>>;

type Schemas = typeof eventSchemas;

export type EventData<Type extends EventType = EventType> = z.infer<Schemas[Type]>;

/** An event's `data`, believed. @throws Error that names the field which is not what its schema says. */
export function readData<Type extends EventType>(
  event: { type: string; data: unknown },
  type: Type,
): EventData<Type> {
  if (!Object.hasOwn(eventSchemas, type)) throw new Error(`There are no events ${type}`);
  const parsed = eventSchemas[type].safeParse(event.data);
  if (parsed.success) return parsed.data as EventData<Type>;
  const [issue] = parsed.error.issues;
  throw new Error(`Not the data of ${event.type}: ${issue?.path.join('.') || 'data'}: ${issue?.message}`);
}

/** JSON Schema 2020-12 of an event's `data`. */
export function jsonSchemaOf(type: EventType): object {
  return z.toJSONSchema(eventSchemas[type], { target: 'draft-2020-12' });
}
