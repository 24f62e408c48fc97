import { expect, test } from 'vitest';
import { readConfig } from '../runtime/config.ts';

const good = {
  MONGO_URL: 'mongodb://127.0.0.1:27017/shop?replicaSet=rs0',
  REDIS_URL: 'redis://127.0.0.1:6379',
  JWT_SECRET: 'a-secret-that-is-at-least-32-characters',
};

test('three settings are enough; the rest have defaults, and nothing can change them later', () => {
  const config = readConfig(good);
  expect(config).toMatchObject({ PORT: 8080, HOST: '127.0.0.1', TRUST_PROXY_HOPS: 0, ALLOWED_ORIGINS: [] });
  expect(Object.isFrozen(config)).toBe(true);
});

test('numbers and lists are read from text', () => {
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

test('every setting that is missing is named at once', () => {
  expect(() => readConfig({})).toThrow(/MONGO_URL[\s\S]*REDIS_URL[\s\S]*JWT_SECRET/);
});

test.each([
  ['PORT', '70000'],
  ['PORT', 'eighty'],
  ['PORT', '80.5'],
  ['MONGO_URL', 'http://sesame@127.0.0.1'],
  ['MONGO_URL', 'sesame'],
  ['REDIS_URL', 'mongodb://:sesame@127.0.0.1'],
  ['JWT_SECRET', 'sesame'],
  ['LOG_LEVEL', 'sesame'],
  ['TRUST_PROXY_HOPS', 'true'],
  ['TRUST_PROXY_HOPS', '-1'],
  ['BCRYPT_COST', '31'],
  ['FLUSH_DEADLINE_MS', '2s'],
  ['SETTLE_MAX_PURCHASES', '0'],
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

test('a setting left empty is one that is absent, as docker compose passes it', () => {
  expect(readConfig({ ...good, PORT: '', MONGO_POOL_CONNECTIONS: '', LOG_LEVEL: '' })).toMatchObject({
    PORT: 8080,
    MONGO_POOL_CONNECTIONS: 20,
    LOG_LEVEL: 'info',
  });
});
