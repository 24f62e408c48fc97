import { nanoid } from 'nanoid';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { appendStaffEntry, checkStaffLog, numberStaffEntries } from '../../accounts/staff-log.ts';
import type { StaffEntry, StaffEntryPage } from '../../insight/contract.ts';
import { transact } from '../../runtime/databases/transact.ts';
import { startSystem, type TestSystem } from '../support/harness.ts';

let system: TestSystem;
beforeAll(async () => {
  system = await startSystem({ servers: 2, workers: 1, nginx: false });
});
afterAll(() => system.close());

const asAdmin = () => ({ token: system.adminToken });
const read = async (query = ''): Promise<StaffEntryPage> =>
  (await system.api<StaffEntryPage>('GET', `/api/admin/staff-log${query}`, asAdmin())).body;
const about = async (subject: string): Promise<StaffEntry[]> =>
  (await read(`?subject=${subject}&limit=100`)).entries.reverse();
async function check() {
  await numberStaffEntries(system.store.collections);
  return await checkStaffLog(system.store.collections);
}

test('the log says who changed what, from where, before and after', async () => {
  const { email, password, user } = await system.signUp();
  await system.store.collections.users.updateOne({ _id: user.id }, { $set: { role: 'admin' } });
  const { body } = await system.api('POST', '/api/sessions', { body: { email, password } });
  const sale = await system.createSale({ stock: 5 });
  const headers = { 'X-Request-Id': 'request-of-this-test' };
  const path = `/api/sales/${sale.id}`;
  await system.api('PATCH', path, { token: body.token, body: { paused: true }, headers });
  await system.changeSale(sale.id, { paused: false, addStock: 3 });

  const [created, paused, resumed] = await about(sale.id);
  expect(created).toMatchObject({
    actor: { kind: 'account', id: 'test-admin', name: null, role: 'admin' },
    action: 'sale.created',
    subject: { kind: 'sale', id: sale.id },
    before: null,
    after: { items: [{ stock: 5, amount: 4_900 }], currency: 'EUR' },
  });
  expect(paused).toMatchObject({
    actor: { kind: 'account', id: user.id, name: email, role: 'admin' },
    from: '127.0.0.1',
    requestId: 'request-of-this-test',
    action: 'sale.paused',
  });
  expect([paused?.before, paused?.after]).toEqual([{ paused: false }, { paused: true }]);
  expect(resumed).toMatchObject({
    action: 'sale.changed',
    before: { paused: true, unitsOnSale: 5 },
    after: { paused: false, unitsOnSale: 8 },
  });
});

test('what is refused or repeated changes nothing and is not logged', async () => {
  const sale = await system.createSale();
  const { entries: before } = await check();
  const change = (id: string, body: object, key = 'one-key') =>
    system.api('PATCH', `/api/sales/${id}`, { ...asAdmin(), body, headers: { 'Idempotency-Key': key } });
  expect((await change('no-such-sale', { paused: true })).status).toBe(404);
  expect((await change(sale.id, { closesAt: '2001-01-01T00:00:00Z' })).status).toBe(400);
  expect((await check()).entries).toBe(before);
  for (let n = 0; n < 3; n++) expect((await change(sale.id, { addStock: 2 })).status).toBe(200);
  expect((await change(sale.id, { addStock: 9 })).status).toBe(422);
  expect((await check()).entries).toBe(before + 1);
  const failed = transact(system.store.collections.connection, async (session) => {
    const by = {
      actor: { kind: 'command', id: 'x', name: 'x', role: null },
      from: null,
      requestId: null,
    } as const;
    const entry = { ...by, action: 'test.failed', subject: { kind: 'test', id: 'x' } };
    await appendStaffEntry(system.store.collections, session, entry);
    throw new Error('rolled back');
  });
  await expect(failed).rejects.toThrow('rolled back');
  expect((await check()).entries).toBe(before + 1);
});

test('changes of every kind are logged', async () => {
  const { entries: before } = await check();
  const send = (method: string, path: string, body?: object) =>
    system.api(method, path, { ...asAdmin(), ...(body && { body }) });
  const product = (await send('POST', '/api/products', { name: 'A lamp' })).body;
  await send('PATCH', `/api/products/${product.id}`, {
    name: 'A better lamp',
    description: 'x'.repeat(5_000),
  });
  await send('PATCH', `/api/products/${product.id}`, { name: 'A better lamp' });
  const endpoint = { url: 'https://example.com/', types: ['order.paid'] };
  const webhook = (await send('POST', '/api/admin/webhooks', endpoint)).body;
  await send('DELETE', `/api/admin/webhooks/${webhook.id}`);
  await send('POST', '/api/admin/queue-visits');
  const sale = await system.createSale();
  await send('GET', `/api/admin/sales/${sale.id}/orders.csv`);
  await send('POST', '/api/admin/mails/resend');

  const entries = (await read('?limit=100')).entries.filter(({ number }) => number > before).reverse();
  expect(entries.map(({ action }) => action)).toEqual([
    'product.created',
    'product.changed',
    'product.changed',
    'webhook.added',
    'webhook.removed',
    'queue_board.visited',
    'product.created',
    'sale.created',
    'orders.exported',
  ]);
  const [, changed, unchanged] = entries;
  expect(changed?.before).toEqual({ name: 'A lamp', description: '' });
  expect(String(changed?.after?.description).length).toBe(501);
  expect([unchanged?.before, unchanged?.after]).toEqual([{}, {}]);
  expect(JSON.stringify(entries)).not.toContain(webhook.secret);
});

