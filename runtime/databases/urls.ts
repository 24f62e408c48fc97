import type { RedisOptions } from 'ioredis';
import mongoose from 'mongoose';

/** The URL formats of the settings, as quoted in the error for an invalid one. */
export const expectedUrls = {
  mongo:
    'expected mongodb://host:27017,host:27017/database?replicaSet=name or mongodb+srv://host/database, as its driver takes it',
  redis:
    'expected redis://host:6379, rediss://host:6379, redis+sentinel://host:26379,host:26379/name or redis+cluster://host:6379,host:6379',
  rabbit: 'expected amqp://host:5672,host:5672/vhost or amqps://host:5671/vhost',
};

/**
 * Splits a URL with several hosts into one URL for each, with the same user, path and query.
 * @throws TypeError when one of them is not a valid URL.
 */
export function urlsOf(url: string): [URL, ...URL[]] {
  const [, start = '', hosts = '', end = ''] = /^([a-z+]+:\/\/(?:[^@/?#]*@)?)([^/?#]*)(.*)$/s.exec(url) ?? [];
  const [first = '', ...others] = hosts.split(',');
  const one = (host: string): URL => {
    const parsed = new URL(start + host + end);
    if (!parsed.hostname) throw new TypeError('The URL has no host');
    return parsed;
  };
  return [one(first), ...others.map(one)];
}

export function isMongoUrl(url: string): boolean {
  try {
    // The constructor only parses the URL; the driver alone knows every form and option.
    new mongoose.mongo.MongoClient(url);
    return true;
  } catch {
    return false;
  }
}

export function isRabbitUrl(url: string): boolean {
  try {
    return urlsOf(url).every(({ protocol }) => /^amqps?:$/.test(protocol));
  } catch {
    return false;
  }
}

export function isRedisUrl(url: string): boolean {
  try {
    const [first, ...others] = urlsOf(url);
    if (/^rediss?:$/.test(first.protocol)) return others.length === 0;
    if (clusterOptionsOf(url)) return true;
    const { name, db = 0 } = sentinelOptionsOf(url) ?? {};
    return Boolean(name) && Number.isInteger(db);
  } catch {
    return false;
  }
}

export type SentinelOptions = Omit<RedisOptions, 'replyMapping' | 'sentinels'> & {
  sentinels: { host: string; port: number }[];
};

/** @returns null when the URL names no Sentinels; ioredis then reads the URL itself. */
export function sentinelOptionsOf(url: string): SentinelOptions | null {
  if (!/^rediss?\+sentinel:/.test(url)) return null;
  const urls = urlsOf(url);
  const [{ protocol, pathname, username, password, searchParams }] = urls;
  const [, name = '', db] = pathname.split('/').map(decodeURIComponent);
  const [sentinelUsername, sentinelPassword] = ['sentinelUsername', 'sentinelPassword'].map((key) =>
    searchParams.get(key),
  );
  return {
    sentinels: urls.map(({ hostname, port }) => ({
      host: withoutBrackets(hostname),
      port: Number(port || 26_379),
    })),
    name,
    ...(db && { db: Number(db) }),
    ...(username && { username: decodeURIComponent(username) }),
    ...(password && { password: decodeURIComponent(password) }),
    ...(sentinelUsername && { sentinelUsername }),
    ...(sentinelPassword && { sentinelPassword }),
    ...(protocol === 'rediss+sentinel:' && { tls: {}, sentinelTLS: {}, enableTLSForSentinelMode: true }),
  };
}

export interface ClusterNodes {
  nodes: { host: string; port: number }[];
  redisOptions: Pick<RedisOptions, 'username' | 'password' | 'tls'>;
}

/** @returns null when the URL names no nodes of a Redis Cluster. */
export function clusterOptionsOf(url: string): ClusterNodes | null {
  if (!/^rediss?\+cluster:/.test(url)) return null;
  const urls = urlsOf(url);
  const [{ protocol, username, password }] = urls;
  return {
    nodes: urls.map(({ hostname, port }) => ({
      host: withoutBrackets(hostname),
      port: Number(port || 6_379),
    })),
    redisOptions: {
      ...(username && { username: decodeURIComponent(username) }),
      ...(password && { password: decodeURIComponent(password) }),
      ...(protocol === 'rediss+cluster:' && { tls: {} }),
    },
  };
}

/** The host of an IPv6 address in a URL. */
const withoutBrackets = (hostname: string) => hostname.replace(/^\[|\]$/g, '');
