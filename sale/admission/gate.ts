import { readFileSync } from 'node:fs';
import type { Redis } from 'ioredis';
import { redisClock } from '../../runtime/clock.ts';
import { mastersOf } from '../../runtime/databases/connections.ts';
import { singleFlight } from '../../runtime/single-flight.ts';
import type { SaleRecord } from '../../store/collections.ts';
import { phasesFieldOf } from '../access/access.ts';
import { type Demands, demandsFieldOf } from '../bots/demands.ts';
import type { Purchase, PurchaseLine, RejectionReason } from '../contract.ts';
import { hasSeveralItems, type Item, itemsOf } from '../items.ts';
import { reservedFieldOf } from '../places/reserve.ts';
import { groupBySale } from '../sale.ts';
import { personOf } from '../settlement/decide.ts';
import {
  askShards,
  groupByShard,
  keysOf,
  parseKey,
  type Shard,
  shardOf,
  shardsIn,
  unsharded,
} from '../shard.ts';

/** A queued purchase that has its order now, and the order's outcome. */
export interface SettledPurchase {
  orderId: string;
  saleId: string;
  personId: string;
  quantity: number;
  /** Only of a sale with several items. */
  lines?: PurchaseLine[];
  /** Only where it redeemed one. */
  code?: string;
  /**
   * Null when the buyer got the units; `admitted_again` when the existing order belongs to an earlier admission of this
   * purchase, which Redis had lost.
   */
  reason: RejectionReason | 'admitted_again' | null;
}

/**
 * The units that the gate gives back for a settled purchase. When the stock was sold out, the gate's own count was too
 * high, so the sale gets none back, of no line: the comparison of gates returns those of the other lines.
 */
export function unitsGivenBack({ quantity, reason }: Pick<SettledPurchase, 'quantity' | 'reason'>) {
  if (reason === null) return { ofSale: 0, ofBuyer: 0 };
  return { ofSale: reason === 'sold_out' ? 0 : quantity, ofBuyer: quantity };
}

/** A gate's fields in Redis. */
export interface GateFields {
  left: number;
  /** Purchases not yet settled. */
  queued: number;
  /** Units ever put on sale: those kept back stay in it, because they were taken from `left` when they were sold. */
  units: number;
  /** Units returned by cancellations, as far as the gate was updated. */
  returned: number;
  limit: number;
  opensAtMs: number;
  closesAtMs: number;
  isPaused: boolean;
  requiresVerifiedEmail: boolean;
  /** Which items are reserved for people with a place: see places/reserve.ts. */
  reserved: string;
  /** Who may buy from when on: see access/access.ts. */
  phases: string;
  /** What is demanded against bots, as JSON; empty for nothing. */
  demands: string;
  revision: string;
  /** How often the gate was corrected; empty when its buyers were not compared yet. */
  checked: string;
  /** Units by holder, which is a person, a person's share of an item, or a code, for the requested holders. */
  buyers: Map<string, number>;
  /** By item id, for the requested items that the gate knows. */
  items: Map<string, GateItem>;
}

/** What a gate holds of one of several items. */
export interface GateItem {
  left: number;
  units: number;
  returned: number;
  /** Null when the item has no limit of its own. */
  limit: number | null;
}

/** By how much a gate's counts are too low; negative where they are too high. */
export interface GateDrift {
  left: number;
  queued: number;
  /** Units by holder; only of holders whose units differ. */
  buyers: Map<string, number>;
  /** Units left by item; only of items whose units differ. */
  items: Map<string, number>;
}

/** What the gate's `units` should be. */
export const unitsEverOnSale = ({
  unitsOnSale,
  unitsKept = 0,
}: Pick<SaleRecord, 'unitsOnSale' | 'unitsKept'>) => unitsOnSale + unitsKept;

/** Orders of a sale that were cancelled together. */
export interface Returned {
  saleId: string;
  /** The sale's total of returned units after these cancellations. */
  unitsReturned: number;
  /** The same total of each item that had units returned; none for a sale with one item. */
  items: { id: string; unitsReturned: number }[];
  orders: {
    personId: string;
    quantity: number;
    lines?: PurchaseLine[] | undefined;
    code?: string | undefined;
  }[];
}

