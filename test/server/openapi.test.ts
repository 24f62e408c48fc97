import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Validator } from '@seriousme/openapi-schema-validator';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createClient } from '../../clients/typescript/client.ts';
import { ROOT } from '../../ops/local/folders.mjs';
import type { Route } from '../../server/http/route.ts';
import { apiRoutes } from '../../server/routes/routes.ts';
import type { Shop } from '../../server/shop.ts';
import { openBrowser } from '../support/browser.ts';
import { type ApiAnswer, startSystem, type TestSystem } from '../support/harness.ts';

interface Response {
  content?: Record<string, { schema?: object }>;
  headers?: Record<string, object>;
}
interface OpenApi {
  openapi: string;
  paths: Record<string, Record<string, { responses: Record<string, Response> }>>;
  components: { schemas: object };
}

let system: TestSystem;
let document: OpenApi;
beforeAll(async () => {
  system = await startSystem({ servers: 1, nginx: false });
  document = (await system.api<OpenApi>('GET', '/openapi.json')).body;
});
afterAll(() => system.close());

const routes = apiRoutes({} as Shop, () => null);
const pathOf = ({ path }: { path: string }) => path.replace(/:(\w+)/g, '{$1}');
const nameOf = (route: Route) => `${route.method.toUpperCase()} ${pathOf(route)}`;

test('the document contains exactly the routes', () => {
  const documented = Object.entries(document.paths).flatMap(([path, operations]) =>
    Object.keys(operations).map((method) => `${method.toUpperCase()} ${path}`),
  );
  const probes = ['GET /healthz', 'GET /readyz'];
  expect(documented.sort()).toEqual([...routes.map(nameOf), ...probes].sort());
  for (const route of routes) {
    const described = document.paths[pathOf(route)]?.[route.method];
    expect(described, nameOf(route)).toMatchObject({ operationId: expect.any(String) });
  }
});

test('the document is OpenAPI 3.1', async () => {
  expect(document.openapi).toMatch(/^3\.1\./);
  const { valid, errors } = await new Validator().validate({ ...document });
  expect(errors).toBeUndefined();
  expect(valid).toBe(true);
});

test('the types of the TypeScript client are made from this document (else: npm run client), and it buys', async () => {
  const schema = readFileSync(join(ROOT, 'clients/typescript/schema.ts'), 'utf8');
  const hash = createHash('sha256').update(JSON.stringify(document)).digest('hex');
  expect(schema.slice(0, schema.indexOf('\n'))).toContain(hash);

  const { id } = await system.createSale({ stock: 3, limitPerBuyer: 2 });
  const client = createClient({ url: system.url, token: async () => system.buyerToken('typed') });
  const { data: sale } = await client.GET('/api/sales/{id}', { params: { path: { id } } });
  expect(sale?.items[0]?.stock).toBe(3);
  const buy = () =>
    client.POST('/api/sales/{id}/purchases', {
      params: { path: { id }, header: { 'Idempotency-Key': 'typed', Prefer: 'wait=10' } },
      body: { quantity: 2 },
    });
  const [bought, again] = [await buy(), await buy()];
  expect(bought.response.status).toBeLessThan(203);
  expect(again.data).toBeDefined();
  const { data: list } = await client.GET('/api/orders');
  expect(list?.orders).toMatchObject([{ quantity: 2, saleId: id }]);
  const { error } = await client.POST('/api/sales/{id}/purchases', {
    params: { path: { id } },
    body: { quantity: 1 },
  });
  expect(error).toMatchObject({ type: '/problems/over-limit', status: 409 });
});

