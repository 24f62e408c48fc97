import { createHmac } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type IncomingHttpHeaders, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Webhook } from 'standardwebhooks';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import type { Delivery } from '../../insight/contract.ts';
import type { CloudEvent } from '../../log/schemas.ts';
import { waitUntil } from '../../ops/local/processes/process.mjs';
import { post } from '../../subscribers/webhooks/post.ts';
import { startSystem, type TestSystem } from '../support/harness.ts';

interface Received {
  headers: IncomingHttpHeaders;
  body: string;
  event: CloudEvent;
}

let system: TestSystem;
const servers: Server[] = [];
const webhooks: string[] = [];
const soon = { deadlineMs: 20_000 };

beforeAll(async () => {
  system = await startSystem({
    servers: 1,
    nginx: false,
    env: { SUBSCRIBERS: 'webhooks', WEBHOOK_TIMEOUT_MS: '300', WEBHOOK_RETRY_FIRST_MS: '1' },
  });
});
afterEach(async () => {
  for (const id of webhooks.splice(0)) await asAdmin('DELETE', `/${id}`);
  for (const server of servers.splice(0)) {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  }
});
afterAll(() => system.close());

const asAdmin = (method: string, path: string, body?: object) =>
  system.api(method, `/api/admin/webhooks${path}`, { token: system.adminToken, body });

