import { readFileSync } from 'node:fs';
import type { Redis } from 'ioredis';
import { redisClock } from '../../runtime/clock.ts';
import { Overloaded } from '../../runtime/group-commit.ts';
import { singleFlight } from '../../runtime/single-flight.ts';
import type { Collections } from '../../store/collections.ts';
import { keysOf, shardOf } from '../shard.ts';

/** What is known of one network in a sale. */
export interface NetworkCount {
  networkKey: string;
  /** People who take part. */
  people: number;
  /** How often more people were refused. */
  refused: number;
}

/** Counts are kept so long after the sale's end, for the view of suspects. */
const keptMs = 30 * 86_400_000;
/** People per call of a script, which blocks every other command of Redis. */
const countedAtOnce = 500;
const listedNetworks = 20;
const maxCountings = 3;

/** Counts people who have a place, each once, and then marks the counts as complete when `ARGV[2]` is 1. */
const countPeopleLua = `
for i = 3, #ARGV, 2 do
  if redis.call('HSETNX', KEYS[1], ARGV[i], ARGV[i + 1]) == 1 then redis.call('ZINCRBY', KEYS[2], 1, ARGV[i + 1]) end
end
if ARGV[2] == '1' then redis.call('HSET', KEYS[1], '', '1') end
for _, key in ipairs(KEYS) do redis.call('PEXPIREAT', key, ARGV[1]) end`;

const releaseLua = `
local function release(person)
  local network = redis.call('HGET', KEYS[1], person)
  redis.call('HDEL', KEYS[4], person .. ':taken', person .. ':kept', person .. ':refused')
  if not network then return end
  redis.call('HDEL', KEYS[1], person)
  if tonumber(redis.call('ZINCRBY', KEYS[2], -1, network)) <= 0 then redis.call('ZREM', KEYS[2], network) end
end
`;

/** Releases a person all of whose presses were refused. */
const endPressLua = `${releaseLua}
local taken = tonumber(redis.call('HGET', KEYS[4], ARGV[1] .. ':taken') or 0)
if taken == 0 then return end
redis.call('HINCRBY', KEYS[4], ARGV[1] .. ':' .. ARGV[2], 1)
if tonumber(redis.call('HGET', KEYS[4], ARGV[1] .. ':refused') or 0) >= taken then release(ARGV[1]) end`;

/** Releases a person who has begun no press since `ARGV[2]` of them. */
const releasePersonLua = `${releaseLua}
if (redis.call('HGET', KEYS[4], ARGV[1] .. ':taken') or '0') == ARGV[2] then release(ARGV[1]) end`;

declare module 'ioredis' {
  interface RedisCommander {
    takeNetwork(...keysAndArguments: (string | number)[]): Promise<'taken' | 'known' | 'refused' | 'missing'>;
    countPeople(...keysAndArguments: (string | number)[]): Promise<null>;
    endPress(...keysAndArguments: string[]): Promise<null>;
    releasePerson(...keysAndArguments: (string | number)[]): Promise<null>;
  }
}

export type Networks = ReturnType<typeof openNetworks>;

/**
 * How many people of each network take part in a sale that limits it. The counts are in Redis, in the slot of the sale. When
 * Redis has lost them, the people with places are counted again from MongoDB; those who bought without a place are not known
 * there, so that at most as many people of a network as the limit says can buy once more after each loss.
 */
export function openNetworks(redis: Redis, { places }: Pick<Collections, 'places'>, shards: number) {
  redis.defineCommand('takeNetwork', {
    numberOfKeys: 4,
    lua: readFileSync(new URL('take-network.lua', import.meta.url), 'utf8'),
  });
  redis.defineCommand('countPeople', { numberOfKeys: 4, lua: countPeopleLua });
  redis.defineCommand('endPress', { numberOfKeys: 4, lua: endPressLua });
  redis.defineCommand('releasePerson', { numberOfKeys: 4, lua: releasePersonLua });

  function keysFor(saleId: string): [string, string, string, string] {
    const prefix = `${keysOf(shardOf(saleId, shards)).networks}${saleId}`;
    return [`${prefix}:of`, `${prefix}:people`, `${prefix}:refused`, `${prefix}:presses`];
  }
  const expiryOf = (closesAt: Date) => Math.max(closesAt.getTime(), redisClock.now().getTime()) + keptMs;

  /** Several servers may count at once: each person is counted by one of them. */
  const countAgain = singleFlight(async (key) => {
    const [saleId = '', expiry = ''] = key.split(' ');
    const keys = keysFor(saleId);
    const found = places.find(
      { saleId, networkKey: { $exists: true }, state: { $ne: 'left' } },
      { projection: { personId: 1, networkKey: 1 } },
    );
    let people: string[] = [];
    for await (const { personId, networkKey = '' } of found) {
      people.push(personId, networkKey);
      if (people.length < 2 * countedAtOnce) continue;
      await redis.countPeople(...keys, expiry, 0, ...people);
      people = [];
    }
    await redis.countPeople(...keys, expiry, 1, ...people);
  });

  return {
    /**
     * @param max how many people of one network may take part.
     * @throws Overloaded when Redis loses the counts again and again.
     */
    async take(
      { saleId, personId, networkKey }: { saleId: string; personId: string; networkKey: string },
      { max, closesAt }: { max: number; closesAt: Date },
    ): Promise<'taken' | 'known' | 'refused'> {
      const expiry = expiryOf(closesAt);
      for (let counted = 0; counted < maxCountings; counted++) {
        const taken = await redis.takeNetwork(...keysFor(saleId), personId, networkKey, max, expiry);
        if (taken !== 'missing') return taken;
        await countAgain(`${saleId} ${expiry}`);
      }
      throw new Overloaded('the people of the networks were lost again and again');
    },

    /**
     * For each press that `take` let through: whether it got something. A person all of whose presses were refused counts no
     * more. One whose press never ends counts on.
     */
    async endPress(saleId: string, personId: string, result: 'kept' | 'refused'): Promise<void> {
      await redis.endPress(...keysFor(saleId), personId, result);
    },

    /** How many presses a person has begun; null while one of them is under way, or has bought. */
    async endedPresses(saleId: string, personId: string): Promise<number | null> {
      const fields = ['taken', 'kept', 'refused'].map((name) => `${personId}:${name}`);
      const counts = await redis.hmget(keysFor(saleId)[3], ...fields);
      const [taken = 0, kept = 0, refused = 0] = counts.map(Number);
      return taken === kept + refused ? taken : null;
    },

    /** For a person who takes part no more, unless they have begun a press since there were so many. */
    async release(saleId: string, personId: string, presses: number): Promise<void> {
      await redis.releasePerson(...keysFor(saleId), personId, presses);
    },

    /** The networks with the most people, and those with the most refusals. */
    async list(saleId: string): Promise<NetworkCount[]> {
      const [, people, refused] = keysFor(saleId);
      const most = await Promise.all(
        [people, refused].map((key) => redis.zrange(key, '0', String(listedNetworks - 1), 'REV')),
      );
      const networkKeys = [...new Set(most.flat())];
      if (networkKeys.length === 0) return [];
      const [counts, refusals] = await Promise.all([
        redis.zmscore(people, ...networkKeys),
        redis.zmscore(refused, ...networkKeys),
      ]);
      return networkKeys
        .map((networkKey, n) => ({
          networkKey,
          people: Number(counts[n] ?? 0),
          refused: Number(refusals[n] ?? 0),
        }))
        .sort((one, other) => other.people + other.refused - one.people - one.refused)
        .slice(0, listedNetworks);
    },
  };
}
