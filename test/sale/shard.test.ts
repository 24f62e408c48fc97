import { expect, test } from 'vitest';
import { groupByShard, keysOf, parseKey, shardOf, unsharded } from '../../sale/shard.ts';

const saleIds = Array.from({ length: 2_000 }, (_, n) => `a-sale-${n}`);

test('sales are spread evenly, and a sale stays in its shard', () => {
  const bySize = [...groupByShard(saleIds, (id) => shardOf(id, 16)).values()].map(({ length }) => length);
  expect(bySize).toHaveLength(16);
  expect(Math.min(...bySize)).toBeGreaterThan(80);
  // A changed function would lose what is queued.
  expect(['a-sale-0', 'a-sale-1', 'V1StGXR8_Z5jdHi6B-myT'].map((id) => shardOf(id, 16))).toEqual([11, 10, 9]);
});

test('all keys of a shard have its hash tag', () => {
  for (let shard = 0; shard < 16; shard++) {
    const { gates, purchases, queued, bull } = keysOf(shard);
    const keys = [`${gates}a-sale`, `${purchases}an-order`, queued, `${bull.prefix}:${bull.name}:wait`];
    expect(new Set(keys.map((key) => /\{(.+?)\}/.exec(key)?.[1]))).toEqual(new Set([`s${shard}`]));
  }
});

test('the names of gates and purchases are read back, also those of the previous version', () => {
  expect(parseKey(`${keysOf(3).gates}a-sale`)).toEqual({ kind: 'gate', shard: 3, id: 'a-sale' });
  expect(parseKey(`${keysOf(15).purchases}an-order`)).toEqual({
    kind: 'purchase',
    shard: 15,
    id: 'an-order',
  });
  expect(parseKey('gate:a-sale')).toEqual({ kind: 'gate', shard: unsharded, id: 'a-sale' });
  expect(keysOf(unsharded)).toEqual({
    gates: 'gate:',
    purchases: 'purchase:',
    queued: 'queued',
    networks: 'networks:',
    bull: { prefix: 'bull', name: 'purchases' },
  });
  for (const other of ['queued:{s3}', 'beat:worker', 'bull:{s3}:purchases-3:1', 'tally:sale:x'])
    expect(parseKey(other)).toBeNull();
});
