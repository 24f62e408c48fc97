import { nanoid } from 'nanoid';
import type { Page } from 'playwright-core';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { AdminOrder, OrderDetails } from '../../insight/contract.ts';
import { waitUntil } from '../../ops/local/processes/process.mjs';
import type { Order, SaleSnapshot, Session } from '../../sale/contract.ts';
import { objections, openBrowser } from '../support/browser.ts';
import { startSystem, type TestSystem } from '../support/harness.ts';

/** The order desk: searching, reading and cancelling orders, notes, mails, and the marks of unusual orders. */

let system: TestSystem;
beforeAll(async () => {
  // The tests write the header that nginx would set.
  system = await startSystem({ servers: 1, nginx: false, env: { TRUST_PROXY_HOPS: '1' } });
});
afterAll(() => system.close());

const asAdmin = (body?: unknown) => ({ token: system.adminToken, ...(body !== undefined && { body }) });

async function buyOne(sale: SaleSnapshot, token = system.buyerToken()): Promise<Order> {
  const { body } = await system.buy(sale.id, token);
  return await system.settled(body.orderId, token);
}

const cancel = (id: string, body: unknown) =>
  system.api('POST', `/api/admin/orders/${id}/cancellation`, asAdmin(body));

async function search(text: string): Promise<string[]> {
  const { status, body } = await system.api(
    'GET',
    `/api/admin/orders?q=${encodeURIComponent(text)}`,
    asAdmin(),
  );
  expect(status).toBe(200);
  return body.orders.map(({ id }: AdminOrder) => id);
}

const detailsOf = async (id: string) =>
  (await system.api<OrderDetails>('GET', `/api/admin/orders/${id}`, asAdmin())).body;

async function signUp(name: string, from = '203.0.113.1'): Promise<Session> {
  const body = { email: `${nanoid().toLowerCase()}@example.com`, password: nanoid(), name };
  const headers = { 'X-Forwarded-For': from };
  const { status, body: session } = await system.api<Session>('POST', '/api/users', { body, headers });
  expect(status).toBe(201);
  return session;
}

test('staff cancel an order once, for a reason that the buyer sees; its units come back or stay away', async () => {
  const sale = await system.createSale({ stock: 3, limitPerBuyer: 2 });
  const token = system.buyerToken();
  const [back, kept] = [await buyOne(sale, token), await buyOne(sale, token)];
  const reason = 'Damaged in the warehouse';
  for (let n = 0; n < 2; n++) {
    const answer = await cancel(back.id, { reason: n === 0 ? reason : 'another', restock: true });
    expect(answer).toMatchObject({ status: 200, body: { status: 'cancelled', cancelReason: reason } });
  }
  expect((await cancel(kept.id, { reason, restock: false })).status).toBe(200);
  const own = await system.api<Order>('GET', `/api/orders/${kept.id}`, { token });
  expect(own.body).toMatchObject({ cancelledBy: 'staff', cancelReason: reason });
  const { body: now } = await system.api<SaleSnapshot>('GET', `/api/sales/${sale.id}`);
  expect(now).toMatchObject({ stock: 2, unitsOnSale: 2 });

  const log = await system.api('GET', `/api/admin/staff-log?subject=${kept.id}`, asAdmin());
  expect(log.body.entries).toMatchObject([
    { action: 'order.cancelled', before: { status: 'paid' }, after: { reason, restock: false } },
  ]);

  expect((await cancel(nanoid(), { reason })).status).toBe(404);
  for (const body of [
    {},
    { reason: '' },
    { reason: '\u200b' },
    { reason, restock: 'no' },
    { reason, by: 'me' },
  ])
    expect((await cancel(back.id, body)).status).toBe(400);
  const path = `/api/admin/orders/${back.id}/cancellation`;
  expect((await system.api('POST', path, { token, body: { reason } })).status).toBe(403);

  expect((await detailsOf(kept.id)).keptBack).toBe(true);
});