/** A gate stays this long after the sale's end, so that late requests are refused without reading MongoDB. */
const gateKeptMs = 24 * 3_600_000;

/** Purchases per call of remove-settled.lua: a script blocks every other command of Redis. */
const removedAtOnce = 1_000;

const buyerPrefix = 'b:';
/** Number of buyers in one page of a gate. */
export const buyersAtOnce = 500;

const markGateLua = `
if redis.call('EXISTS', KEYS[1]) == 1 then redis.call('HSETNX', KEYS[1], 'checked', 0) end`;

/**
 * A buyer's queued purchases are searched among this many of the newest ones, of each shard as many as it has of all; they are
 * read in pages.
 */
const searchedMax = 20_000;
const searchedAtOnce = 1_000;

declare module 'ioredis' {
  interface RedisCommander {
    syncGate(...keysAndArguments: (string | number)[]): Promise<null>;
    correctGate(...keysAndArguments: (string | number)[]): Promise<number>;
    markGate(key: string): Promise<null>;
    queueAgain(...keysAndArguments: (string | number)[]): Promise<number[]>;
    removeSettled(...keysAndArguments: (string | number)[]): Promise<null>;
    returnUnits(...keysAndArguments: (string | number)[]): Promise<null>;
  }
}

/** A count that is older than this is not used any more. */
const countedForMs = 5_000;

/** How long the figures of a cluster wait for one of its shards, which is less than a reader of them waits. */
export const figuresPatienceMs = 500;

export type Gate = ReturnType<typeof openGate>;

/**
 * Access to what Redis holds of sales: the gate of each, and the purchases that are not yet settled. A script gets all keys that
 * are known beforehand, so that Redis Cluster refuses it as a whole while it moves one of them.
 * @param shards over how many shards the sales are spread.
 */
