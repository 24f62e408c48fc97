import fc from 'fast-check';
import type { Incident, SimulatedCard } from '../sale/payment/simulated.ts';

/**
 * A history is a list of steps, purchases and faults, that fast-check generates and shrinks. Buyers, sales and orders are
 * small numbers, so that steps often affect the same ones.
 */
export type Step =
  /**
   * A buyer presses Buy; `again` repeats an earlier press with its key, unchanged or of this sale and quantity. Who `isBack`
   * deleted an account and has another one: the orders are the account's, the limit is the person's. In a sale with several
   * items, `quantity` units of the item are asked for, and one of the item `beside` it. The first sale is for those with a code.
   */
  | {
      type: 'press';
      sale: number;
      buyer: number;
      isBack: boolean;
      quantity: number;
      item: number;
      beside: number | null;
      code: number;
      again: number | null;
      unchanged: boolean;
    }
  /** A worker takes some of the queued jobs, and may crash at one of the crash points. */
  | { type: 'work'; jobs: number; dies: WorkerDeath | null }
  /** The change reaches the gate, unless Redis is unavailable. The units go back on sale, or are kept back. */
  | { type: 'cancel'; order: number; restock: boolean; announced: boolean }
  /** A buyer pays a held order with one of the simulated provider's cards; the page asks afterwards, or is closed. */
  | { type: 'pay'; order: number; card: SimulatedCard; asks: boolean }
  /** The provider's webhook of this number comes: late, out of order, again, or never. */
  | { type: 'webhook'; number: number }
  /** The steps of payments that are due are taken. */
  | { type: 'settle_payments' }
  /** What happens at the provider without the shop to the latest payment of an order. Its webhook may come late, or never. */
  | { type: 'incident'; order: number; incident: Incident }
  /** Staff give a part of an order's money back, or all that is left; with the same key it is the same request. */
  | { type: 'refund'; order: number; amount: number | null; key: number | null; announced: boolean }
  /** The payment window of a held order has nearly passed, so that its payment is looked at. */
  | { type: 'near_deadline'; order: number }
  /** The payment window of a held order passes. */
  | { type: 'expire'; order: number; announced: boolean }
  /** Negative units are withdrawn, unless fewer are left. */
  | { type: 'change_stock'; sale: number; item: number; units: number; announced: boolean }
  /** A worker cancels the orders of so many passes, and dies after the last one's transaction, before it is announced. */
  | { type: 'call_off'; sale: number; announced: boolean; passes: number }
  /** A buyer joins the waiting list of the first sale, asks it for another number, or leaves it. */
  | { type: 'wait'; buyer: number; quantity: number; leaves: boolean; announced: boolean }
  /** A buyer enters the draw, changes the entry, or takes it back. */
  | { type: 'enter'; buyer: number; quantity: number; leaves: boolean }
  /** A buyer takes a place in the waiting room, or leaves. */
  | { type: 'gather'; buyer: number; leaves: boolean }
  /** The lots are drawn: of the draw, or of the waiting room at its opening, of which the gate may hear later. */
  | { type: 'draw'; sale: typeof room | typeof draw; announced: boolean }
  /** People are called into the room. */
  | { type: 'call' }
  /** A buyer comes in, if called. */
  | { type: 'come_in'; buyer: number }
  /** The time of a buyer to come, or to buy, has passed. */
  | { type: 'miss'; buyer: number }
  /** Units that are left are offered to those with a place; the leader may die before the gate hears of it. */
  | { type: 'offer'; sale: typeof withList | typeof draw; announced: boolean }
  | { type: 'pause'; sale: number; paused: boolean; announced: boolean }
  /** A job becomes a dead letter, as after five failed attempts; it may be republished later. */
  | { type: 'give_up'; republish: boolean }
  /** Bull loses its jobs, or Redis loses everything. */
  | { type: 'lose_jobs' }
  | { type: 'lose_redis' }
  /** Redis loses one purchase, or only its entry in the queued set. */
  | { type: 'forget'; order: number }
  | { type: 'lose_place'; order: number }
  /** A gate's counts are wrong. */
  | { type: 'drift'; sale: number; item: number; buyer: number; code: number; left: number; units: number }
  | { type: 'reconcile' };

/** Crash points: before, inside and after the transaction, and after the update of the gate but before Bull's. */
export type WorkerDeath = 'before' | 'inside' | 'committed' | 'announced';

/** The sales: one for those with a code and with a waiting list, one whose orders are held, a waiting room, and a draw. */
export const [withList, withHolds, room, draw] = [0, 1, 2, 3] as const;
/** By sale. */
export const itemsOfSales = [1, 2, 1, 1];
export const buyerCount = 4;
export const initialStock = 5;
export const limitPerBuyer = 3;
/** How many orders each code of the first sale lets in. */
export const usesOfCodes = [2, 5];
/** Of each item of a sale that has several. */
export const limitPerItem = 2;

