import { randomBytes } from 'node:crypto';
import { nanoid } from 'nanoid';
import type { ApiKey, ApiScope } from '../insight/contract.ts';
import { mongoClock } from '../runtime/clock.ts';
import { transact } from '../runtime/databases/transact.ts';
import { type Collections, insertWithin } from '../store/collections.ts';
import type { ApiKeyRecord } from '../store/staff-collections.ts';
import { hashOfSecret } from './secret.ts';
import { appendStaffEntry, type By } from './staff-log.ts';

/**
 * An API key, `sk_` and 256 random bits, identifies a server of the shop. Only its hash is stored. It is looked up at each
 * request, so that a key that was revoked is refused by every instance at once.
 */
const keyFormat = /^sk_[\w-]{43}$/;
const shownCharacters = 9;

export const isApiKey = (token: string) => token.startsWith('sk_');

const maxKeys = 100;

/** @returns the key itself, which is never shown again; `too_many` when there are 100 already. */
export async function createApiKey(
  collections: Collections,
  { name, scopes }: { name: string; scopes: ApiScope[] },
  by: By,
): Promise<(ApiKey & { key: string }) | 'too_many'> {
  const key = `sk_${randomBytes(32).toString('base64url')}`;
  const record: ApiKeyRecord = {
    _id: nanoid(),
    name,
    hash: hashOfSecret(key),
    prefix: key.slice(0, shownCharacters),
    scopes: [...new Set(scopes)],
    createdAt: mongoClock.now(),
    lastUsedAt: null,
  };
  const after = { name, prefix: record.prefix, scopes: record.scopes };
  const entry = { ...by, action: 'api_key.created', subject: { kind: 'api_key', id: record._id }, after };
  const isAdded = await insertWithin(collections, collections.apiKeys, record, maxKeys, (session) =>
    appendStaffEntry(collections, session, entry),
  );
  return isAdded ? { ...apiKeyOf(record), key } : 'too_many';
}

/** All keys, the oldest first. */
export async function listApiKeys({ apiKeys }: Collections): Promise<ApiKey[]> {
  return (await apiKeys.find().sort({ createdAt: 1 }).toArray()).map(apiKeyOf);
}

/** @returns whether there was such a key. */
export async function revokeApiKey(collections: Collections, id: string, by: By): Promise<boolean> {
  return await transact(collections.connection, async (session) => {
    const record = await collections.apiKeys.findOneAndDelete({ _id: id }, { session });
    if (!record) return false;
    const { name, prefix, scopes } = record;
    const entry = { ...by, action: 'api_key.revoked', subject: { kind: 'api_key', id } };
    await appendStaffEntry(collections, session, { ...entry, before: { name, prefix, scopes } });
    return true;
  });
}

const usedEveryMs = 60_000;

/** Finds a key, and notes that it is used. @returns null when it is unknown or was revoked. */
export async function useApiKey({ apiKeys }: Collections, key: string): Promise<ApiKeyRecord | null> {
  if (!keyFormat.test(key)) return null;
  const record = await apiKeys.findOne({ hash: hashOfSecret(key) });
  const now = mongoClock.now();
  const usedBefore = new Date(now.getTime() - usedEveryMs);
  if (record && (record.lastUsedAt ?? new Date(0)) < usedBefore) {
    // The filter repeats the condition, so that requests at once write it once.
    const isOutdated = { $or: [{ lastUsedAt: null }, { lastUsedAt: { $lt: usedBefore } }] };
    await apiKeys.updateOne({ _id: record._id, ...isOutdated }, { $set: { lastUsedAt: now } });
  }
  return record;
}

function apiKeyOf({ _id, name, prefix, scopes, createdAt, lastUsedAt }: ApiKeyRecord): ApiKey {
  const times = { createdAt: createdAt.toISOString(), lastUsedAt: lastUsedAt?.toISOString() ?? null };
  return { id: _id, name, prefix, scopes, ...times };
}
