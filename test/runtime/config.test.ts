import { describe, expect, test } from 'vitest';
import { withDatabase } from '../../ops/local/databases/database-url.mjs';
import { readConfig, warningsAbout } from '../../runtime/config.ts';
import { clusterOptionsOf, sentinelOptionsOf } from '../../runtime/databases/urls.ts';
import { subscribersOf } from '../../worker/subscribers.ts';

const good = {
  MONGO_URL: 'mongodb://127.0.0.1:27017/shop?replicaSet=rs0',
  REDIS_URL: 'redis://127.0.0.1:6379',
  JWT_SECRET: 'a-secret-that-is-at-least-32-characters',
};

test('three settings are required, the others have defaults, and the result is frozen', () => {
  const config = readConfig(good);
  expect(config).toMatchObject({ PORT: 8080, HOST: '127.0.0.1', TRUST_PROXY_HOPS: 0, ALLOWED_ORIGINS: [] });
  expect(Object.isFrozen(config)).toBe(true);
});

test('numbers and lists are parsed', () => {
  const { PORT, ALLOWED_ORIGINS } = readConfig({
    ...good,
    PORT: '0',
    ALLOWED_ORIGINS: 'https://a.example,https://b.example',
  });
  expect({ PORT, ALLOWED_ORIGINS }).toEqual({
    PORT: 0,
    ALLOWED_ORIGINS: ['https://a.example', 'https://b.example'],
  });
});

test('a test may change constants, and production has none of it', () => {
  const TEST_OPTIONS = 'JOB_LOCK_MS=5000,RECONCILE_AFTER_MS=1,JOB_LOCK_MS=1500';
  expect(readConfig(good)).toMatchObject({ JOB_LOCK_MS: 3_000, RECONCILE_AFTER_MS: 30_000 });
  expect(readConfig({ ...good, TEST_OPTIONS })).toMatchObject({ JOB_LOCK_MS: 1_500, RECONCILE_AFTER_MS: 1 });
  expect(() => readConfig({ ...good, NODE_ENV: 'production', TEST_OPTIONS })).toThrow('TEST_OPTIONS');
});

test('what is not a setting any more is named, and changes nothing', () => {
  const former = { JOB_LOCK_MS: '9000', SETTLE_RUSH_INTERVAL_MS: '1', SETTLE_MAX_PURCHASES: '' };
  expect(readConfig({ ...good, ...former })).toEqual(readConfig(good));
  expect(warningsAbout({ ...good, ...former })).toEqual([
    'JOB_LOCK_MS is not a setting any more',
    'SETTLE_RUSH_INTERVAL_MS is not a setting any more',
  ]);
});

test('all missing settings are reported together', () => {
  expect(() => readConfig({})).toThrow(/MONGO_URL[\s\S]*REDIS_URL[\s\S]*JWT_SECRET/);
});

test.each([
  ['PORT', '70000'],
  ['PORT', 'eighty'],
  ['PORT', '80.5'],
  ['MONGO_URL', 'http://sesame@127.0.0.1'],
  ['MONGO_URL', 'sesame'],
  ['MONGO_URL', 'mongodb://h1:sesame,h2'],
  ['MONGO_URL', 'mongodb://h1,h2/?sesame=1'],
  ['REDIS_URL', 'mongodb://:sesame@127.0.0.1'],
  ['REDIS_URL', 'redis://h1:6379,sesame:6379'],
  ['REDIS_URL', 'redis+sentinel://sesame:26379'],
  ['REDIS_URL', 'redis+cluster://h1,sesame:none'],
  ['REDIS_URL', 'redis+sentinel://h1,sesame:none/the-shop'],
  ['RABBITMQ_URL', 'amqp://h1,sesame:none'],
  ['JWT_SECRET', 'sesame'],
  ['RABBITMQ_URL', 'http://sesame@127.0.0.1'],
  ['PURCHASE_QUEUE', 'sesame'],
  ['EVENT_BUS', 'kafka'],
  ['LOG_LEVEL', 'sesame'],
  ['TRUST_PROXY_HOPS', 'true'],
  ['TRUST_PROXY_HOPS', '-1'],
  ['BCRYPT_COST', '31'],
  ['FLUSH_DEADLINE_MS', '2s'],
  ['TEST_OPTIONS', 'JOB_LOCK_MS=sesame'],
  ['TEST_OPTIONS', 'SESAME=1'],
  ['EVENT_BUS', 'sesame'],
  ['SUBSCRIBERS', 'analytics,sesame'],
  ['SMTP_URL', 'https://sesame'],
])('%s=%s is refused by name, and its value is never shown', (name, value) => {
  let message = '';
  try {
    readConfig({ ...good, [name]: value });
  } catch (error) {
    message = (error as Error).message;
  }
  expect(message).toContain(name);
  expect(message).not.toContain(`"${value}"`);
  expect(message).not.toContain('sesame');
  for (const other of Object.keys(good)) if (other !== name) expect(message).not.toContain(other);
});

