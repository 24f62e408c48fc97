/**
 * A real OpenID provider as a process of its own: `PROVIDER` in its environment has its port, client, redirect URI and
 * private keys (JWKS) as JSON. It signs anybody in under the login that is typed.
 */
// @ts-expect-error The package has no types.
import { Provider } from 'oidc-provider';

const { port, clientId, clientSecret, redirectUri, audience, jwks } = JSON.parse(process.env.PROVIDER ?? '');
const issuer = `http://localhost:${port}`;

const provider = new Provider(issuer, {
  clients: [
    {
      client_id: clientId,
      client_secret: clientSecret,
      redirect_uris: [redirectUri],
      grant_types: ['authorization_code', 'client_credentials'],
      response_types: ['code'],
      token_endpoint_auth_method: 'client_secret_post',
    },
  ],
  jwks,
  pkce: { required: () => true },
  conformIdTokenClaims: false,
  claims: { openid: ['sub', 'roles', 'person'], email: ['email', 'email_verified'], profile: ['name'] },
  findAccount: (/** @type {unknown} */ _context, /** @type {string} */ login) => ({
    accountId: login,
    claims: () => ({
      sub: login,
      name: `Name of ${login}`,
      email: `${login}@example.com`,
      email_verified: true,
      person: `person-of-${login}`,
      roles: login.startsWith('boss') ? ['admin'] : [],
    }),
  }),
  features: {
    clientCredentials: { enabled: true },
    resourceIndicators: {
      enabled: true,
      getResourceServerInfo: () => ({
        scope: '',
        audience,
        accessTokenFormat: 'jwt',
        jwt: { sign: { alg: 'RS256' } },
      }),
    },
  },
  extraTokenClaims: () => ({ person: 'person-of-a-server' }),
});
provider.listen(port, 'localhost');
