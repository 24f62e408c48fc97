import { readFileSync } from 'node:fs';
import type { Redis } from 'ioredis';
import type { SaleRecord } from './collections.ts';
import type { Purchase, RejectionReason } from './contract.ts';
import { groupBySale } from './sale.ts';

/** How a queued purchase ended. */
export interface Ending {
  orderId: string;
  saleId: string;
  personId: string;
  quantity: number;
  /** Null when the buyer got the units. */
  reason: RejectionReason | null;
}

/** Orders of a sale that were cancelled together. */
export interface Returned {
  saleId: string;
  /** The sale's count after that. */
  unitsReturned: number;
  orders: { personId: string; quantity: number }[];
}

export const gatePrefix = 'gate:';
/** Admitted purchases as JSON, by order id. */
export const purchasePrefix = 'purchase:';
/** Sorted set of the purchases that are accepted and not yet settled: order id by time of arrival. */
export const queuedKey = 'queued';
/** After the end of the sale, so that who comes late is told so without a look into MongoDB. */
const gateKeptMs = 24 * 3_600_000;

/** How many purchases one script ends: it holds up everything else that Redis has to do. */
const endedAtOnce = 1_000;

declare module 'ioredis' {
  interface RedisCommander {
    syncGate(...keysAndArguments: (string | number)[]): Promise<null>;
    correctGate(...keysAndArguments: (string | number)[]): Promise<null>;
    endPurchases(...keysAndArguments: (string | number)[]): Promise<null>;
    returnUnits(...keysAndArguments: (string | number)[]): Promise<null>;
  }
}

export type Gate = ReturnType<typeof openGate>;