const announced = fc.boolean();
const buyer = fc.nat({ max: buyerCount - 1 });
const leaves = fc.nat({ max: 3 }).map((n) => n === 0);
const sale = fc.nat({ max: itemsOfSales.length - 1 });
const item = fc.nat({ max: Math.max(...itemsOfSales) - 1 });
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 12,
    arbitrary: fc.record({
      type: fc.constant('press' as const),
      sale,
      buyer,
      isBack: fc.boolean(),
      quantity: fc.integer({ min: 1, max: limitPerBuyer + 1 }),
      item,
      beside: fc.option(item),
      code: fc.nat({ max: usesOfCodes.length - 1 }),
      again: fc.option(fc.nat({ max: 9 }), { freq: 4 }),
      unchanged: fc.boolean(),
    }),
  },
  {
    weight: 8,
    arbitrary: fc.record({
      type: fc.constant('work' as const),
      jobs: fc.integer({ min: 1, max: 4 }),
      dies: fc.option(fc.constantFrom<WorkerDeath>('before', 'inside', 'committed', 'announced'), {
        freq: 2,
      }),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      type: fc.constant('cancel' as const),
      order: fc.nat({ max: 9 }),
      restock: fc.boolean(),
      announced,
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ type: fc.constant('expire' as const), order: fc.nat({ max: 9 }), announced }),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      type: fc.constant('pay' as const),
      order: fc.nat({ max: 9 }),
      card: fc.constantFrom('ok', 'refused', 'direct', 'answers-lost', 'refund-refused', 'processing'),
      asks: fc.boolean(),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({ type: fc.constant('webhook' as const), number: fc.nat({ max: 9 }) }),
  },
  { weight: 2, arbitrary: fc.constant<Step>({ type: 'settle_payments' }) },
  {
    weight: 3,
    arbitrary: fc.record({
      type: fc.constant('incident' as const),
      order: fc.nat({ max: 9 }),
      incident: fc.oneof(
        fc.record({ type: fc.constant('processed' as const), isRefused: fc.boolean() }),
        fc.constant<Incident>({ type: 'authorisation_lost' }),
        fc.record({
          type: fc.constant('refunded_elsewhere' as const),
          amount: fc.integer({ min: 1, max: 300 }),
        }),
      ),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ type: fc.constant('near_deadline' as const), order: fc.nat({ max: 9 }) }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      type: fc.constant('refund' as const),
      order: fc.nat({ max: 9 }),
      amount: fc.option(fc.integer({ min: 1, max: 300 })),
      key: fc.option(fc.nat({ max: 1 })),
      announced,
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      type: fc.constant('change_stock' as const),
      sale,
      item,
      units: fc.integer({ min: -3, max: 4 }).filter((units) => units !== 0),
      announced,
    }),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      type: fc.constant('wait' as const),
      buyer,
      quantity: fc.integer({ min: 1, max: limitPerBuyer }),
      leaves,
      announced,
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      ...{ type: fc.constant('enter' as const), buyer, leaves },
      quantity: fc.integer({ min: 1, max: limitPerBuyer }),
    }),
  },
  { weight: 4, arbitrary: fc.record({ type: fc.constant('gather' as const), buyer, leaves }) },
  {
    weight: 3,
    arbitrary: fc.record({
      type: fc.constant('draw' as const),
      sale: fc.constantFrom(room, draw),
      announced,
    }),
  },
  { weight: 4, arbitrary: fc.constant<Step>({ type: 'call' }) },
  { weight: 4, arbitrary: fc.record({ type: fc.constant('come_in' as const), buyer }) },
  { weight: 1, arbitrary: fc.record({ type: fc.constant('miss' as const), buyer }) },
  {
    weight: 3,
    arbitrary: fc.record({
      ...{ type: fc.constant('offer' as const), announced },
      sale: fc.constantFrom(withList, draw),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ type: fc.constant('pause' as const), sale, paused: fc.boolean(), announced }),
  },
  { weight: 1, arbitrary: fc.record({ type: fc.constant('give_up' as const), republish: fc.boolean() }) },
  { weight: 1, arbitrary: fc.constant<Step>({ type: 'lose_jobs' }) },
  { weight: 1, arbitrary: fc.constant<Step>({ type: 'lose_redis' }) },
  { weight: 1, arbitrary: fc.record({ type: fc.constant('forget' as const), order: fc.nat({ max: 9 }) }) },
  {
    weight: 1,
    arbitrary: fc.record({ type: fc.constant('lose_place' as const), order: fc.nat({ max: 9 }) }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      type: fc.constant('drift' as const),
      sale,
      item,
      buyer,
      code: fc.nat({ max: usesOfCodes.length - 1 }),
      left: fc.integer({ min: -2, max: 2 }),
      units: fc.integer({ min: -2, max: 2 }),
    }),
  },
  { weight: 2, arbitrary: fc.constant<Step>({ type: 'reconcile' }) },
);

const steps = fc.array(step, { minLength: 1, maxLength: 40, size: 'max' });
const callOff = fc.record({
  type: fc.constant('call_off' as const),
  sale,
  announced,
  passes: fc.nat({ max: 2 }),
});

/** A call-off comes late, because nothing more is sold after it. */
export const history: fc.Arbitrary<Step[]> = fc
  .tuple(steps, fc.option(fc.tuple(callOff, fc.array(step, { maxLength: 8 })), { freq: 1 }))
  .map(([before, ended]) => (ended ? [...before, ended[0], ...ended[1]] : before));