export function openGate(redis: Redis, shards: number) {
  const allShards = shardsIn(redis, shards);
  let isUnshardedKept = false;
  const shardOfSale = (saleId: string) =>
    isUnshardedKept && !redis.isCluster ? unsharded : shardOf(saleId, shards);
  const gateKeyOf = (saleId: string) => keysOf(shardOfSale(saleId)).gates + saleId;
  /** The number of queued purchases in each shard, when they were last counted. */
  const lastCounts = new Map<Shard, { count: number; countedAt: number }>();

  redis.defineCommand('syncGate', { numberOfKeys: 1, lua: takeReturned + readLua('sync-gate.lua') });
  redis.defineCommand('correctGate', { numberOfKeys: 1, lua: readLua('correct-gate.lua') });
  redis.defineCommand('queueAgain', { lua: giveBackUnits + readLua('queue-again.lua') });

  async function countIn(shard: Shard): Promise<number> {
    const count = await redis.zcard(keysOf(shard).queued);
    lastCounts.set(shard, { count, countedAt: performance.now() });
    return count;
  }

  /** When the oldest queued purchase of a shard was accepted, in Unix ms; Infinity when none is queued. */
  async function oldestIn(shard: Shard): Promise<number> {
    const [oldest] = entriesOf(await redis.zrange(keysOf(shard).queued, '0', '0', 'WITHSCORES'));
    return oldest?.acceptedAtMs ?? Number.POSITIVE_INFINITY;
  }

  /** The newest queued purchases of a shard as JSON. */
  async function readNewest(shard: Shard, max: number): Promise<string[]> {
    const { queued, purchases } = keysOf(shard);
    const ids = await redis.zrange(queued, '0', String(max - 1), 'REV');
    const texts: string[] = [];
    for (let start = 0; start < ids.length; start += searchedAtOnce) {
      const keys = ids.slice(start, start + searchedAtOnce).map((orderId) => purchases + orderId);
      for (const json of await redis.mget(keys)) if (json) texts.push(json);
    }
    return texts;
  }

  /** The newest queued purchases as JSON. The read is expensive in a rush, so concurrent callers share one. */
  const readQueued = singleFlight(async () => {
    const { answers: counts, isWhole } = await askShards(allShards, async (shard) => ({
      shard,
      count: await countIn(shard),
    }));
    const all = counts.reduce((sum, { count }) => sum + count, 0);
    const counted = new Map(counts.map(({ shard, count }) => [shard, count]));
    const maxOf = (shard: Shard) => Math.ceil((searchedMax * (counted.get(shard) ?? 0)) / all);
    const holding = [...counted.keys()].filter((shard) => counted.get(shard));
    const read = await askShards(holding, (shard) =>
      readNewest(shard, all > searchedMax ? maxOf(shard) : searchedMax),
    );
    return { texts: read.answers.flat(), isComplete: isWhole && read.isWhole && all <= searchedMax };
  });

  /** A purchase in the memory of one shard. */
  async function findIn(shard: Shard, orderId: string) {
    const { purchases, queued } = keysOf(shard);
    const json = await redis.get(purchases + orderId);
    if (json === null) return null;
    const isQueued = (await redis.zscore(queued, orderId)) !== null;
    return { purchase: JSON.parse(json) as Purchase, shard, isQueued };
  }

  redis.defineCommand('markGate', { numberOfKeys: 1, lua: markGateLua });
  redis.defineCommand('removeSettled', {
    lua: giveBackUnits + readLua('remove-settled.lua'),
  });
  redis.defineCommand('returnUnits', {
    lua: takeReturned + giveBackUnits + readLua('return-units.lua'),
  });
  return {
    /**
     * Updates the gate from the sale in MongoDB, and creates it when it is missing.
     * @param overwrites a revision of the gate that is replaced even if it is not older; only for a caller who read the gate
     *   before the sale.
     */
    async sync(sale: SaleRecord, overwrites = ''): Promise<void> {
      await redis.syncGate(
        gateKeyOf(sale._id),
        sale.stock,
        unitsEverOnSale(sale),
        sale.limitPerBuyer,
        sale.opensAt.getTime(),
        sale.closesAt.getTime(),
        sale.paused ? 1 : 0,
        sale.revision,
        // Also counted from now, because the gate of a sale that ended long ago would expire at once.
        Math.max(sale.closesAt.getTime(), redisClock.now().getTime()) + gateKeptMs,
        sale.unitsReturned ?? 0,
        overwrites,
        hasSeveralItems(sale) ? JSON.stringify(itemsOf(sale).map(gateItemOf)) : '',
        sale.requiresVerifiedEmail ? 1 : 0,
        reservedFieldOf(sale),
        sale.mode === 'room' ? 1 : 0,
        phasesFieldOf(sale),
        demandsFieldOf(sale),
      );
    },

    /** What the gate's sale demands before a purchase or a place; null when there is no gate. */
    async demands(saleId: string): Promise<Demands | null> {
      const names = ['verified', 'room', 'opensAt', 'closesAt', 'demands'];
      const [verified, room, opensAt, closesAt, demands] = await redis.hmget(gateKeyOf(saleId), ...names);
      // A gate that the version before made does not know the demands: it is completed from the sale.
      if (!opensAt || typeof demands !== 'string') return null;
      return {
        requiresVerifiedEmail: verified === '1',
        isRoom: room === '1',
        opensAt: new Date(Number(opensAt)),
        closesAt: new Date(Number(closesAt)),
        ...(demands && JSON.parse(demands)),
      };
    },

    /** Units that the gate still admits; null when there is no gate. */
    async unitsLeft(saleId: string): Promise<number | null> {
      const left = await redis.hget(gateKeyOf(saleId), 'left');
      return left === null ? null : Number(left);
    },

    /**
     * Reads gates and the queued purchases of their shards, in one atomic step for each shard. The sales of a shard that does not
     * answer are left out.
     * @param buyers whose units are read from each gate.
     * @param queuedMax how many queued purchases are listed.
     * @param items the items to read of each sale, by sale id; none for a sale with one item.
     * @returns gates by sale id, without sales that have none; `queued`, by shard, is null when there are more than that.
     */
    async read(
      saleIds: string[],
      {
        buyers = [],
        queuedMax,
        items = new Map(),
      }: { buyers?: string[]; queuedMax: number; items?: ReadonlyMap<string, string[]> },
    ): Promise<{ gates: Map<string, GateFields>; queued: Map<Shard, string[]> | null }> {
      const names = [...fieldNames, ...buyers.map((buyerId) => buyerPrefix + buyerId)];
      const itemIdsOf = (saleId: string) => items.get(saleId) ?? [];
      const gates = new Map<string, GateFields>();
      const queued = new Map<Shard, string[]>();
      const byShard = groupByShard(saleIds, shardOfSale);
      const readShard = async (shard: Shard) => {
        const ofShard = byShard.get(shard) ?? [];
        const reading = redis.multi().zrange(keysOf(shard).queued, 0, String(queuedMax));
        for (const saleId of ofShard)
          reading.hmget(gateKeyOf(saleId), ...names, ...itemIdsOf(saleId).flatMap(itemFieldsOf));
        const [ids, ...found] = valuesOf(await reading.exec()) as [string[], ...(string | null)[][]];
        queued.set(shard, ids);
        for (const [n, fields] of found.entries()) {
          const saleId = ofShard[n] as string;
          if (fields[0]) gates.set(saleId, fieldsOf(fields, buyers, itemIdsOf(saleId)));
        }
      };
      await askShards([...byShard.keys()], readShard);
      const count = [...queued.values()].reduce((sum, ids) => sum + ids.length, 0);
      return { gates, queued: count > queuedMax ? null : queued };
    },

    /** Marks a gate before its buyers are compared, so that a gate rebuilt later is recognised by its missing mark. */
    async mark(saleId: string): Promise<void> {
      await redis.markGate(gateKeyOf(saleId));
    },

    /** A page of the buyers in a gate; `cursor` is '0' for the first page, and is returned as '0' after the last. */
    async scanBuyers(saleId: string, cursor: string): Promise<{ buyers: string[]; cursor: string }> {
      const [next, fields] = await redis.hscan(gateKeyOf(saleId), cursor, 'COUNT', buyersAtOnce);
      const names = fields.filter((_, n) => n % 2 === 0);
      const buyers = names.filter((name) => name.startsWith(buyerPrefix));
      return { buyers: buyers.map((name) => name.slice(buyerPrefix.length)), cursor: next };
    },

    /**
     * Corrects a gate's counts, safe while purchases are admitted.
     * @param checked the gate's value when it was read.
     * @returns false when another process corrected the gate meanwhile, or it no longer exists.
     */
    async correct(
      saleId: string,
      { checked }: Pick<GateFields, 'checked'>,
      { left, queued, buyers, items }: GateDrift,
    ): Promise<boolean> {
      const differences = [left, queued, items.size, ...[...items].flat(), ...[...buyers].flat()];
      return (await redis.correctGate(gateKeyOf(saleId), checked, ...differences)) === 1;
    },

    /**
     * Removes settled purchases from the queued set. The units of a rejected purchase go back to its person's limit, and to
     * the sale unless the stock was sold out, because then the gate's count was too high.
     */
    async removeSettled(settledPurchases: SettledPurchase[]): Promise<void> {
      const removeFrom = async (shard: Shard, ofShard: SettledPurchase[]) => {
        const { gates, queued } = keysOf(shard);
        for (let start = 0; start < ofShard.length; start += removedAtOnce) {
          const ofSales = [...groupBySale(ofShard.slice(start, start + removedAtOnce))];
          const keys = [queued, ...ofSales.map(([saleId]) => gates + saleId)];
          await redis.removeSettled(keys.length, ...keys, gates, ...ofSales.flatMap(argumentsOf));
        }
      };
      const removing = [...groupByShard(settledPurchases, ({ saleId }) => shardOf(saleId, shards))].map(
        ([shard, ofShard]) => removeFrom(shard, ofShard),
      );
      // Some of them may have been admitted beside the previous version.
      if (!redis.isCluster && settledPurchases.length > 0 && (await redis.exists(keysOf(unsharded).queued)))
        removing.push(removeFrom(unsharded, settledPurchases));
      await Promise.all(removing);
    },

    /**
     * Puts the units of cancelled orders back on sale. Call it once for each order: the sale's count is idempotent, but the
     * person's limit gets the units back at each call.
     */
    async returnUnits(returned: Returned[]): Promise<void> {
      const returning = [...groupByShard(returned, ({ saleId }) => shardOfSale(saleId))].map(
        ([shard, ofShard]) => {
          const fields = ofShard.flatMap(({ saleId, unitsReturned, items, orders }) => {
            const ofItems = items.flatMap(({ id, unitsReturned }) => [id, unitsReturned]);
            const ofPeople = orders.flatMap(({ personId, quantity, lines, code = '' }) => [
              personId,
              quantity,
              jsonOf(lines),
              code,
            ]);
            return [saleId, unitsReturned, items.length, orders.length, ...ofItems, ...ofPeople];
          });
          const keys = ofShard.map(({ saleId }) => gateKeyOf(saleId));
          return redis.returnUnits(keys.length, ...keys, keysOf(shard).gates, ...fields);
        },
      );
      await Promise.all(returning);
    },

    /**
     * An admitted purchase, where it is stored and whether it is still queued; null when it has expired in Redis. An order's id
     * does not name its sale, so every shard is asked at once; where it is queued it is in no other, and these are not waited for.
     * @throws when it was not found and a shard did not answer.
     */
    findPurchase(orderId: string): Promise<{ purchase: Purchase; shard: Shard; isQueued: boolean } | null> {
      return new Promise((resolve, reject) => {
        const asked = allShards.map(async (shard) => {
          const found = await findIn(shard, orderId);
          if (found?.isQueued) resolve(found);
          return found;
        });
        void Promise.allSettled(asked).then((answers) => {
          const found = answers.flatMap((one) => (one.status === 'fulfilled' && one.value) || []);
          const failed = answers.find((one) => one.status === 'rejected');
          if (failed && found.length === 0) reject(failed.reason);
          else resolve(found[0] ?? null);
        });
      });
    },

    /** The purchases among these that Redis holds in a shard, by order id. */
    async findPurchases(shard: Shard, orderIds: string[]): Promise<Map<string, Purchase>> {
      if (orderIds.length === 0) return new Map();
      const { purchases } = keysOf(shard);
      const found = await redis.mget(orderIds.map((orderId) => purchases + orderId));
      return new Map(
        found.flatMap((json, n) => (json ? [[orderIds[n] as string, JSON.parse(json) as Purchase]] : [])),
      );
    },

    /** The order ids among these that are not queued in a shard. */
    async findUnqueued(shard: Shard, orderIds: string[]): Promise<string[]> {
      if (orderIds.length === 0) return [];
      const scores = await redis.zmscore(keysOf(shard).queued, ...orderIds);
      return orderIds.filter((_, n) => scores[n] === null);
    },

    /**
     * Adds these to the queued set of a shard, which is that of their sales or `unsharded`, and takes their units.
     * @returns the purchases that were not queued.
     */
    async queueAgain(shard: Shard, all: Purchase[]): Promise<Purchase[]> {
      if (all.length === 0) return [];
      const { gates, queued } = keysOf(shard);
      const fields = all.flatMap((purchase) => {
        const { orderId, saleId, quantity, lines, code = '' } = purchase;
        return [orderId, saleId, personOf(purchase), quantity, jsonOf(lines), code];
      });
      const keys = [queued, ...new Set(all.map(({ saleId }) => gates + saleId))];
      const added = await redis.queueAgain(keys.length, ...keys, gates, ...fields);
      return all.filter((_, n) => added[n] === 1);
    },

    /**
     * The queued purchases of a buyer, in no order.
     * @returns `isComplete` is false when more purchases are queued than were searched, or a shard did not answer.
     */
    async listQueuedOf(buyerId: string): Promise<{ purchases: Purchase[]; isComplete: boolean }> {
      const { texts, isComplete } = await readQueued('');
      // Searching the text is much cheaper than parsing every purchase.
      const fragment = `"buyerId":${JSON.stringify(buyerId)}`;
      const purchases = texts
        .filter((json) => json.includes(fragment))
        .map((json): Purchase => JSON.parse(json));
      return { purchases: purchases.filter((purchase) => purchase.buyerId === buyerId), isComplete };
    },

    /** The purchases among these that Redis holds; the others (`forgotten`) are removed from the shard's queued set. */
    async recall(shard: Shard, orderIds: string[]): Promise<{ purchases: Purchase[]; forgotten: string[] }> {
      const found = await this.findPurchases(shard, orderIds);
      const forgotten = orderIds.filter((orderId) => !found.has(orderId));
      if (forgotten.length > 0) await redis.zrem(keysOf(shard).queued, forgotten);
      return { purchases: [...found.values()], forgotten };
    },

    /** The order ids of every purchase that Redis holds. */
    async listRemembered(): Promise<string[]> {
      const ids = new Set<string>();
      for await (const { purchases } of this.scan()) {
        for (const orderIds of purchases.values()) for (const orderId of orderIds) ids.add(orderId);
      }
      return [...ids];
    },

    /**
     * Iterates over every sale that has a gate, and the order id of every stored purchase by shard, in pages; SCAN may return a
     * key twice.
     */
    async *scan(): AsyncGenerator<{ saleIds: string[]; purchases: Map<Shard, string[]> }> {
      for (const node of mastersOf(redis)) {
        for (let cursor = '0', first = true; first || cursor !== '0'; first = false) {
          const [next, keys] = await node.scan(cursor, 'COUNT', 1_000);
          const found = keys.flatMap((key) => parseKey(key) ?? []);
          const ofKind = (wanted: string) => found.filter(({ kind }) => kind === wanted);
          const purchases = [...groupByShard(ofKind('purchase'), ({ shard }) => shard)].map(
            ([shard, ofShard]) => [shard, ofShard.map(({ id }) => id)] as const,
          );
          yield { saleIds: ofKind('gate').map(({ id }) => id), purchases: new Map(purchases) };
          cursor = next;
        }
      }
    },

    /** Up to `limit` queued purchases of a shard that were accepted before this time, the oldest first. */
    async listQueuedBefore(
      shard: Shard,
      timeMs: number,
      limit: number,
    ): Promise<{ orderId: string; acceptedAtMs: number }[]> {
      const { queued } = keysOf(shard);
      return entriesOf(await redis.zrangebyscore(queued, 0, `(${timeMs}`, 'WITHSCORES', 'LIMIT', 0, limit));
    },

    /** The order ids of all queued purchases. */
    async listQueued(): Promise<Set<string>> {
      const ids = await Promise.all(allShards.map((shard) => redis.zrange(keysOf(shard).queued, '0', '-1')));
      return new Set(ids.flat());
    },

    /** Sets the time of acceptance of purchases that got a new job to that job's timestamp. */
    async requeue(shard: Shard, orderIds: string[], acceptedAtMs: number): Promise<void> {
      const { queued } = keysOf(shard);
      await redis.zadd(queued, 'XX', ...orderIds.flatMap((orderId) => [acceptedAtMs, orderId]));
    },

    /** The number of accepted purchases that are not yet settled: all, or those in the shard of a sale. */
    async countQueued(saleId?: string): Promise<number> {
      const isAsked = (shard: Shard) =>
        saleId === undefined || shard === shardOf(saleId, shards) || shard === unsharded;
      const counts = await Promise.all(allShards.filter(isAsked).map(countIn));
      return counts.reduce((sum, count) => sum + count, 0);
    },

    /**
     * How many purchases are not yet settled, and when the oldest was accepted, in Unix ms, null without any: as far as the shards
     * answer soon.
     */
    async readBacklog(): Promise<{ queued: number; oldestAtMs: number | null }> {
      const { answers } = await askShards(
        allShards,
        (shard) => Promise.all([countIn(shard), oldestIn(shard)]),
        redis.isCluster ? figuresPatienceMs : undefined,
      );
      const oldestAtMs = Math.min(...answers.map(([, oldest]) => oldest));
      return {
        queued: answers.reduce((sum, [count]) => sum + count, 0),
        oldestAtMs: Number.isFinite(oldestAtMs) ? oldestAtMs : null,
      };
    },

    /**
     * The number of purchases that were queued in the other shards, or without one in all, when this process last counted
     * them. A shard whose Redis does not answer is left out after a while, because nothing is added to it either.
     */
    countedElsewhere(shard?: Shard): number {
      const sinceMs = performance.now() - countedForMs;
      let sum = 0;
      for (const [other, { count, countedAt }] of lastCounts)
        if (other !== shard && countedAt > sinceMs) sum += count;
      return sum;
    },

    /** The shards that may hold purchases. */
    shards: allShards,

    /** The shard by whose gate a sale's purchases are admitted. */
    shardOf: shardOfSale,

    /** While a process of the previous version lives, sales keep the gates, the memory and the queue that it knows. */
    keepUnsharded(isKept: boolean): void {
      isUnshardedKept = isKept;
    },

    /** The key of a sale's gate. */
    keyOf: gateKeyOf,
  };
}