test('answers match the document', async () => {
  const { email, password, token } = await system.signUp();
  const sale = await system.createSale({ stock: 2 });
  const later = await system.createSale({ opensAt: new Date(Date.now() + 60_000) });
  const asBuyer = { token };
  const asAdmin = { token: system.adminToken };
  const follow = async (method: string, path: string, of: string, request = {}) =>
    requireDescribed(of, method, await system.api(method, path, request));

  const json = (body: object) => ({ body });
  await follow('POST', '/api/sessions', '/api/sessions', json({ email, password }));
  await follow('POST', '/api/sessions', '/api/sessions', json({ email, password: 'not this one' }));
  await follow('POST', '/api/users', '/api/users', json({ email, password, name: 'Again' }));
  await follow('POST', '/api/users', '/api/users', json({ email: 'no address' }));
  await follow('POST', '/api/visitors', '/api/visitors');
  await follow('GET', '/api/sales', '/api/sales');
  await follow('GET', `/api/sales/${sale.id}`, '/api/sales/{id}');
  await follow('GET', '/api/sales/no-such-sale', '/api/sales/{id}');
  const purchases = '/api/sales/{id}/purchases';
  for (const [id, quantity] of [
    [sale.id, 1],
    [sale.id, 3],
    [later.id, 1],
    ['no-such-sale', 1],
    [sale.id, 0],
  ] as const) {
    await follow('POST', `/api/sales/${id}/purchases`, purchases, { ...asBuyer, ...json({ quantity }) });
  }
  await follow('POST', `/api/sales/${sale.id}/purchases`, purchases, json({ quantity: 1 }));
  const waiting = await system.createSale();
  const headers = { Prefer: 'wait=10' };
  const waited = { token: system.buyerToken(), headers, ...json({ quantity: 1 }) };
  await follow('POST', `/api/sales/${waiting.id}/purchases`, purchases, waited);
  await system.quiet();
  await follow('GET', '/api/orders', '/api/orders', asBuyer);
  const [order] = (await system.api('GET', '/api/orders', asBuyer)).body.orders;
  await follow('GET', `/api/orders/${order.id}`, '/api/orders/{id}', asBuyer);
  await follow('POST', `/api/orders/${order.id}/payment`, '/api/orders/{id}/payment', asBuyer);
  await follow('DELETE', `/api/orders/${order.id}`, '/api/orders/{id}', asBuyer);
  await follow('GET', '/api/account/export', '/api/account/export', asBuyer);
  const desk = '/api/admin/orders';
  await follow('GET', `${desk}/${order.id}`, `${desk}/{id}`, asAdmin);
  await follow('GET', `${desk}/no-such-order`, `${desk}/{id}`, asAdmin);
  await follow('POST', `${desk}/${order.id}/notes`, `${desk}/{id}/notes`, {
    ...asAdmin,
    ...json({ text: 'a' }),
  });
  await follow('POST', `${desk}/${order.id}/mail`, `${desk}/{id}/mail`, { ...asAdmin, ...json({}) });
  const why = { reason: 'damaged' };
  const one = `${desk}/${order.id}/cancellation`;
  await follow('POST', one, `${desk}/{id}/cancellation`, { ...asAdmin, ...json(why) });
  const many = json({ ...why, orderIds: [order.id] });
  await follow('POST', '/api/admin/cancellations', '/api/admin/cancellations', { ...asAdmin, ...many });
  const [suspects, inDocument] = [`/api/admin/sales/${sale.id}/suspects`, '/api/admin/sales/{id}/suspects'];
  await follow('POST', suspects, inDocument, { ...asAdmin, ...json({ minBuyers: 2 }) });
  await follow('GET', suspects, inDocument, asAdmin);
  const cleared = { ...asAdmin, ...json({ orderIds: [order.id] }) };
  await follow('POST', `${suspects}/clearance`, `${inDocument}/clearance`, cleared);
  const cancelled = { ...asAdmin, ...json(why) };
  await follow('POST', `${suspects}/cancellation`, `${inDocument}/cancellation`, cancelled);
  await follow('GET', '/api/admin/overview', '/api/admin/overview', asAdmin);
  await follow('GET', '/api/admin/overview', '/api/admin/overview', asBuyer);
  await follow('GET', '/api/admin/live', '/api/admin/live', asAdmin);
  await follow('GET', '/api/admin/orders', '/api/admin/orders', asAdmin);
  await follow('GET', '/api/admin/products', '/api/admin/products', asAdmin);
  await follow('GET', `/api/admin/sales/${sale.id}/report`, '/api/admin/sales/{id}/report', asAdmin);
  await follow('GET', '/api/admin/dead-letters', '/api/admin/dead-letters', asAdmin);
  await follow('GET', `/api/admin/sales/${sale.id}/minutes`, '/api/admin/sales/{id}/minutes', asAdmin);
  await follow('GET', '/api/admin/mails', '/api/admin/mails', asAdmin);
  await follow('POST', '/api/admin/mails/resend', '/api/admin/mails/resend', asAdmin);
  await follow('POST', '/api/admin/mails/a:1:0/resend', '/api/admin/mails/{id}/resend', asAdmin);
  const asDraft = {
    ...asAdmin,
    body: {
      ...{ draft: true, productId: sale.product.id, price: sale.price, stock: 1 },
      ...{ opensAt: sale.opensAt, closesAt: sale.closesAt },
    },
  };
  await follow('POST', '/api/sales', '/api/sales', asDraft);
  await follow('GET', '/api/admin/drafts', '/api/admin/drafts', asAdmin);
  const [draft] = (await system.api('GET', '/api/admin/drafts', asAdmin)).body.sales;
  await follow('GET', `/api/sales/${draft.id}`, '/api/sales/{id}', asAdmin);
  const duplicates = '/api/sales/{id}/duplicates';
  await follow('POST', `/api/sales/${draft.id}/duplicates`, duplicates, asAdmin);
  await follow('POST', `/api/sales/${draft.id}/publication`, '/api/sales/{id}/publication', asAdmin);
  await follow('PATCH', `/api/sales/${draft.id}`, '/api/sales/{id}', {
    ...asAdmin,
    ...json({ addStock: 1 }),
  });
  await follow('DELETE', `/api/sales/${draft.id}`, '/api/sales/{id}', asAdmin);
  await follow('POST', `/api/sales/${draft.id}/call-off`, '/api/sales/{id}/call-off', asAdmin);
  await follow('GET', '/schemas/order.paid/1', '/schemas/{type}/1');
  const webhooks = '/api/admin/webhooks';
  const endpoint = { url: 'https://example.com/events', types: ['sale.created'] };
  await follow('POST', webhooks, webhooks, { ...asAdmin, body: endpoint });
  await follow('GET', webhooks, webhooks, asAdmin);
  const [{ id }] = (await system.api('GET', webhooks, asAdmin)).body.webhooks;
  await follow('GET', `${webhooks}/${id}/deliveries`, `${webhooks}/{id}/deliveries`, asAdmin);
  await follow('POST', `${webhooks}/${id}/resend`, `${webhooks}/{id}/resend`, asAdmin);
  await follow('DELETE', `${webhooks}/${id}`, `${webhooks}/{id}`, asAdmin);
  await follow('GET', '/api/admin/staff-log', '/api/admin/staff-log', asAdmin);
  const [staff, invitations, keys] = [
    '/api/admin/staff',
    '/api/admin/staff-invitations',
    '/api/admin/api-keys',
  ];
  const invitation = { ...asAdmin, ...json({ email: 'ann@example.com', role: 'desk' }) };
  await follow('POST', invitations, invitations, invitation);
  await follow('GET', staff, staff, asAdmin);
  const { body: invited } = await system.api('POST', invitations, invitation);
  const answer = json({ token: invited.token, password: 'a long enough password' });
  await follow('POST', '/api/staff-invitations', '/api/staff-invitations', json({ token: invited.token }));
  const acceptance = '/api/staff-invitations/acceptance';
  const joined = await system.api('POST', acceptance, answer);
  requireDescribed(acceptance, 'POST', joined);
  await follow('POST', acceptance, acceptance, answer);
  const member = `${staff}/${joined.body.user.id}`;
  await follow('PATCH', member, `${staff}/{id}`, { ...asAdmin, ...json({ role: 'viewer' }) });
  await follow('DELETE', member, `${staff}/{id}`, asAdmin);
  await follow('DELETE', member, `${staff}/{id}`, asAdmin);
  const key = { ...asAdmin, ...json({ name: 'A till', scopes: ['sales:read'] }) };
  const made = await system.api('POST', keys, key);
  requireDescribed(keys, 'POST', made);
  await follow('GET', keys, keys, asAdmin);
  await follow('DELETE', `${keys}/${made.body.id}`, `${keys}/{id}`, asAdmin);
  await follow('GET', '/api/admin/staff-log.csv', '/api/admin/staff-log.csv', asAdmin);
  await follow('DELETE', '/api/account', '/api/account', asBuyer);
});

