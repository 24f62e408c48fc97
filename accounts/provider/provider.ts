import jwt, { type Algorithm } from 'jsonwebtoken';
import { LRUCache } from 'lru-cache';
import { allowInsecureRequests, ClientSecretPost, type Configuration, discovery, None } from 'openid-client';
import { z } from 'zod';
import { redisClock } from '../../runtime/clock.ts';
import { singleFlight } from '../../runtime/single-flight.ts';
import { type AccountRole, accountRole } from '../../sale/contract.ts';
import { openProviderKeys, ProviderAway } from './provider-keys.ts';

/** The shop's identity provider (OpenID Connect), as the settings `OIDC_…` name it. */
export interface ProviderOptions {
  issuer: string;
  /** Shown on the button of the sign-in. */
  name: string;
  /** Audience of the access tokens that the API accepts; empty: none. */
  audience: string;
  /** Empty: as the provider's own description says. */
  jwksUri: string;
  /** For the sign-in in the pages; empty: there is none. */
  clientId: string;
  clientSecret: string;
  /** Claim that names the person whose limits count; `a.b` is a field `b` of the claim `a`. */
  personClaim: string;
  /** Claim with the roles, one or a list; empty: nobody is staff by a token. */
  rolesClaim: string;
  timeoutMs: number;
  intervalMs: number;
}

/** Somebody whom the provider has identified. */
export interface ProviderIdentity {
  subject: string;
  /** The value of the person claim. */
  person: string;
  role: AccountRole;
  /** Only an address that the provider says is verified. */
  verifiedEmail: string | null;
  name: string | null;
}

/** No symmetric algorithm, because the public key would be its secret, and no `none`. */
const algorithms: Algorithm[] = [
  'RS256',
  'RS384',
  'RS512',
  'PS256',
  'PS384',
  'PS512',
  'ES256',
  'ES384',
  'ES512',
];
/** How far the clocks of the provider and the shop may differ. */
const clockToleranceSeconds = 5;
/** Revocations are known for this long, so that a token that lives longer is refused: less than MongoDB keeps them for. */
export const providerTokenMaxSeconds = 86_400;
const rememberedTokens = 20_000;

const claims = z.looseObject({
  sub: z.string().min(1).max(255),
  exp: z.number(),
  iat: z.number(),
  email: z.string().max(254).optional().catch(undefined),
  email_verified: z.boolean().optional().catch(undefined),
  name: z.string().optional().catch(undefined),
});
type Claims = z.infer<typeof claims>;

export interface Provider {
  readonly issuer: string;
  readonly name: string;
  /**
   * Verifies an access token of the provider.
   * @returns null when it is not one, is forged, expired, for another audience or valid for more than a day.
   * @throws ProviderAway when the provider has to be asked for the token's key and does not answer.
   */
  verify(token: string): Promise<(ProviderIdentity & { iat: number; expiresAtMs: number }) | null>;
  /** @throws Error when the claims of an ID token do not name a person. */
  identityOf(idTokenClaims: object): ProviderIdentity;
  /** The provider's description of itself, with our client. @throws ProviderAway */
  configure(): Promise<Configuration>;
}

export function openIdentityProvider(options: ProviderOptions): Provider {
  const { issuer, audience, timeoutMs } = options;
  let configured: Configuration | null = null;
  const discover = singleFlight(async () => {
    try {
      const client = options.clientId || 'stampede';
      const authentication = options.clientSecret ? ClientSecretPost(options.clientSecret) : None();
      configured = await discovery(new URL(issuer), client, undefined, authentication, {
        timeout: timeoutMs / 1_000,
        // The operator chose plain HTTP, for a provider on the same machine or network.
        execute: issuer.startsWith('http:') ? [allowInsecureRequests] : [],
      });
      return configured;
    } catch (error) {
      throw new ProviderAway('The identity provider cannot be reached', { cause: error });
    }
  });
  const configure = async () => configured ?? (await discover(''));

  const keyOf = openProviderKeys({
    findUri: async () => options.jwksUri || ((await configure()).serverMetadata().jwks_uri ?? ''),
    timeoutMs,
    intervalMs: options.intervalMs,
  });
  const verified = new LRUCache<string, Claims>({ max: rememberedTokens });

  async function claimsOf(token: string): Promise<Claims | null> {
    const known = verified.get(token);
    if (known) return known;
    const decoded = jwt.decode(token, { complete: true });
    const { kid, alg } = decoded?.header ?? {};
    const isOurs = typeof decoded?.payload === 'object' && decoded.payload.iss === issuer;
    if (!isOurs || typeof kid !== 'string' || !algorithms.some((one) => one === alg)) return null;
    const key = await keyOf(kid);
    if (!key) return null;
    try {
      const found = claims.parse(
        jwt.verify(token, key, {
          algorithms,
          issuer,
          audience,
          clockTimestamp: Math.floor(redisClock.now().getTime() / 1_000),
          clockTolerance: clockToleranceSeconds,
        }),
      );
      if (found.exp - found.iat > providerTokenMaxSeconds) return null;
      verified.set(token, found);
      return found;
    } catch {
      return null;
    }
  }

  function identityOf(found: Claims): ProviderIdentity {
    const person = valueAt(found, options.personClaim);
    if (typeof person !== 'string' || person === '')
      throw new Error(`The token has no claim ${options.personClaim}, which OIDC_PERSON_CLAIM names`);
    return {
      subject: found.sub,
      person,
      role: roleIn(options.rolesClaim && valueAt(found, options.rolesClaim)),
      verifiedEmail: found.email_verified === true ? (found.email ?? null) : null,
      name: found.name ?? null,
    };
  }

  return {
    issuer,
    name: options.name,
    async verify(token) {
      if (audience === '') return null;
      const found = await claimsOf(token);
      if (!found) return null;
      const expiresAtMs = found.exp * 1_000;
      if (expiresAtMs <= redisClock.now().getTime() - clockToleranceSeconds * 1_000) return null;
      try {
        return { ...identityOf(found), iat: found.iat, expiresAtMs };
      } catch {
        return null;
      }
    },
    identityOf: (idTokenClaims) => identityOf(claims.parse(idTokenClaims)),
    configure,
  };
}

function valueAt(found: object, path: string): unknown {
  let value: unknown = found;
  // The claim itself may have dots in its name, as URLs have.
  if (Object.hasOwn(found, path)) return (found as Record<string, unknown>)[path];
  for (const name of path.split('.')) {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, name)) return undefined;
    value = (value as Record<string, unknown>)[name];
  }
  return value;
}

/** The last of our roles that is among these values, which are ordered by what they allow. */
function roleIn(values: unknown): AccountRole {
  const listed = Array.isArray(values) ? values : [values];
  return accountRole.options.findLast((role) => listed.includes(role)) ?? 'buyer';
}