test('many orders are cancelled at once, and each has an answer', async () => {
  const sale = await system.createSale({ stock: 40 });
  const orders = await Promise.all(Array.from({ length: 30 }, () => buyOne(sale)));
  const ids = orders.map(({ id }) => id);
  const unknown = nanoid();
  const body = { orderIds: [...ids, ...ids, unknown], reason: 'Called back', restock: true };
  const answer = await system.api('POST', '/api/admin/cancellations', asAdmin(body));
  expect(answer.body.orders.map(({ outcome }: { outcome: string }) => outcome)).toEqual([
    ...body.orderIds.slice(0, -1).map(() => 'cancelled'),
    'not_found',
  ]);
  expect((await system.api('GET', `/api/sales/${sale.id}`)).body.stock).toBe(40);
  const taken = await system.api(
    'POST',
    '/api/admin/cancellations',
    asAdmin({ ...body, reason: 'called_off' }),
  );
  expect([taken.status, taken.body.errors?.[0]?.field]).toEqual([400, 'reason']);
  for (const orderIds of [[], Array.from({ length: 501 }, () => nanoid()), ['x'], 'all'])
    expect(
      (await system.api('POST', '/api/admin/cancellations', asAdmin({ ...body, orderIds }))).status,
    ).toBe(400);
});

test('an order is found by its id, its short number, and its buyer’s address and name', async () => {
  const sale = await system.createSale({ stock: 5 });
  const { user, token } = await signUp('Zoë O’Brien-Quux Vandermeer');
  const { id } = await buyOne(sale, token);
  const short = id.slice(0, 8);
  for (const text of [
    id,
    short,
    `No. ${short}`,
    `#${short}`,
    `Nr. ${short}`,
    id.slice(-8),
    user.email,
    user.id,
  ])
    expect(await search(text), text).toEqual([id]);
  for (const text of ['vandermeer', 'VANDERMEER zoe', '"quux" vandermeer'])
    expect(await search(text), text).toEqual([id]);
  for (const text of ['vandermeer nobody', '-vandermeer-', '"', 'nobody@example.com', '$where', '........'])
    expect(await search(text), text).toEqual([]);

  const { users } = system.store.collections;
  const record = await users.findOne({ _id: user.id });
  if (!record) throw new Error('the account does not exist');
  const many = Array.from({ length: 101 }, (_, n) => {
    return {
      ...record,
      _id: nanoid(),
      email: `name-${n}-${nanoid()}@example.com`,
      name: 'Commonplace Jones',
    };
  });
  await users.insertMany(many);
  const { body } = await system.api('GET', '/api/admin/orders?q=jones', asAdmin());
  expect(body).toMatchObject({ orders: [], incomplete: true });
});

test('an order’s page has its steps, notes and deliveries, and its mail is sent again', async () => {
  const { collections } = system.store;
  const sale = await system.createSale({ stock: 5 });
  const { token, user } = await signUp('Ada');
  const { id } = await buyOne(sale, token);
  await system.api('DELETE', `/api/orders/${id}`, { token });
  const details = await detailsOf(id);
  expect(details).toMatchObject({
    order: { id, email: user.email, name: 'Ada', status: 'cancelled', lines: [{ quantity: 1 }] },
    sale: { id: sale.id },
    steps: [{ type: 'order.paid' }, { type: 'order.cancelled', cancelledBy: 'buyer', keptBack: false }],
    mails: [{ type: 'order.paid' }, { type: 'order.cancelled' }],
    notes: [],
    suspicion: null,
  });

  const note = (text: string) => system.api('POST', `/api/admin/orders/${id}/notes`, asAdmin({ text }));
  const actions = async () => {
    const log = await system.api('GET', `/api/admin/staff-log?subject=${id}&limit=100`, asAdmin());
    return log.body.entries.map(({ action }: { action: string }) => action);
  };
  const first = await note('  Called at noon.\nWants a red one. ');
  expect(first).toMatchObject({ status: 201, body: { text: 'Called at noon.\nWants a red one.' } });
  const more = Array.from({ length: 97 }, (_, n) => {
    return { text: `Note ${n}`, at: new Date(), byId: 'a', byName: 'A' };
  });
  await collections.orderNotes.updateOne({ _id: id }, { $push: { notes: { $each: more } } });
  // Of concurrent ones exactly as many are added as have room.
  const answers = await Promise.all(Array.from({ length: 6 }, (_, n) => note(`Last ${n}`)));
  expect(answers.map(({ status }) => status).sort()).toEqual([201, 201, 409, 409, 409, 409]);
  expect((await detailsOf(id)).notes).toHaveLength(100);
  for (const text of ['', ' ', '\u200b', 'x'.repeat(2_001), 7])
    expect((await note(text as string)).status).toBe(400);

  const eventId = details.mails[1]?.eventId ?? '';
  await collections.mails.insertOne({ _id: eventId, sentAt: new Date(), createdAt: new Date() });
  expect((await detailsOf(id)).mails[1]?.state).toBe('sent');
  const again = await Promise.all(
    Array.from({ length: 5 }, () => system.api('POST', `/api/admin/orders/${id}/mail`, asAdmin({}))),
  );
  expect(new Set(again.map(({ status }) => status))).toEqual(new Set([202]));
  expect(await collections.mails.findOne({ _id: eventId })).toMatchObject({
    ...{ state: 'waiting', resends: 1, attempts: 0 },
    event: { type: 'order.cancelled', subject: id },
  });
  expect(await actions()).toEqual(['order.mail_resent', 'order.noted', 'order.noted', 'order.noted']);
  const stranger = await buyOne(sale);
  expect(await system.api('POST', `/api/admin/orders/${stranger.id}/mail`, asAdmin({}))).toMatchObject({
    status: 409,
    body: { type: '/problems/no-address' },
  });
  expect((await system.api('GET', `/api/admin/orders/${nanoid()}`, asAdmin())).status).toBe(404);
  expect((await system.api('GET', `/api/admin/orders/${id}`, { token })).status).toBe(403);

  const { body: mine } = await system.api('GET', '/api/account/export', { token });
  expect(mine.notes).toHaveLength(100);
  expect(mine.networks).toEqual([{ networkKey: expect.any(String), seenAt: expect.any(String) }]);
  await system.api('DELETE', '/api/account', { token });
  expect(await collections.orderNotes.findOne({ _id: id })).toBeNull();
  expect(await collections.accountNetworks.findOne({ userId: user.id })).toBeNull();
});