function requireDescribed(path: string, method: string, { status, headers, body }: ApiAnswer<unknown>): void {
  const what = `${method} ${path} → ${status}`;
  const described = document.paths[path]?.[method.toLowerCase()]?.responses[status];
  expect(described, what).toBeDefined();
  const type = headers.get('content-type')?.split(';')[0] ?? '';
  for (const name of Object.keys(described?.headers ?? {}))
    expect(headers.has(name), `${what} ${name}`).toBe(true);
  if (!described?.content) {
    expect(body, what).toBe('');
    return;
  }
  expect(Object.keys(described.content), what).toContain(type);
  const schema = { ...described.content[type]?.schema, components: document.components };
  const validate = new Ajv2020({ strict: false, validateFormats: false }).compile(schema);
  validate(body);
  expect(validate.errors, what).toBeNull();
}

test('the documentation page shows every route, loads from this site only, and obeys its CSP', async () => {
  const browser = await openBrowser();
  const page = await browser.page();
  const errors: string[] = [];
  page.on('pageerror', (error) => errors.push(error.message));
  page.on('console', (message) => {
    if (message.type() === 'error') errors.push(message.text());
  });
  page.on('request', (request) => {
    const { origin, protocol } = new URL(request.url());
    if (origin !== system.url && protocol !== 'data:') errors.push(`asked ${request.url()}`);
  });
  await page.goto(`${system.url}/docs`);
  await page.locator('.opblock').first().waitFor();
  expect(await page.locator('.opblock').count()).toBe(routes.length + 2);
  await page.locator('.opblock-summary-control').first().click();
  await page.locator('.opblock-body .responses-wrapper').first().waitFor();
  await browser.close();
  expect(errors).toEqual([]);
});
