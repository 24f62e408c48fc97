import { LRUCache } from 'lru-cache';
import type { AliasDomains } from '../accounts/email-address.ts';
import type { Provider } from '../accounts/provider/provider.ts';
import { findOrAddProviderAccount } from '../accounts/provider/provider-account.ts';
import type { Account } from '../accounts/user.ts';
import type { Collections } from '../store/collections.ts';
import type { Identity, Tokens } from './http/identity/tokens.ts';

/** The way in with access tokens of the shop's identity provider. */
export interface ProviderAccess {
  /**
   * @returns null when the token is not the provider's, or is not valid.
   * @throws ProviderAway when that cannot be told now.
   */
  identify(token: string): Promise<Identity | null>;
}

/** An account is read again after this time; until then a request costs no read of MongoDB. */
const rememberedMs = 600_000;
const rememberedAccounts = 20_000;

export function openProviderAccess(
  provider: Provider,
  collections: Collections,
  tokens: Pick<Tokens, 'isRevoked'>,
  aliasDomains: AliasDomains,
): ProviderAccess {
  const accounts = new LRUCache<string, Account>({ max: rememberedAccounts, ttl: rememberedMs });
  return {
    async identify(token) {
      const theirs = await provider.verify(token);
      if (!theirs) return null;
      const { subject, role, verifiedEmail, iat } = theirs;
      const { issuer } = provider;
      const account =
        accounts.get(subject) ??
        (await findOrAddProviderAccount(collections, theirs, { issuer, aliasDomains }));
      accounts.set(subject, account, { noUpdateTTL: true });
      const { user, personId } = account;
      if (tokens.isRevoked(user.id, iat)) return null;
      const emailVerified = verifiedEmail !== null || user.emailVerified === true;
      return { userId: user.id, personId, role, emailVerified, sessionId: undefined };
    },
  };
}
