/**
 * `npm run example-shop`: a small shop with Stampede behind it, on http://127.0.0.1:4000 or the next free port. Both keep
 * their data in a temporary folder until Ctrl+C.
 *
 *   MONGO_URL    your own MongoDB replica set, with the database name; by default one is started
 */
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createUser } from '../../accounts/user.ts';
import { createClient } from '../../clients/typescript/client.ts';
import { openSystem } from '../../commands/system.ts';
import { freePortsFrom } from '../../ops/local/processes/port.mjs';
import { findProgram } from '../../ops/local/programs/program.mjs';
import { startScratchSystem } from '../../ops/local/scratch-system.ts';
import { openShop } from './shop.ts';

const firstPort = 4_000;
const audience = 'stampede';
const hourMs = 3_600_000;

const [port = 0] = await freePortsFrom(firstPort, 1);
const url = `http://127.0.0.1:${port}`;
console.log('Starting MongoDB, Redis, Stampede and the shop…');
const stampede = await startScratchSystem({
  ...(process.env.MONGO_URL && { mongoUrl: process.env.MONGO_URL }),
  servers: 1,
  nginx: findProgram('nginx') !== null,
  env: {
    // The shop's customers are Stampede's buyers.
    OIDC_ISSUER: url,
    OIDC_AUDIENCE: audience,
    OIDC_JWKS_URI: `${url}/jwks.json`,
    // The shop's pages may call Stampede.
    ALLOWED_ORIGINS: url,
    // The shop's checkout takes the money.
    PAYMENT_PROVIDER: 'external',
    EXTERNAL_CHECKOUT_URL: `${url}/checkout?order={orderId}`,
  },
});
const shop = await openShop({ url, port, stampedeUrl: stampede.url, audience });

// The first admin, as `npm run admin -- create` makes one.
const email = 'admin@example.com';
const password = randomBytes(15).toString('base64url');
const { collections, config, close } = await openSystem(
  { ...stampede.env, BASE_URL: stampede.url },
  { logLevel: 'silent' },
);
await createUser(
  collections,
  { email, password, name: 'Admin' },
  { bcryptCost: config.BCRYPT_COST, role: 'admin' },
);
await close();

/** @throws Error when the request was refused. */
function made<Data>({ data, error }: { data?: Data; error?: unknown }): Data {
  if (!data) throw new Error(JSON.stringify(error));
  return data;
}
const { POST: post } = createClient({ url: stampede.url });
const { token } = made(await post('/api/sessions', { body: { email, password } }));

// What the admin does once, here or in the control room: a key for the shop's server, and a webhook.
const admin = createClient({ url: stampede.url, token });
const { key } = made(
  await admin.POST('/api/admin/api-keys', {
    body: { name: 'The shop', scopes: ['sales:write', 'payments:write'] },
  }),
);
const { secret } = made(
  await admin.POST('/api/admin/webhooks', {
    body: { url: `${url}/webhooks/stampede`, types: ['order.paid', 'order.cancelled'] },
  }),
);

// What the shop's server does with its key.
const server = createClient({ url: stampede.url, token: key });
const product = made(await server.POST('/api/products', { body: { name: 'A brass lamp' } }));
const sale = made(
  await server.POST('/api/sales', {
    body: {
      items: ['Small', 'Medium', 'Large'].map((label, n) => ({
        productId: product.id,
        label,
        price: { amount: 4_900 + n * 1_000, currency: 'EUR' },
        stock: 10,
      })),
      limitPerBuyer: 2,
      paymentWindowSeconds: 600,
      opensAt: new Date().toISOString(),
      closesAt: new Date(Date.now() + 24 * hourMs).toISOString(),
    },
  }),
);
shop.connect({ saleId: sale.id, apiKey: key, webhookSecret: secret });

console.log(`
The shop      ${url}
Stampede      ${stampede.url}/sales/${sale.id}
Sign in with any address, buy, pay, and look at your orders. docs/YOUR-SHOP.md explains each step; for its commands:

export SHOP=${url} STAMPEDE=${stampede.url} SALE=${sale.id}
export ADMIN_EMAIL=${email} ADMIN_PASSWORD=${password} KEY=${key}

Ctrl+C ends it.`);

await Promise.race(['SIGINT', 'SIGTERM'].map((signal) => once(process, signal)));
shop.server.close();
shop.server.closeAllConnections();
await stampede.close();