const fieldNames = [
  'left',
  'queued',
  'units',
  'returned',
  'limit',
  'opensAt',
  'closesAt',
  'paused',
  'verified',
  'reserved',
  'phases',
  'demands',
  'revision',
  'checked',
] as const;

/** An item as sync-gate.lua takes it. */
const gateItemOf = ({ id, stock, unitsReturned: returned, limitPerBuyer, ...counts }: Item) => {
  const units = unitsEverOnSale(counts);
  return { id, stock, units, returned, ...(limitPerBuyer !== null && { limit: limitPerBuyer }) };
};

/** The lines of a purchase as the scripts take them. */
export const jsonOf = (lines: PurchaseLine[] | undefined) =>
  lines ? JSON.stringify(lines.map(({ itemId, quantity }) => ({ itemId, quantity }))) : '';

const itemFieldsOf = (itemId: string) =>
  ['left', 'units', 'returned', 'limit'].map((field) => `${field}:${itemId}`);
const fieldsPerItem = itemFieldsOf('').length;

function fieldsOf(fields: (string | null)[], buyers: string[], itemIds: string[]): GateFields {
  const [left, queued, units, returned, limit, opensAt, closesAt, ...flags] = fields;
  const [paused, verified, reserved, phases, demands, revision, checked, ...others] = flags;
  const [ofBuyers, ofItems] = [others.slice(0, buyers.length), others.slice(buyers.length)];
  return {
    left: Number(left),
    queued: Number(queued),
    units: Number(units),
    returned: Number(returned),
    limit: Number(limit),
    opensAtMs: Number(opensAt),
    closesAtMs: Number(closesAt),
    isPaused: paused === '1',
    requiresVerifiedEmail: verified === '1',
    reserved: reserved ?? '',
    phases: phases ?? '',
    demands: demands ?? '',
    revision: revision ?? '',
    checked: checked ?? '',
    buyers: new Map(buyers.map((buyerId, n) => [buyerId, Number(ofBuyers[n] ?? 0)])),
    items: new Map(
      itemIds.flatMap((itemId, n): [string, GateItem][] => {
        const [left, units, returned, limit] = ofItems.slice(n * fieldsPerItem, (n + 1) * fieldsPerItem);
        if (units === null || units === undefined) return [];
        const item = { left: Number(left), units: Number(units), returned: Number(returned) };
        return [[itemId, { ...item, limit: limit ? Number(limit) : null }]];
      }),
    ),
  };
}

