import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Problem, SaleSnapshot } from '../../sale/contract.ts';
import type { Route } from '../../server/http/route.ts';
import { apiRoutes } from '../../server/routes/routes.ts';
import type { Shop } from '../../server/shop.ts';
import { type ApiAnswer, startSystem, type TestSystem } from '../support/harness.ts';

let system: TestSystem;
let sale: SaleSnapshot;
let token: string;
beforeAll(async () => {
  system = await startSystem({ servers: 1, workers: 0, nginx: false });
  sale = await system.createSale({ stock: 1_000, limitPerBuyer: 1_000 });
  token = system.buyerToken();
});
afterAll(async () => {
  // No request failed with 5xx, and nothing was sold.
  expect(await system.store.gate.countQueued()).toBe(0);
  await system.close();
});

/** The real table of routes, so that new routes are tested here too. Only the handlers need a shop. */
const routes = apiRoutes({} as Shop, () => null);
const pathOf = ({ path }: Route) => path.replace(':id', 'some-id-of-22-letters');
const title = (route: Route) => [`${route.method.toUpperCase()} ${route.path}`, route] as const;
const isForStaff = ({ access }: Route) => access !== 'anyone' && access !== 'buyer';
const tokenFor = (route: Route) => (isForStaff(route) ? system.adminToken : token);

function expectProblem({ status, headers, body }: ApiAnswer<Problem>, expected: number): void {
  expect([status, body]).toEqual([
    expected,
    expect.objectContaining({ status: expected, title: expect.any(String), detail: expect.any(String) }),
  ]);
  expect(body.type).toMatch(/^\/problems\/[a-z-]+$/);
  expect(headers.get('content-type')).toBe('application/problem+json; charset=utf-8');
}
const fieldsOf = ({ body }: ApiAnswer<Problem>) => [...new Set(body.errors?.map(({ field }) => field))];

describe('every route', () => {
  test.each([...new Set(routes.map(({ path }) => path))])(
    '%s answers 405 to another method',
    async (path) => {
      const here = routes.filter((route) => route.path === path);
      const allowed = here.map(({ method }) => method.toUpperCase());
      for (const method of ['GET', 'POST', 'PUT', 'PATCH', 'DELETE']) {
        if (allowed.includes(method)) continue;
        const answer = await system.api(method, pathOf(here[0] as Route));
        expectProblem(answer, 405);
        expect(answer.headers.get('allow')).toBe(allowed.join(', '));
      }
    },
  );

  const guarded = routes.filter(({ access }) => access !== 'anyone');
  test.each(guarded.map(title))(
    '%s refuses a stranger before it looks at the input',
    async (_title, route) => {
      const body = route.body && '{"truncated';
      expectProblem(await system.api(route.method.toUpperCase(), pathOf(route), { body }), 401);
    },
  );

  const forStaff = routes.filter(isForStaff);
  test.each(forStaff.map(title))('%s refuses a buyer', async (_title, route) => {
    const body = route.body && {};
    expectProblem(await system.api(route.method.toUpperCase(), pathOf(route), { token, body }), 403);
  });

  const withId = routes.filter(({ path }) => path.includes(':id'));
  test.each(withId.map(title))('%s answers 400 to an id that cannot be one', async (_title, route) => {
    for (const id of [
      'short',
      'x'.repeat(65),
      '%7B%22$ne%22:1%7D',
      'a%20b%20c%20d',
      '%00%00%00%00%00%00%00%00',
      '%E0%A4%A',
    ]) {
      const sent = route.file
        ? { body: 'ann@example.com', headers: { 'Content-Type': route.file.type } }
        : { body: route.body && { quantity: 1 } };
      const path = route.path.replace(':id', id);
      const answer = await system.api(route.method.toUpperCase(), path, { token: tokenFor(route), ...sent });
      expectProblem(answer, 400);
    }
  });

  const withBody = routes.filter(({ body }) => body);
  const bodies: [string, number, string | undefined, Record<string, string>][] = [
    ['truncated JSON', 400, '{"quantity": 1', {}],
    ['no body', 400, undefined, {}],
    ['an empty body', 400, '', {}],
    ['JSON null', 400, 'null', {}],
    ['a JSON number', 400, '1', {}],
    ['a JSON array', 400, '[]', {}],
    ['an empty object', 400, '{}', {}],
    ['a form', 415, 'quantity=1', { 'Content-Type': 'application/x-www-form-urlencoded' }],
    ['text', 415, '{"quantity": 1}', { 'Content-Type': 'text/plain' }],
    ['an unknown charset', 415, '{}', { 'Content-Type': 'application/json; charset=x-ray' }],
    ['an unknown encoding', 415, '{}', { 'Content-Encoding': 'x-ray' }],
    ['a broken encoding', 400, '{}', { 'Content-Encoding': 'gzip' }],
    ['20,000 bytes', 413, JSON.stringify({ quantity: 1, name: 'x'.repeat(20_000) }), {}],
  ];
  test.each(withBody.map(title))(
    '%s refuses a body that is not a JSON object of its own',
    async (_title, route) => {
      // Where every field may be left out, nothing at all is an object too.
      const empty = ['no body', 'an empty body', 'an empty object'];
      const acceptsEmpty = route.body?.safeParse({}).success;
      for (const [name, expected, body, headers] of bodies) {
        if (acceptsEmpty && empty.includes(name)) continue;
        const request = { token: tokenFor(route), body, headers };
        expectProblem(await system.api(route.method.toUpperCase(), pathOf(route), request), expected);
      }
    },
  );

  test.each(withBody.map(title))(
    '%s refuses each field that is not its own, by name',
    async (_title, route) => {
      for (const field of ['userId', 'buyerId', 'isAdmin', '$where', '__proto__', 'constructor']) {
        const request = { token: tokenFor(route), body: `{"${field}": {"quantity": 1}}` };
        const answer = await system.api(route.method.toUpperCase(), pathOf(route), request);
        expectProblem(answer, 400);
        expect(fieldsOf(answer)).toContain(field);
      }
    },
  );
});

