import { createHmac } from 'node:crypto';
import { mongoClock } from '../runtime/clock.ts';
import { type Collections, isDuplicateKey } from '../store/collections.ts';
import { readSecret } from './person.ts';

/**
 * The networks from which accounts signed in, so that staff can see which buyers of a sale share one. Only a keyed hash of a
 * network is stored, and only for 30 days. It is stored at sign-ins and renewals of sessions rather than with purchases,
 * because a purchase has no time for it.
 */
const secretId = 'network';
/** Cached, because the key never changes and every sign-in needs it. */
const keys = new WeakMap<Collections, Buffer>();

/** What is stored of a network. */
export async function networkKeyOf(collections: Collections, network: string): Promise<string> {
  const key = keys.get(collections) ?? (await readSecret(collections, secretId));
  keys.set(collections, key);
  return createHmac('sha256', key).update(network).digest('base64url').slice(0, 22);
}

/** @param network the client's IPv4 address, or the /64 network of its IPv6 address. */
export async function rememberNetwork(
  collections: Collections,
  userId: string,
  network: string,
): Promise<void> {
  if (network === '') return;
  const networkKey = await networkKeyOf(collections, network);
  const seen = { $set: { userId, networkKey, seenAt: mongoClock.now() } };
  try {
    await collections.accountNetworks.updateOne({ _id: `${userId}:${networkKey}` }, seen, { upsert: true });
  } catch (error) {
    // A request of the same moment inserted it.
    if (!isDuplicateKey(error)) throw error;
  }
}