test('orders of buyers who share a network are marked for a look, and cancelled or cleared in one step', async () => {
  const sale = await system.createSale({ stock: 20 });
  const from = ['198.51.100.7', '198.51.100.7', '198.51.100.7', '198.51.100.8', '198.51.100.8'];
  // The same /64 network, and another.
  from.push('2001:db8:1:2::1', '2001:db8:1:2:ffff::9', '2001:db8:1:2::3', '2001:db8:1:3::1');
  const buyers = await Promise.all(from.map((address, n) => signUp(`Buyer ${n}`, address)));
  const orders = await Promise.all(buyers.map(({ token }) => buyOne(sale, token)));
  const path = `/api/admin/sales/${sale.id}/suspects`;
  const look = (body = {}) => system.api('POST', path, asAdmin(body));
  const marked = async () => {
    const { body } = await system.api('GET', path, asAdmin());
    return body.suspects as { order: AdminOrder; suspicion: { group: string; buyers: number } }[];
  };
  expect(await marked()).toEqual([]);
  for (let n = 0; n < 2; n++) expect((await look()).body).toEqual({ looked: 9, marked: 6, isWhole: true });
  const suspects = await marked();
  const idsOf = (indexes: number[]) => indexes.map((n) => orders[n]?.id ?? '').sort();
  expect(suspects.map(({ order }) => order.id).sort()).toEqual(idsOf([0, 1, 2, 5, 6, 7]));
  expect(new Set(suspects.map(({ suspicion }) => suspicion.group)).size).toBe(2);
  expect((await detailsOf(suspects[0]?.order.id ?? '')).suspicion).toMatchObject({
    buyers: 3,
    state: 'marked',
  });
  expect(JSON.stringify(suspects)).not.toMatch(/198\.51|2001:db8/);

  const clear = await system.api('POST', `${path}/clearance`, asAdmin({ orderIds: idsOf([0, 3]) }));
  expect(clear.body).toEqual({ cleared: 1 });
  await look();
  expect(await marked()).toHaveLength(5);
  const reason = 'Bought by a bot';
  const { readAt } = (await system.api('GET', path, asAdmin())).body;
  const { suspects: marks } = system.store.collections;
  const [, ...others] = await marked();
  const later = { $set: { markedAt: new Date(Date.parse(readAt) + 60_000) } };
  await marks.updateMany({ _id: { $in: others.map(({ order }) => order.id) } }, later);
  const cancel = { reason, restock: false, markedBefore: readAt };
  const early = await system.api('POST', `${path}/cancellation`, asAdmin(cancel));
  expect(early.body).toEqual({ cancelled: 1, left: false });
  expect(await marked()).toHaveLength(4);
  const ended = await system.api('POST', `${path}/cancellation`, asAdmin({ reason, restock: false }));
  expect(ended.body).toEqual({ cancelled: 4, left: false });
  expect(await marked()).toEqual([]);
  expect((await system.api('GET', `/api/sales/${sale.id}`)).body).toMatchObject({
    stock: 11,
    unitsOnSale: 15,
  });
  expect((await look({ minBuyers: 1 })).status).toBe(400);
  expect((await system.api('POST', `/api/admin/sales/${nanoid()}/suspects`, asAdmin({}))).status).toBe(404);
  expect(await system.audit()).toMatchObject({ ok: true });
});