test('entries of changes at once, on two servers, are numbered without gaps in one chain', async () => {
  const sale = await system.createSale({ stock: 0 });
  const { entries: before } = await check();
  const answers = await Promise.all(
    Array.from({ length: 60 }, (_, n) => {
      const at = system.servers[n % 2]?.url ?? '';
      return n % 3 === 0
        ? system.api('POST', '/api/products', { ...asAdmin(), body: { name: `Lamp ${n}` }, at })
        : system.api('PATCH', `/api/sales/${sale.id}`, { ...asAdmin(), body: { addStock: 1 }, at });
    }),
  );
  expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([200, 201]));
  expect(await check()).toMatchObject({ entries: before + 60, broken: null });
  const units = (await about(sale.id)).slice(1).map(({ after }) => after?.unitsOnSale);
  expect(units).toEqual(Array.from({ length: 40 }, (_, n) => n + 1));
});

test('an entry names every order of the longest list that a request may have', async () => {
  const { connection } = system.store.collections;
  const orderIds = Array.from({ length: 500 }, () => nanoid(22));
  const actor = { kind: 'command', id: 'x', name: 'x', role: null } as const;
  const entry = { actor, from: null, requestId: null, action: 'test.listed', after: { orderIds } };
  await transact(connection, (session) =>
    appendStaffEntry(system.store.collections, session, { ...entry, subject: { kind: 'test', id: 'long' } }),
  );
  expect((await about('long'))[0]?.after).toEqual({ orderIds });
});

test('200 changes at once, many of the same thing, are each made and logged once', async () => {
  const buyer = await system.signUp();
  const sale = await system.createSale({ stock: 5 });
  const { body: bought } = await system.buy(sale.id, buyer.token);
  await system.settled(bought.orderId, buyer.token);
  const { body: product } = await system.api('POST', '/api/products', { ...asAdmin(), body: { name: 'A' } });
  const { body: draft } = await system.api('POST', `/api/sales/${sale.id}/duplicates`, asAdmin());
  const { entries: before } = await check();
  const kinds: ((n: number) => [string, string, object])[] = [
    (n) => ['POST', `/api/admin/orders/${bought.orderId}/notes`, { text: `Note ${n}` }],
    (n) => ['PATCH', `/api/products/${product.id}`, { name: `Name ${n}` }],
    (n) => ['PATCH', `/api/sales/${draft.id}`, { addStock: n }],
    () => ['PATCH', `/api/sales/${sale.id}`, { addStock: 1 }],
    (n) => ['POST', '/api/products', { name: `Lamp ${n}` }],
  ];
  const answers = await Promise.all(
    Array.from({ length: 200 }, (_, n) => {
      const [method, path, body] = (kinds[n % kinds.length] as (typeof kinds)[number])(n);
      return system.api(method, path, { ...asAdmin(), body, at: system.servers[n % 2]?.url ?? '' });
    }),
  );
  expect(answers.filter(({ status }) => status !== 200 && status !== 201)).toEqual([]);
  expect(await check()).toMatchObject({ entries: before + 200, broken: null, unnumbered: 0 });
});

test('entries are found by actor, action, subject and time, page by page, and exported', async () => {
  const { entries: all } = await check();
  const { entries, nextCursor } = await read('?limit=3');
  expect(entries.map(({ number }) => number)).toEqual([all, all - 1, all - 2]);
  const next = await read(`?limit=3&cursor=${nextCursor}`);
  expect(next.entries[0]?.number).toBe(all - 3);

  const actionsOf = async (query: string) =>
    new Set((await read(`${query}&limit=100`)).entries.map(({ action }) => action));
  expect(await actionsOf('?action=webhook')).toEqual(new Set(['webhook.added', 'webhook.removed']));
  expect(await actionsOf('?action=sale.paused')).toEqual(new Set(['sale.paused']));
  expect(await actionsOf('?action=sal')).toEqual(new Set());
  const [paused] = (await read('?action=sale.paused')).entries;
  expect(await actionsOf(`?actor=${paused?.actor.name?.toUpperCase()}`)).toEqual(new Set(['sale.paused']));
  expect(await actionsOf(`?actor=${paused?.actor.id}`)).toEqual(new Set(['sale.paused']));
  const { entries: until } = await read(`?to=${paused?.at}&limit=100`);
  expect(until.every(({ number }) => number < (paused?.number ?? 0))).toBe(true);
  expect((await read(`?from=${paused?.at}&action=sale.paused`)).entries).toHaveLength(1);

  const csv = await system.api<string>('GET', '/api/admin/staff-log.csv?action=sale.paused', asAdmin());
  expect(csv.body.trim().split('\r\n')).toHaveLength(2);
  expect(csv.body).toContain('"{""paused"":false}"');
  expect((await read()).entries[0]).toMatchObject({ action: 'staff_log.exported' });

  for (const query of [
    'actor=',
    'action=A',
    'action=a.b.c',
    'from=yesterday',
    'cursor=12',
    'limit=0',
    'x=1',
  ]) {
    const { status, body } = await system.api('GET', `/api/admin/staff-log?${query}`, asAdmin());
    expect([status, body.errors?.[0].field], query).toEqual([400, query.split('=')[0]]);
  }
});

test('an entry that was changed, removed or inserted afterwards is a breach of the audit', async () => {
  const { staffLog } = system.store.collections;
  expect((await system.audit()).staffLog).toMatchObject({ broken: null });
  const id = '000000000005';
  const entry = await staffLog.findOne({ _id: id });
  if (!entry) throw new Error('there is no fifth entry');

  await staffLog.updateOne({ _id: id }, { $set: { 'actor.id': 'somebody else' } });
  expect(await system.audit()).toMatchObject({ ok: false, staffLog: { broken: id } });
  await staffLog.deleteOne({ _id: id });
  expect((await check()).broken).toBe('000000000006');
  await staffLog.insertOne(entry);
  expect((await check()).broken).toBe(null);
});