/** What Redis knows of sales: what each can still admit, and which purchases wait to be settled. */
export function openGate(redis: Redis) {
  redis.defineCommand('syncGate', { numberOfKeys: 1, lua: takeReturned + readLua('sync-gate.lua') });
  redis.defineCommand('correctGate', { numberOfKeys: 1, lua: readLua('correct-gate.lua') });
  redis.defineCommand('endPurchases', { numberOfKeys: 1, lua: giveBackUnits + readLua('end.lua') });
  redis.defineCommand('returnUnits', {
    numberOfKeys: 1,
    lua: takeReturned + giveBackUnits + readLua('return-units.lua'),
  });
  return {
    /** Tells the gate what MongoDB says; makes it when there is none. */
    async sync(sale: SaleRecord): Promise<void> {
      await redis.syncGate(
        gatePrefix + sale._id,
        sale.stock,
        sale.unitsOnSale,
        sale.limitPerBuyer,
        sale.opensAt.getTime(),
        sale.closesAt.getTime(),
        sale.paused ? 1 : 0,
        sale.revision,
        // Of a sale that ended long ago too: a gate that is gone again at once could answer nobody.
        Math.max(sale.closesAt.getTime(), Date.now()) + gateKeptMs,
        sale.unitsReturned ?? 0,
      );
    },

    /** Units that each gate would admit; without sales that have no gate, or purchases that wait to be settled. */
    async countLeftWhenQuiet(saleIds: string[]): Promise<Map<string, number>> {
      const gates = redis.pipeline();
      for (const saleId of saleIds) gates.hmget(gatePrefix + saleId, 'left', 'queued');
      const replies = (await gates.exec()) ?? [];
      return new Map(
        replies.flatMap(([error, reply], n) => {
          if (error) throw error;
          const [left, queued] = reply as (string | null)[];
          return left && Number(queued ?? 0) === 0 ? [[saleIds[n] as string, Number(left)] as const] : [];
        }),
      );
    },

    /** Sets what the gate would admit, if nothing happened since it was counted. */
    async correct(
      sale: Pick<SaleRecord, '_id' | 'stock' | 'unitsOnSale' | 'unitsReturned'>,
      { from }: { from: number },
    ): Promise<void> {
      const { stock, unitsOnSale, unitsReturned = 0 } = sale;
      await redis.correctGate(gatePrefix + sale._id, from, stock, unitsOnSale, unitsReturned);
    },

    /**
     * Takes purchases off the queued ones. One that got no unit gives back what the gate took for it: to its person's
     * limit always; to the sale unless it found the stock sold out, since then the gate had counted too much.
     */
    async end(endings: Ending[]): Promise<void> {
      for (let start = 0; start < endings.length; start += endedAtOnce) {
        const ofSales = groupBySale(endings.slice(start, start + endedAtOnce));
        await redis.endPurchases(queuedKey, gatePrefix, ...[...ofSales].flatMap(argumentsOf));
      }
    },

    /**
     * Puts the units of cancelled orders back on sale. Each order has to be told once, since its person's limit gets the
     * units back each time; the sale gets them once.
     */
    async returnUnits(returned: Returned[]): Promise<void> {
      const told = returned.flatMap(({ saleId, unitsReturned, orders }) => {
        const ofPeople = orders.flatMap(({ personId, quantity }) => [personId, quantity]);
        return [saleId, unitsReturned, orders.length, ...ofPeople];
      });
      if (told.length > 0) await redis.returnUnits(gatePrefix, ...told);
    },

    /** A purchase that was admitted not longer ago than it is remembered. */
    async findPurchase(orderId: string): Promise<Purchase | null> {
      const json = await redis.get(purchasePrefix + orderId);
      return json && JSON.parse(json);
    },

    /** The remembered purchases among these; the others are forgotten, and no longer queued. */
    async recall(orderIds: string[]): Promise<{ purchases: Purchase[]; forgotten: string[] }> {
      if (orderIds.length === 0) return { purchases: [], forgotten: [] };
      const found = await redis.mget(orderIds.map((orderId) => purchasePrefix + orderId));
      const forgotten = orderIds.filter((_, n) => !found[n]);
      if (forgotten.length > 0) await redis.zrem(queuedKey, forgotten);
      return { purchases: found.flatMap((json) => (json ? [JSON.parse(json)] : [])), forgotten };
    },

    /** The order ids of every purchase that is remembered. */
    async listRemembered(): Promise<string[]> {
      const ids = new Set<string>();
      for (let cursor = '0', first = true; first || cursor !== '0'; first = false) {
        const [next, keys] = await redis.scan(cursor, 'MATCH', `${purchasePrefix}*`, 'COUNT', 1_000);
        for (const key of keys) ids.add(key.slice(purchasePrefix.length));
        cursor = next;
      }
      return [...ids];
    },

    /** Up to `limit` purchases that were accepted before this time and are still queued, by time of arrival. */
    async listQueuedBefore(
      timeMs: number,
      limit: number,
    ): Promise<{ orderId: string; acceptedAtMs: number }[]> {
      const found = await redis.zrangebyscore(queuedKey, 0, `(${timeMs}`, 'WITHSCORES', 'LIMIT', 0, limit);
      return Array.from({ length: found.length / 2 }, (_, n) => ({
        orderId: found[2 * n] as string,
        acceptedAtMs: Number(found[2 * n + 1]),
      }));
    },

    /** The order ids of every purchase that is accepted and not yet settled. */
    async listQueued(): Promise<Set<string>> {
      return new Set(await redis.zrange(queuedKey, '0', '-1'));
    },

    /** Purchases that got a new job wait from now on. */
    async requeue(orderIds: string[], acceptedAtMs: number): Promise<void> {
      await redis.zadd(queuedKey, 'XX', ...orderIds.flatMap((orderId) => [acceptedAtMs, orderId]));
    },

    /** How many accepted purchases wait to be settled. */
    countQueued: () => redis.zcard(queuedKey),
  };
}

/** What end.lua is told of a sale's purchases. Nearly all of them got their units, which takes one word for each. */
function argumentsOf([saleId, endings]: [string, Ending[]]): (string | number)[] {
  const sold = endings.filter(({ reason }) => reason === null);
  const others = endings.filter(({ reason }) => reason !== null);
  const givenBack = others.flatMap(({ orderId, personId, quantity, reason }) => {
    return [orderId, personId, quantity, reason === 'sold_out' ? 0 : quantity];
  });
  return [saleId, sold.length, others.length, ...sold.map(({ orderId }) => orderId), ...givenBack];
}

const giveBackUnits = readLua('give-back.lua');
const takeReturned = readLua('take-returned.lua');

/** @param name of a script beside this file. */
export function readLua(name: string): string {
  return readFileSync(new URL(name, import.meta.url), 'utf8');
}