test.each([
  ['MONGO_URL', 'mongodb://h1:27017,h2:27017,h3:27017/?replicaSet=x'],
  ['MONGO_URL', 'mongodb://user:p%40ss@h1,h2/shop?replicaSet=x&authSource=admin&tls=true'],
  ['MONGO_URL', 'mongodb+srv://user:pass@cluster.example.com/shop?retryWrites=true'],
  ['MONGO_URL', 'mongodb://%2Ftmp%2Fmongodb-27017.sock/shop'],
  ['MONGO_URL', 'mongodb://[::1]:27017,[::2]:27018/shop'],
  ['REDIS_URL', 'rediss://user:p%40ss@redis.example.com:6380/2'],
  ['REDIS_URL', 'redis://127.0.0.1:6379?path=%2Ftmp%2Fredis.sock'],
  ['REDIS_URL', 'redis+sentinel://h1:26379,h2,h3:26381/the-shop'],
  ['REDIS_URL', 'rediss+sentinel://user:p%40ss@h1,h2/the-shop/2?sentinelPassword=other'],
  ['REDIS_URL', 'redis+cluster://h1:7000,h2:7001,h3'],
  ['RABBITMQ_URL', 'amqps://user:p%40ss@rabbit.example.com/shop?frameMax=8192'],
  ['RABBITMQ_URL', 'amqp://h1:5672,h2:5672/%2F'],
])('%s=%s is taken', (name, value) => {
  expect(readConfig({ ...good, [name]: value })).toMatchObject({ [name]: value });
});

test('a Sentinel URL becomes ioredis options, and other URLs are passed on', () => {
  expect(sentinelOptionsOf('redis://h1:6379')).toBeNull();
  expect(
    sentinelOptionsOf('rediss+sentinel://user:p%40ss@h1,[::1]:26380/shop/2?sentinelPassword=x%26y'),
  ).toEqual({
    sentinels: [
      { host: 'h1', port: 26_379 },
      { host: '::1', port: 26_380 },
    ],
    name: 'shop',
    db: 2,
    username: 'user',
    password: 'p@ss',
    sentinelPassword: 'x&y',
    tls: {},
    sentinelTLS: {},
    enableTLSForSentinelMode: true,
  });
});

test('a MongoDB URL without a database gets the default one, with any number of hosts', () => {
  expect(withDatabase('mongodb://u:p@h1:1,h2:2/?replicaSet=x', 'shop')).toBe(
    'mongodb://u:p@h1:1,h2:2/shop?replicaSet=x',
  );
  expect(withDatabase('mongodb+srv://h1', 'shop')).toBe('mongodb+srv://h1/shop');
  expect(withDatabase('mongodb://%2Ftmp%2Fa.sock', 'shop')).toBe('mongodb://%2Ftmp%2Fa.sock/shop');
  expect(withDatabase('mongodb://h1,h2/theirs?replicaSet=x', 'shop')).toBe(
    'mongodb://h1,h2/theirs?replicaSet=x',
  );
});

