import { createHash, generateKeyPairSync, randomBytes } from 'node:crypto';
import type { Server } from 'node:http';
import express, { type Request, type Response } from 'express';
import jwt from 'jsonwebtoken';
import { Webhook } from 'standardwebhooks';
import type { Order } from '../../sale/contract.ts';
import { checkoutPage, homePage, ordersPage, signInPage, textOf } from './pages.ts';

/**
 * A small shop with Stampede behind it. It has its own customers and signs them in, sells a drop by `<stampede-buy>`, takes the
 * money in its own checkout, and hears of every order by webhook. Everything is in memory: a real shop has a database where
 * this one has a Map. It talks to Stampede only in the ways that any shop can: two script tags, HTTP, and webhooks.
 */

export interface ShopOptions {
  /** Where the shop is reached. */
  url: string;
  port: number;
  /** Where Stampede is reached. */
  stampedeUrl: string;
  /** Stampede's OIDC_AUDIENCE. */
  audience: string;
}

/** What the shop gets when it was made known to Stampede. */
export interface Connection {
  saleId: string;
  /** With the scope `payments:write`. */
  apiKey: string;
  webhookSecret: string;
}

/** An order that is paid, which the shop has to send. */
interface Parcel {
  orderId: string;
  text: string;
}

const tokenSeconds = 600;
const cookie = 'shop_session';

/** @returns the server, and a function that connects the shop to Stampede once it runs. */
export async function openShop({ url, port, stampedeUrl, audience }: ShopOptions): Promise<{
  server: Server;
  connect(connection: Connection): void;
}> {
  const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: 2_048 });
  const keyId = createHash('sha256')
    .update(publicKey.export({ type: 'spki', format: 'der' }))
    .digest('hex')
    .slice(0, 16);
  /** E-mail addresses by the secret in the customer's cookie. */
  const sessions = new Map<string, string>();
  const parcels = new Map<string, Parcel>();
  let connection: Connection | null = null;

  const customerOf = (request: Request): string | null => {
    const [, secret = ''] = /(?:^|; )shop_session=([\w-]+)/.exec(request.headers.cookie ?? '') ?? [];
    return sessions.get(secret) ?? null;
  };
  /** The customer's address is the subject, by which Stampede counts the limit of each person. */
  const tokenFor = (email: string) =>
    jwt.sign({ email, email_verified: true, name: email.split('@')[0] }, privateKey, {
      algorithm: 'RS256',
      keyid: keyId,
      issuer: url,
      audience,
      subject: email,
      expiresIn: tokenSeconds,
    });
  /** @returns null when Stampede cannot be reached. */
  const ask = (method: string, path: string, token = '', body?: object) =>
    fetch(stampedeUrl + path, {
      method,
      headers: { Authorization: `Bearer ${token}`, ...(body && { 'Content-Type': 'application/json' }) },
      ...(body && { body: JSON.stringify(body) }),
      signal: AbortSignal.timeout(10_000),
    }).catch(() => null);
  /** Asked with the customer's own token, Stampede gives nobody another one's order. */
  async function orderOf(customer: string | null, orderId: string): Promise<Order | null> {
    if (!customer || !/^[\w-]{8,64}$/.test(orderId)) return null;
    const answer = await ask('GET', `/api/orders/${orderId}`, tokenFor(customer));
    return answer?.ok ? ((await answer.json()) as Order) : null;
  }
  const send = (response: Response, html: string) => response.type('html').send(html);

  const app = express();
  app.disable('x-powered-by');

  app.get('/', (request, response) =>
    send(
      response,
      homePage({ stampedeUrl, saleId: connection?.saleId ?? '', customer: customerOf(request) }),
    ),
  );

  app.get('/sign-in', (_request, response) => send(response, signInPage()));
  app.post('/sign-in', express.urlencoded({ extended: false }), (request, response) => {
    const email = String(request.body?.email ?? '')
      .trim()
      .toLowerCase();
    if (!/^[^@\s]+@[^@\s]+$/.test(email))
      return void send(response.status(400), signInPage('Type an e-mail address.'));
    // A real shop checks a password here.
    const secret = randomBytes(24).toString('base64url');
    sessions.set(secret, email);
    response.cookie(cookie, secret, { httpOnly: true, sameSite: 'lax' }).redirect(303, '/');
  });

  // 1. The shop is the identity provider: its pages get a short-lived token, and Stampede reads the key with which it is signed.
  app.get('/token', (request, response) => {
    const email = customerOf(request);
    if (!email) return void response.status(401).json({ token: null });
    response.set('Cache-Control', 'no-store').json({ token: tokenFor(email) });
  });
  app.get('/jwks.json', (_request, response) => {
    const key = { ...publicKey.export({ format: 'jwk' }), kid: keyId, use: 'sig', alg: 'RS256' };
    response.json({ keys: [key] });
  });

  // 2. The checkout, to which EXTERNAL_CHECKOUT_URL sends buyers.
  app.get('/checkout', async (request, response) => {
    const order = await orderOf(customerOf(request), String(request.query.order ?? ''));
    send(response.status(order ? 200 : 404), checkoutPage(order));
  });
  app.post('/checkout', express.urlencoded({ extended: false }), async (request, response) => {
    const order = await orderOf(customerOf(request), String(request.body?.order ?? ''));
    if (order?.status !== 'held') return void send(response.status(409), checkoutPage(order));
    // Here a real shop captures the money. Its own number of the payment makes the report safe to repeat.
    const reference = `shop-${order.id}`;
    const { amount, currency } = order;
    const answer = await ask('POST', `/api/orders/${order.id}/external-payments`, connection?.apiKey, {
      reference,
      amount,
      currency,
    });
    if (answer?.ok) return void response.redirect(303, '/orders');
    // 409: the order is not held any more, so a real shop gives the money back. Anything else is reported again later.
    const said = answer?.status === 409 ? 'It was too late: you get your money back.' : 'Please try again.';
    send(response.status(answer?.status ?? 503), checkoutPage(order, said));
  });

  // 3. Stampede tells what is paid. It may tell it twice: the second time changes nothing.
  app.post('/webhooks/stampede', express.raw({ type: () => true, limit: '100kb' }), (request, response) => {
    try {
      const headers = request.headers as Record<string, string>;
      const event = new Webhook(connection?.webhookSecret ?? '').verify(request.body, headers) as OrderEvent;
      const { orderId, lines } = event.data;
      if (event.type === 'order.paid') parcels.set(orderId, { orderId, text: textOf(lines) });
      if (event.type === 'order.cancelled') parcels.delete(orderId);
    } catch {
      return void response.status(400).end();
    }
    response.status(204).end();
  });

  app.get('/orders', async (request, response) => {
    const customer = customerOf(request);
    const answer = customer ? await ask('GET', '/api/orders', tokenFor(customer)) : null;
    const page = answer?.ok ? ((await answer.json()) as { orders: Order[] }) : null;
    send(response, ordersPage(page?.orders ?? [], new Set(parcels.keys())));
  });

  const server = app.listen(port, '127.0.0.1');
  await new Promise<void>((resolve, reject) => server.once('listening', resolve).once('error', reject));
  return {
    server,
    connect(made) {
      connection = made;
    },
  };
}

/** The part of a webhook's CloudEvent that the shop reads. */
interface OrderEvent {
  type: string;
  data: { orderId: string; lines: Order['lines'] };
}