test('orders of two buyers who paid with the same card are marked; of the card only a hash is kept', async () => {
  const sale = await system.createSale({ stock: 5, paymentWindowSeconds: 600 });
  const { payments } = system.store.collections;
  const orders = await Promise.all(
    ['card_1', 'card_1', 'card_2', undefined].map(async (fingerprint) => {
      const token = system.buyerToken();
      const order = await buyOne(sale, token);
      const start = () => system.api('POST', `/api/orders/${order.id}/payments`, { token });
      const { clientSecret } = (await start()).body;
      await system.api('POST', '/api/payments/simulated/confirmations', {
        body: { clientSecret, card: 'ok', fingerprint },
      });
      await start();
      await waitUntil(async () => payments.findOne({ orderId: order.id, state: 'captured' }), {
        deadlineMs: 20_000,
        what: 'the payment is captured',
      });
      return order.id;
    }),
  );
  const path = `/api/admin/sales/${sale.id}/suspects`;
  expect((await system.api('POST', path, asAdmin({}))).body).toEqual({ looked: 4, marked: 2, isWhole: true });
  const { body } = await system.api('GET', path, asAdmin());
  const suspects: { order: AdminOrder; suspicion: object }[] = body.suspects;
  expect(suspects.map(({ order }) => order.id).sort()).toEqual(orders.slice(0, 2).sort());
  for (const { suspicion } of suspects)
    expect(suspicion).toMatchObject({ shared: 'payment_method', buyers: 2, state: 'marked' });
  const kept = await payments.find({ saleId: sale.id }).toArray();
  expect(JSON.stringify([kept, suspects])).not.toContain('card_1');
});

test('the network of a session that is renewed elsewhere counts as well', async () => {
  const { email, password } = await system.signUp();
  const signedIn = await system.api<Session>('POST', '/api/sessions', { body: { email, password } });
  const cookie = signedIn.headers.get('set-cookie')?.split(';')[0] ?? '';
  const headers = { cookie, 'X-Forwarded-For': '192.0.2.77' };
  expect((await system.api('POST', '/api/sessions/renewal', { body: {}, headers })).status).toBe(200);
  const { user } = signedIn.body;
  await waitUntil(
    async () => (await system.store.collections.accountNetworks.countDocuments({ userId: user.id })) === 2,
    { deadlineMs: 5_000, what: 'both networks are remembered' },
  );
});