test.each(['PURCHASE_QUEUE', 'EVENT_BUS'])('%s=rabbitmq needs a RABBITMQ_URL', (engine) => {
  expect(() => readConfig({ ...good, [engine]: 'rabbitmq' })).toThrow(
    'RABBITMQ_URL: expected, since PURCHASE_QUEUE or EVENT_BUS is rabbitmq',
  );
  const RABBITMQ_URL = 'amqp://127.0.0.1:5672';
  expect(readConfig({ ...good, [engine]: 'rabbitmq', RABBITMQ_URL })).toMatchObject({ [engine]: 'rabbitmq' });
});

test('SUBSCRIBERS is a list, none, or by default all that can run; mail needs a server', () => {
  const subscribers = (SUBSCRIBERS: string, SMTP_URL = '') =>
    subscribersOf(readConfig({ ...good, SUBSCRIBERS, SMTP_URL }));
  expect(subscribers('analytics')).toEqual(['analytics']);
  expect(subscribers('none')).toEqual([]);
  expect(subscribers('')).toEqual(['analytics', 'webhooks']);
  expect(subscribers('auto', 'smtp://mail.example.com')).toEqual(['analytics', 'webhooks', 'notifications']);
  expect(() => subscribers('notifications')).toThrow('SMTP_URL');
});

describe('the secret that signs tokens', () => {
  const random = 'q9Jm2rT7xV4bN8cK1wE5yU3iO6pA0sDf';
  const inProduction = (JWT_SECRET: string) => readConfig({ ...good, NODE_ENV: 'production', JWT_SECRET });

  test.each([
    ['missing', ''],
    ['of 31 bytes', random.slice(1)],
    ['one letter', 'x'.repeat(64)],
    ['a few letters', 'abcabcabc'.repeat(8)],
    ['an example’s', 'your-256-bit-secret-for-signing-tokens'],
    ['to be changed', 'CHANGE_ME_CHANGE_ME_CHANGE_ME_PLEASE'],
    ['a list with a weak one', `new:${random},old:${'x'.repeat(40)}`],
    ['a list with a short one', `new:${random},old:short`],
    ['a list that names two the same', `a:${random},a:${random}1`],
  ])('%s is refused in production, and never shown', (_what, secret) => {
    expect(() => inProduction(secret)).toThrow(/JWT_SECRET/);
    if (secret) expect(() => inProduction(secret)).not.toThrow(secret);
  });

  test('a random secret, or a list of them, is accepted', () => {
    for (const secret of [random, `new:${random},old:${random}2`, `new:${random},${random}2`]) {
      expect(inProduction(secret).JWT_SECRET).toBe(secret);
    }
  });
});

test('a key of the passes into other sites is no secret of the tokens', () => {
  const sites = { ROOM_SITES: 'https://shop.example.com/' };
  const JWT_SECRET = `own:${'a'.repeat(48)}`;
  expect(() =>
    readConfig({ ...good, ...sites, JWT_SECRET, ROOM_PASS_KEYS: `site:${'a'.repeat(48)}` }),
  ).toThrow(/other secrets than those of JWT_SECRET/);
  const others = { ...good, ...sites, JWT_SECRET, ROOM_PASS_KEYS: `site:${'b'.repeat(48)}` };
  expect(readConfig(others).ROOM_SITES).toHaveLength(1);
});

test('an empty setting counts as unset, as docker compose passes it', () => {
  expect(readConfig({ ...good, PORT: '', MONGO_POOL_CONNECTIONS: '', LOG_LEVEL: '' })).toMatchObject({
    PORT: 8080,
    MONGO_POOL_CONNECTIONS: 20,
    LOG_LEVEL: 'info',
  });
});

test('a Cluster URL becomes the nodes to ask first, and what all nodes need', () => {
  expect(clusterOptionsOf('redis+sentinel://h1,h2/shop')).toBeNull();
  expect(clusterOptionsOf('rediss+cluster://user:p%40ss@h1,[::1]:7001')).toEqual({
    nodes: [
      { host: 'h1', port: 6_379 },
      { host: '::1', port: 7_001 },
    ],
    redisOptions: { username: 'user', password: 'p@ss', tls: {} },
  });
});
