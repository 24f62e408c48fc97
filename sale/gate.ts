import { readFileSync } from 'node:fs';
import type { Redis } from 'ioredis';
import type { SaleRecord } from './collections.ts';
import type { Purchase } from './contract.ts';

/** Units to give back to a gate. */
export interface Release {
  saleId: string;
  buyerId: string;
  /** Off what counts towards the buyer's limit. */
  buyerUnits: number;
  /** Back on sale. */
  gateUnits: number;
}

export const gatePrefix = 'gate:';
/** Admitted purchases as JSON, by order id. */
export const purchasePrefix = 'purchase:';
/** Sorted set of the purchases that are accepted and not yet settled: order id by time of arrival. */
export const queuedKey = 'queued';
const gateKeptSeconds = 24 * 3_600;

declare module 'ioredis' {
  interface RedisCommander {
    syncGate(...keysAndArguments: (string | number)[]): Promise<null>;
    markSettled(...keysAndArguments: (string | number)[]): Promise<null>;
  }
}

export type Gate = ReturnType<typeof openGate>;

/** What Redis knows of sales: what each can still admit, and which purchases wait to be settled. */
export function openGate(redis: Redis) {
  redis.defineCommand('syncGate', { numberOfKeys: 1, lua: readLua('gate.lua') });
  redis.defineCommand('markSettled', { numberOfKeys: 1, lua: readLua('settled.lua') });
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
        gateKeptSeconds,
      );
    },

    /** Takes settled purchases off the queued ones and gives back units that nobody got. */
    async markSettled(orderIds: string[], releases: Release[]): Promise<void> {
      const units = releases.flatMap((back) => [back.saleId, back.buyerId, back.buyerUnits, back.gateUnits]);
      await redis.markSettled(queuedKey, gatePrefix, orderIds.length, ...orderIds, ...units);
    },

    /** A purchase that was admitted not longer ago than it is remembered. */
    async findPurchase(orderId: string): Promise<Purchase | null> {
      const json = await redis.get(purchasePrefix + orderId);
      return json && JSON.parse(json);
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

    /** How many accepted purchases wait to be settled. */
    countQueued: () => redis.zcard(queuedKey),
  };
}

/** @param name of a script beside this file. */
export function readLua(name: string): string {
  return readFileSync(new URL(name, import.meta.url), 'utf8');
}