test('staff find, read, note and cancel orders in the control room, at both widths and without objections', async () => {
  const browser = await openBrowser();
  const sale = await system.createSale({ name: 'A desk lamp', stock: 20 });
  const buyers = await Promise.all(
    Array.from({ length: 6 }, (_, n) => signUp(`Grace Hopper-${n}`, '198.51.100.200')),
  );
  const orders = await Promise.all(buyers.map(({ token }) => buyOne(sale, token)));
  const [first = '', second = '', third = '', fourth = '', fifth = ''] = orders.map(({ id }) => id);
  const user = { id: 'test-admin', role: 'admin', name: 'Ada', email: 'admin@example.com' };
  const session = JSON.stringify(JSON.stringify({ user, token: system.adminToken }));
  const enter = async (hash: string, width: number) => {
    const page = await browser.page({ viewport: { width, height: 900 }, reducedMotion: 'reduce' });
    await page.addInitScript(`localStorage.setItem('stampede.session', ${session})`);
    await page.goto(`${system.url}/admin#${hash}`);
    return page;
  };
  const objectionsTo = async (page: Page) => {
    const isWide = await page.evaluate('document.documentElement.scrollWidth > innerWidth');
    return [...(await objections(page)), ...(isWide ? ['wider than the screen'] : [])];
  };

  const page = await enter(`orders/${sale.id}`, 1_440);
  const rows = page.getByTestId('orders').locator('tbody tr');
  await page.getByRole('searchbox', { name: 'Search' }).fill('hopper-1');
  await page.keyboard.press('Enter');
  await expect.poll(() => rows.count()).toBe(1);
  await page.getByRole('searchbox', { name: 'Search' }).fill(`No. ${second.slice(0, 8)}`);
  await page.keyboard.press('Enter');
  await page.getByRole('link', { name: second.slice(0, 8) }).click();
  const details = page.getByTestId('order-details');
  await details.getByText('Grace Hopper-1', { exact: true }).waitFor();
  await page.getByLabel('New note').fill('Asked for a gift box');
  await page.getByTestId('add-note').click();
  await page.getByTestId('notes').getByText('Asked for a gift box').waitFor();
  expect(await objectionsTo(page)).toEqual([]);

  await page.getByTestId('cancel').click();
  const form = page.getByTestId('form');
  await form.getByLabel('Reason').fill('Damaged in the warehouse');
  await form.getByLabel('Keep back').check();
  expect(await objectionsTo(page)).toEqual([]);
  await form.getByRole('button', { name: 'Cancel the order' }).click();
  await page.getByTestId('order-state').getByText('Damaged in the warehouse · units kept back').waitFor();
  await details.getByText('Cancelled by the shop: Damaged in the warehouse').waitFor();

  await page.goto(`${system.url}/admin#orders/${sale.id}`);
  for (const id of [first, third]) await page.getByLabel(`Select order ${id.slice(0, 8)}`).check();
  await page.getByTestId('cancel-selected').click();
  await form.getByLabel('Reason').fill('Called back');
  await form.getByRole('button', { name: 'Cancel the orders' }).click();
  await page.getByTestId('toast').filter({ hasText: '2 cancelled' }).waitFor();
  await expect.poll(() => rows.filter({ hasText: 'Called back' }).count()).toBe(2);
  expect(await objectionsTo(page)).toEqual([]);

  const phone = await enter(`suspects/${sale.id}`, 390);
  await phone.getByTestId('look').click();
  const suspects = phone.getByTestId('suspects').locator('tbody tr');
  await expect.poll(() => suspects.count()).toBe(3);
  expect(await objectionsTo(phone)).toEqual([]);
  await phone.getByLabel(`Select order ${fifth.slice(0, 8)}`).check();
  await phone.getByTestId('clear').click();
  await expect.poll(() => suspects.count()).toBe(2);
  await phone.getByTestId('cancel-marked').click();
  await phone.getByTestId('form').getByLabel('Reason').fill('Bought by a bot');
  await phone.getByRole('button', { name: 'Cancel the orders' }).click();
  await phone.getByTestId('toast').filter({ hasText: '2 cancelled' }).waitFor();
  await phone.goto(`${system.url}/admin#order/${fourth}`);
  await phone.getByTestId('order-state').getByText('Bought by a bot').waitFor();
  expect(await objectionsTo(phone)).toEqual([]);

  const buyer = await browser.page({ viewport: { width: 390, height: 844 } });
  const own = JSON.stringify(JSON.stringify(buyers[3]));
  await buyer.addInitScript(`localStorage.setItem('stampede.session', ${own})`);
  await buyer.goto(`${system.url}/orders`);
  await buyer.getByText('Cancelled by the shop: Bought by a bot').waitFor();
  await browser.close();
}, 60_000);

test('a buyer cancels an order on the page, until the sale does not allow it any more', async () => {
  const browser = await openBrowser();
  const sale = await system.createSale({ stock: 5, limitPerBuyer: 2 });
  const session = await signUp('Ada');
  for (let n = 0; n < 2; n++) await buyOne(sale, session.token);
  const page = await browser.page({ viewport: { width: 390, height: 844 } });
  const own = JSON.stringify(JSON.stringify(session));
  await page.addInitScript(`localStorage.setItem('stampede.session', ${own})`);
  page.on('dialog', (dialog) => dialog.accept());
  await page.goto(`${system.url}/orders`);
  await page.getByText('You can cancel until').first().waitFor();
  await page.getByTestId('cancel-order').first().click();
  await page.getByText('You cancelled it.').waitFor();
  await system.changeSale(sale.id, { cancelWindowSeconds: null });
  await page.getByTestId('cancel-order').click();
  await page.getByTestId('toast').filter({ hasText: 'can no longer be cancelled here' }).waitFor();
  await system.changeSale(sale.id, {
    cancelWindowSeconds: 0,
    opensAt: new Date(Date.now() - 7_200_000),
    closesAt: new Date(Date.now() - 1_000),
  });
  await page.reload();
  await page.getByText('It can no longer be cancelled here.').waitFor();
  expect(await page.getByTestId('cancel-order').count()).toBe(0);
  await browser.close();
}, 30_000);