describe('a purchase', () => {
  const buy = (body: unknown, headers: Record<string, string> = {}) =>
    system.api('POST', `/api/sales/${sale.id}/purchases`, { token, body, headers });

  test.each([
    '-3',
    '0',
    '1.5',
    '1e21',
    '1000001',
    '9007199254740993',
    '"1"',
    'null',
    'true',
    '[1]',
    '{"$gt": 0}',
  ])('of %s units is refused by the name of the field', async (quantity) => {
    const answer = await buy(`{"quantity": ${quantity}}`);
    expectProblem(answer, 400);
    expect(fieldsOf(answer)).toEqual(['quantity']);
    expect(answer.body.detail).toContain('quantity');
  });

  test('without a quantity is refused by the name of the field', async () => {
    expect(fieldsOf(await buy({}))).toEqual(['quantity']);
  });

  test.each(['price', 'userId', 'role', 'orderId', '__proto__'])(
    'with a %s of its own is refused',
    async (field) => {
      const answer = await buy(`{"quantity": 1, "${field}": 1}`);
      expectProblem(answer, 400);
      expect(fieldsOf(answer)).toEqual([field]);
    },
  );

  test.each([
    ['256 characters', 'k'.repeat(256)],
    ['nothing', ''],
    ['a space inside', 'a b'],
    ['a letter beyond ASCII', 'schlüssel'],
  ])('with an Idempotency-Key of %s is refused', async (_what, key) => {
    const answer = await buy({ quantity: 1 }, { 'Idempotency-Key': key });
    expectProblem(answer, 400);
    expect(fieldsOf(answer)).toEqual(['Idempotency-Key']);
  });
});

describe('queries', () => {
  test.each([
    'limit=0',
    'limit=101',
    'limit=-1',
    'limit=1.5',
    'limit=many',
    'limit=',
    'limit=5&limit=6',
    'limit[$gt]=1',
    'cursor=garbage',
    'cursor=',
    'cursor[$ne]=1',
    'cursor=9999999999999.short',
    'buyerId=somebody-else',
    '__proto__=1',
  ])('the list of orders refuses ?%s', async (query) => {
    expectProblem(await system.api('GET', `/api/orders?${query}`, { token }), 400);
  });
});