/** @throws the first error among the replies. */
function valuesOf(replies: [Error | null, unknown][] | null): unknown[] {
  return (replies ?? []).map(([error, value]) => {
    if (error) throw error;
    return value;
  });
}

/** Reads a reply WITHSCORES of the queued set. */
const entriesOf = (reply: string[]) =>
  Array.from({ length: reply.length / 2 }, (_, n) => ({
    orderId: reply[2 * n] as string,
    acceptedAtMs: Number(reply[2 * n + 1]),
  }));

/** The arguments of remove-settled.lua for one sale. A purchase that got its units, as nearly all do, needs only its order id. */
function argumentsOf([saleId, settledPurchases]: [string, SettledPurchase[]]): (string | number)[] {
  const paid = settledPurchases.filter(({ reason }) => reason === null);
  const rejected = settledPurchases.filter(({ reason }) => reason !== null);
  const givenBack = rejected.flatMap(({ orderId, personId, quantity, lines, code = '', reason }) => {
    const { ofSale, ofBuyer } = unitsGivenBack({ quantity, reason });
    return [orderId, personId, ofBuyer, ofSale, jsonOf(lines), code];
  });
  return [saleId, paid.length, rejected.length, ...paid.map(({ orderId }) => orderId), ...givenBack];
}

const giveBackUnits = readLua('give-back.lua');
const takeReturned = readLua('take-returned.lua');

/** @param name of a script beside this file. */
export function readLua(name: string): string {
  return readFileSync(new URL(name, import.meta.url), 'utf8');
}
