import { nanoid } from 'nanoid';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { eventsOf, readChanges } from '../../log/events.ts';
import { waitUntil } from '../../ops/local/processes/process.mjs';
import { notifications } from '../../subscribers/mail/notifications.ts';
import { startSystem, type TestSystem } from '../support/harness.ts';

let system: TestSystem;
beforeAll(async () => {
  system = await startSystem({ servers: 1, nginx: false });
});
afterAll(() => system.close());

/** The driver does not check what it writes, so this compares it with the schemas. */
test('every document that the shop writes is as the schema of its collection says', async () => {
  const { collections } = system.store;
  const { connection } = collections;
  const asAdmin = { token: system.adminToken };
  const webhook = { url: 'https://shop.example/hook', types: ['order.paid'] };
  await system.api('POST', '/api/admin/webhooks', { ...asAdmin, body: webhook });
  const { token } = await system.signUp();
  const sale = await system.createSale({ stock: 5, limitPerBuyer: 3 });
  await system.api('POST', `/api/sales/${sale.id}/duplicates`, asAdmin);
  const { product, price, opensAt, closesAt } = sale;
  const drawAt = new Date(Date.now() + 60_000);
  const offer = { productId: product.id, price, stock: 1, opensAt, closesAt, mode: 'draw', drawAt };
  const draw = await system.api('POST', '/api/sales', { ...asAdmin, body: offer });
  await system.api('POST', `/api/sales/${draw.body.id}/entries`, { token, body: { quantity: 1 } });
  const phases = [
    { name: 'Members', opensAt, access: 'list' },
    { name: 'Guests', opensAt: new Date(Date.parse(opensAt) + 60_000), access: 'code' },
  ];
  const withPhases = { ...offer, mode: 'open', drawAt: undefined, phases };
  const { body: phased } = await system.api('POST', '/api/sales', { ...asAdmin, body: withPhases });
  const codes = await system.api('POST', `/api/admin/sales/${phased.id}/codes`, {
    ...asAdmin,
    body: { codes: 1 },
  });
  const list = await system.api('POST', `/api/admin/sales/${phased.id}/list`, {
    ...asAdmin,
    body: 'ann@example.com',
    headers: { 'Content-Type': 'text/csv' },
  });
  expect([codes.status, list.status]).toEqual([201, 200]);
  const headers = { 'Idempotency-Key': nanoid() };
  await system.api('PATCH', `/api/sales/${sale.id}`, { ...asAdmin, headers, body: { addStock: 1 } });
  for (const quantity of [2, 1]) {
    const { body } = await system.buy(sale.id, token, { quantity });
    await system.settled(body.orderId, token);
    if (quantity === 1) await system.api('DELETE', `/api/orders/${body.orderId}`, { token });
  }
  const [paid] = await collections.orders.find({ status: 'paid' }).toArray();
  const key = { name: 'The till', scopes: ['orders:read'] };
  await system.api('POST', '/api/admin/api-keys', { ...asAdmin, body: key });
  const note = { text: 'The buyer called.' };
  await system.api('POST', `/api/admin/orders/${paid?._id}/notes`, { ...asAdmin, body: note });
  const neighbour = await system.signUp();
  const { body: theirs } = await system.buy(sale.id, neighbour.token);
  await system.settled(theirs.orderId, neighbour.token);
  const { body: found } = await system.api('POST', `/api/admin/sales/${sale.id}/suspects`, {
    ...asAdmin,
    body: { minBuyers: 2 },
  });
  expect(found).toMatchObject({ marked: 2 });
  const held = { status: 'held' as const, holdExpiresAt: new Date(Date.now() + 60_000) };
  await collections.orders.updateOne({ _id: paid?._id ?? '' }, { $set: held });
  const payment = await system.api('POST', `/api/orders/${paid?._id}/payments`, { token });
  expect(payment.body).toMatchObject({ provider: 'simulated', state: 'started' });
  const log = await readChanges(collections, sale.id).toArray();
  const settled = log.flatMap(eventsOf).filter(({ type }) => type === 'order.paid');
  await notifications(collections).handle(settled);
  const theme = await system.api('PATCH', '/api/admin/theme', {
    ...asAdmin,
    body: { name: 'The lamp shop' },
  });
  expect(theme.status).toBe(200);
  await system.api('DELETE', '/api/sessions', { token });
  await system.signUp();
  await waitUntil(
    async () => (await collections.minutes.findOne()) && (await collections.deliveries.findOne()),
    { deadlineMs: 20_000, what: 'analytics and webhooks are told' },
  );

  const written = new Set<string>();
  for (const model of Object.values(connection.models)) {
    for (const document of await model.collection.find({}).toArray()) {
      // A field that the schema does not have throws here.
      await new model(document).validate();
      written.add(model.modelName);
    }
  }
  // Nobody uploads a picture or audits a closed sale here, without a mail server nobody gets a link, and new entries of the staff
  // log are numbered within a second.
  const others = ['Picture', 'OneTimeToken', 'SaleAudit', 'NewStaffEntry'];
  const expected = Object.keys(connection.models).filter((name) => !others.includes(name));
  expect([...written].filter((name) => !others.includes(name)).sort()).toEqual(expected.sort());
});