/** A webhook endpoint that records deliveries and answers as told; 0 stands for no answer. */
async function openEndpoint(answer: () => number | { status: number; location: string } = () => 204) {
  const received: Received[] = [];
  const server = createServer(async (request, response) => {
    let body = '';
    for await (const chunk of request) body += chunk;
    received.push({ headers: request.headers, body, event: JSON.parse(body) });
    const answered = answer();
    const { status, location } = typeof answered === 'number' ? { status: answered, location: '' } : answered;
    if (status > 0) response.writeHead(status, location ? { Location: location } : {}).end();
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  servers.push(server);
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/events`, received };
}

async function addWebhook(url: string, types: string[]): Promise<{ id: string; secret: string }> {
  const { status, body } = await asAdmin('POST', '', { url, types });
  expect(status).toBe(201);
  webhooks.push(body.id);
  return body;
}

async function sell(): Promise<string> {
  const sale = await system.createSale({ stock: 1 });
  const token = system.buyerToken();
  const { body } = await system.buy(sale.id, token);
  await system.settled(body.orderId, token);
  return body.orderId;
}

const deliveriesOf = async (id: string): Promise<Delivery[]> =>
  (await asAdmin('GET', `/${id}/deliveries?limit=100`)).body.deliveries;

const delivers = (id: string, state: Delivery['state'], count = 1) =>
  waitUntil(
    async () => {
      const found = (await deliveriesOf(id)).filter((delivery) => delivery.state === state);
      return found.length >= count ? found : null;
    },
    { ...soon, what: `${count} deliveries are ${state}` },
  );

test('an endpoint receives the events it asked for, signed, and its secret is shown once', async () => {
  const { url, received } = await openEndpoint();
  const { id, secret } = await addWebhook(url, ['order.paid', 'sale.created']);
  const orderId = await sell();
  await waitUntil(() => received.length >= 2, { ...soon, what: 'two events arrive' });
  expect(received.map(({ event }) => event.type).sort()).toEqual(['order.paid', 'sale.created']);

  const paid = received.find(({ event }) => event.type === 'order.paid');
  expect(paid?.event).toMatchObject({ specversion: '1.0', subject: orderId, data: { orderId, quantity: 1 } });
  const { headers, body, event } = paid as Received;
  expect(headers).toMatchObject({
    'content-type': 'application/cloudevents+json',
    'webhook-id': event.id,
    traceparent: event.traceparent,
  });
  const timestamp = Number(headers['webhook-timestamp']);
  expect(Math.abs(timestamp - Date.now() / 1_000)).toBeLessThan(60);
  const key = Buffer.from(secret.slice('whsec_'.length), 'base64');
  const signed = createHmac('sha256', key).update(`${event.id}.${timestamp}.${body}`).digest('base64');
  expect(headers['webhook-signature']).toBe(`v1,${signed}`);
  expect(new Webhook(secret).verify(body, headers as Record<string, string>)).toEqual(event);
  expect(() => new Webhook(secret).verify(`${body} `, headers as Record<string, string>)).toThrow();

  const listed = await asAdmin('GET', '');
  expect(listed.body.webhooks).toMatchObject([{ id, url, types: ['order.paid', 'sale.created'] }]);
  expect(JSON.stringify(listed.body)).not.toContain(secret);
  await delivers(id, 'delivered', 2);
  expect((await deliveriesOf(id))[0]).toMatchObject({
    state: 'delivered',
    attempts: 1,
    status: 204,
    error: null,
  });
});

test('endpoints that fail or hang do not delay others, and missed deliveries can be sent again', async () => {
  let isMended = false;
  const [bad, mute, good] = [
    await openEndpoint(() => (isMended ? 200 : 500)),
    await openEndpoint(() => 0),
    await openEndpoint(),
  ];
  const [badId, muteId] = [
    (await addWebhook(bad.url, ['order.paid'])).id,
    (await addWebhook(mute.url, ['order.paid'])).id,
  ];
  await addWebhook(good.url, ['order.paid']);
  await sell();
  await waitUntil(() => good.received.length === 1, { ...soon, what: 'the good one has it' });
  expect(await delivers(badId, 'failed')).toMatchObject([
    { attempts: 7, status: 500, error: 'answered 500' },
  ]);
  expect(await delivers(muteId, 'failed')).toMatchObject([
    { attempts: 7, status: null, error: 'no answer in 300 ms' },
  ]);
  expect(new Set(bad.received.map(({ headers }) => headers['webhook-id'])).size).toBe(1);
  expect(good.received).toHaveLength(1);

  isMended = true;
  expect((await asAdmin('POST', `/${badId}/resend`)).body).toEqual({ resent: 1 });
  expect(await delivers(badId, 'delivered')).toMatchObject([{ attempts: 1, status: 200 }]);
});

test('a redirect is not followed', async () => {
  const inside = await openEndpoint();
  const outside = await openEndpoint(() => ({ status: 307, location: inside.url }));
  const { id } = await addWebhook(outside.url, ['order.paid']);
  await sell();
  expect(await delivers(id, 'failed')).toMatchObject([{ status: 307 }]);
  expect(inside.received).toEqual([]);
});

test('a new endpoint gets no earlier events, and a deleted one no later events', async () => {
  const [first, second] = [await openEndpoint(), await openEndpoint()];
  const { id } = await addWebhook(first.url, ['order.paid']);
  await sell();
  await waitUntil(() => first.received.length === 1, { ...soon, what: 'the first one has it' });
  await addWebhook(second.url, ['order.paid']);
  expect((await asAdmin('DELETE', `/${id}`)).status).toBe(204);
  await sell();
  await waitUntil(() => second.received.length === 1, { ...soon, what: 'the second one has the second' });
  expect(first.received).toHaveLength(1);
  expect((await asAdmin('GET', `/${id}/deliveries`)).status).toBe(404);
  expect((await asAdmin('DELETE', `/${id}`)).status).toBe(404);
});

describe('a refused request', () => {
  test.each([
    ['another protocol', { url: 'ftp://example.com/', types: ['order.paid'] }, 'url'],
    ['no URL', { url: 'example.com', types: ['order.paid'] }, 'url'],
    ['a password in it', { url: 'https://me:secret@example.com/', types: ['order.paid'] }, 'url'],
    ['no types', { url: 'https://example.com/', types: [] }, 'types'],
    ['an unknown type', { url: 'https://example.com/', types: ['order.lost'] }, 'types.0'],
  ])('a webhook with %s', async (_what, body, field) => {
    const answer = await asAdmin('POST', '', body);
    expect(answer.status).toBe(400);
    expect(answer.body.errors).toMatchObject([{ field }]);
  });

  test('a buyer who asks for webhooks', async () => {
    const token = system.buyerToken();
    expect((await system.api('GET', '/api/admin/webhooks', { token })).status).toBe(403);
  });

  test.each([
    '127.0.0.1',
    '10.1.2.3',
    '172.31.255.255',
    '192.168.1.1',
    '169.254.169.254',
    '100.64.0.1',
    '0.0.0.0',
    '255.255.255.255',
    '::1',
    '::',
    '::ffff:10.0.0.1',
    '64:ff9b::a00:1',
    'fd00::1',
    'fe80::1',
    '::7f00:1',
    '::ffff:0:a00:1',
    '2002:a00:1::1',
  ])('in production, a POST to the private address %s', async (address) => {
    const url = new URL(address.includes(':') ? `http://[${address}]/` : `http://${address}/`);
    const options = { timeoutMs: 10_000, privateAddresses: 'refused' } as const;
    await expect(post(url, '{}', {}, options)).rejects.toThrow('is a private address');
    url.protocol = 'https:';
    await expect(post(url, '{}', {}, options)).rejects.toThrow('is a private address');
  });

  test.each(['172.32.0.1', '[2fff::1]'])('but not one to the public address %s', async (host) => {
    const options = { timeoutMs: 1, privateAddresses: 'refused' } as const;
    await expect(post(new URL(`http://${host}/`), '{}', {}, options)).rejects.toThrow(
      /no answer in|ENETUNREACH|EHOSTUNREACH|EADDRNOTAVAIL/,
    );
  });

  test.each(['127.0.0.1', 'localhost', '[::1]', '0x7f.1', '2130706433'])(
    'in production, a POST to %s, which is our own network',
    async (host) => {
      const { url, received } = await openEndpoint();
      const target = new URL(url);
      target.hostname = host;
      const options = { timeoutMs: 1_000, privateAddresses: 'refused' } as const;
      await expect(post(target, '{}', {}, options)).rejects.toThrow('private address');
      expect(received).toEqual([]);
    },
  );
});
