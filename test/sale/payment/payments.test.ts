import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { audit } from '../../../insight/audit/audit.ts';
import { replay } from '../../../log/replay.ts';
import { waitUntil } from '../../../ops/local/processes/process.mjs';
import { lengthenedByMs } from '../../../sale/payment/lengthen-hold.ts';
import type { PaymentRecord } from '../../../store/payment-collections.ts';
import { startSystem, type TestSystem } from '../../support/harness.ts';
import { openStripeStandIn, type StripeStandIn, webhookSecret } from '../../support/stripe-stand-in.ts';

let standIn: StripeStandIn;
let system: TestSystem;
beforeAll(async () => {
  standIn = await openStripeStandIn();
  system = await startSystem({
    env: {
      PAYMENT_PROVIDER: 'stripe',
      STRIPE_SECRET_KEY: 'sk_test_123',
      STRIPE_PUBLISHABLE_KEY: 'pk_test_123',
      STRIPE_WEBHOOK_SECRETS: webhookSecret,
      STRIPE_API_URL: standIn.url,
      PAYMENTS_INTERVAL_MS: '50',
      PAYMENT_STEP_MS: '500',
    },
  });
  webhookUrl = `${system.url}/api/payments/stripe/webhooks`;
});
afterAll(async () => {
  await system.close();
  await standIn.close();
});

let webhookUrl: string;
beforeEach(() => {
  standIn.webhookUrl = webhookUrl;
});

interface Held {
  orderId: string;
  token: string;
  saleId: string;
}

/** An order that is held, with the units taken. */
async function hold({ seconds = 600 } = {}): Promise<Held> {
  const { id: saleId } = await system.createSale({ stock: 5, limitPerBuyer: 5 });
  const token = system.buyerToken();
  const { body } = await system.buy(saleId, token);
  await system.settled(body.orderId, token);
  const holdExpiresAt = new Date(Date.now() + seconds * 1_000);
  await system.store.collections.orders.updateOne(
    { _id: body.orderId },
    { $set: { status: 'held', holdExpiresAt } },
  );
  return { orderId: body.orderId, token, saleId };
}

const setStatus = (orderId: string, status: 'expired' | 'cancelled') =>
  system.store.collections.orders.updateOne({ _id: orderId }, { $set: { status } });

const start = ({ orderId, token }: Held, at?: string) =>
  system.api('POST', `/api/orders/${orderId}/payments`, { token, ...(at && { at }) });

const paymentOf = ({ orderId }: Held) => system.store.collections.payments.findOne({ orderId });

/** Waits until the payment is in this state and nothing is left to do. */
const ends = (held: Held, state: PaymentRecord['state']) =>
  waitUntil(
    async () => {
      const payment = await paymentOf(held);
      return payment?.state === state && payment.dueAt === null ? payment : null;
    },
    { deadlineMs: 20_000, what: `the payment of ${held.orderId} is not ${state}` },
  );

const orderOf = async ({ orderId, token }: Held) =>
  (await system.api('GET', `/api/orders/${orderId}`, { token })).body;
const balanceOf = ({ orderId }: Held) => standIn.balances().get(`${orderId}.1`);

/** The latest event of this order's intent, and nothing else. */
function eventsOf({ orderId }: Held, type: string) {
  return standIn.events.filter(({ type: of, data }) => {
    const { metadata } = data.object as { metadata?: { order?: string } };
    return of === type && metadata?.order === orderId;
  });
}

test('a held order is paid: authorised, marked, captured, and told by webhooks alone', async () => {
  const held = await hold();
  const { status, body } = await start(held);
  expect(status).toBe(200);
  expect(body).toMatchObject({
    paymentId: `${held.orderId}.1`,
    provider: 'stripe',
    state: 'started',
    publishableKey: 'pk_test_123',
    redirectUrl: null,
  });
  const both = await Promise.all([start(held), start(held), start(held, system.servers[0]?.url)]);
  expect(new Set(both.map((again) => again.body.clientSecret))).toEqual(new Set([body.clientSecret]));
  standIn.confirm(body.clientSecret, 'declined');
  await waitUntil(async () => (await paymentOf(held))?.state === 'failed', {
    deadlineMs: 10_000,
    what: 'the refused attempt is not known',
  });
  expect((await start(held)).body).toMatchObject({ state: 'failed', clientSecret: body.clientSecret });
  standIn.confirm(body.clientSecret);
  const payment = await ends(held, 'captured');
  expect(payment).toMatchObject({ capturedAmount: 4_900, refunds: [], error: null, attempts: 0 });
  expect(await orderOf(held)).toMatchObject({ status: 'paid' });
  expect(balanceOf(held)).toBe(4_900);
  expect(standIn.counts.get('POST /v1/payment_intents')).toBeGreaterThan(0);
  expect((await start(held)).body).toMatchObject({ type: '/problems/not-payable' });
  expect((await start({ ...held, token: system.buyerToken() })).status).toBe(404);
  const { headers } = await system.api('GET', `/orders/${held.orderId}`);
  expect(headers.get('content-security-policy')).toMatch(
    /script-src 'sha256-[^']+' 'self' https:\/\/js\.stripe\.com /,
  );
});

test('a webhook may come twice, out of order or late; forged, unsigned and old ones are refused', async () => {
  const held = await hold();
  const { body } = await start(held);
  standIn.webhookUrl = null;
  standIn.confirm(body.clientSecret, 'declined');
  standIn.confirm(body.clientSecret);
  const [authorised] = eventsOf(held, 'payment_intent.amount_capturable_updated');
  const [refused] = eventsOf(held, 'payment_intent.payment_failed');
  const post = (event: object | undefined, options = {}) =>
    standIn.post(event ?? {}, { url: webhookUrl, ...options });
  expect(await post(authorised, { secret: 'whsec_of_a_stranger' })).toBe(400);
  expect(await post(authorised, { at: new Date(Date.now() - 86_400_000) })).toBe(400);
  const unsigned = await system.api('POST', '/api/payments/stripe/webhooks', { body: authorised });
  expect(unsigned.body).toMatchObject({ type: '/problems/invalid-input' });
  expect((await system.api('POST', '/api/payments/external/webhooks', { body: {} })).status).toBe(404);
  const large = await system.api('POST', '/api/payments/stripe/webhooks', { body: 'x'.repeat(70_000) });
  expect(large.status).toBe(413);
  expect(await paymentOf(held)).toMatchObject({ state: 'started' });

  expect(await Promise.all([authorised, refused, authorised, refused].map((event) => post(event)))).toEqual([
    200, 200, 200, 200,
  ]);
  await ends(held, 'captured');
  expect(await post(refused)).toBe(200);
  expect(await post(authorised)).toBe(200);
  const stranger = { ...authorised, data: { object: { ...authorised?.data.object, metadata: {} } } };
  expect(await post(stranger)).toBe(200);
  await ends(held, 'captured');
  expect([balanceOf(held), (await orderOf(held)).status]).toEqual([4_900, 'paid']);
});

test('without any webhook a payment is found when the page asks, and before its hold ends', async () => {
  standIn.webhookUrl = null;
  const [asked, closed] = [await hold(), await hold({ seconds: 8 })];
  standIn.confirm((await start(asked)).body.clientSecret);
  standIn.confirm((await start(closed)).body.clientSecret);
  expect((await start(asked)).body).toMatchObject({ state: 'authorised', clientSecret: null });
  for (const held of [asked, closed]) {
    await ends(held, 'captured');
    expect([balanceOf(held), (await orderOf(held)).status]).toEqual([4_900, 'paid']);
  }
});

test('money that comes too late is released, or given back once when it was taken at once', async () => {
  for (const how of ['ok', 'automatic'] as const) {
    const held = await hold();
    const { clientSecret } = (await start(held)).body;
    await setStatus(held.orderId, 'expired');
    standIn.confirm(clientSecret, how);
    const payment = await ends(held, how === 'ok' ? 'voided' : 'refunded');
    expect(payment.refunds).toHaveLength(how === 'ok' ? 0 : 1);
    expect([balanceOf(held), (await orderOf(held)).status]).toEqual([0, 'expired']);
    expect((await start(held)).body).toMatchObject({ detail: 'expected a held order, this one is expired' });
  }
  const never = await hold({ seconds: 1 });
  await start(never);
  await setStatus(never.orderId, 'expired');
  await ends(never, 'voided');
});

test('an authorisation before the deadline pays the order, although it is marked after it', async () => {
  standIn.webhookUrl = null;
  const [inTime, unpaid] = [await hold(), await hold()];
  for (const held of [inTime, unpaid]) await start(held);
  standIn.confirm((await start(inTime)).body.clientSecret);
  // As if the server that heard of it had died, and nobody else were to take the next step before the deadline.
  const [authorisedAt, muchLater] = [new Date(), new Date(Date.now() + 3_600_000)];
  const { orders, payments } = system.store.collections;
  await payments.updateOne(
    { orderId: inTime.orderId },
    { $set: { state: 'authorised', authorisedAt, dueAt: muchLater }, $inc: { revision: 1 } },
  );
  const ids = [inTime.orderId, unpaid.orderId];
  await orders.updateMany({ _id: { $in: ids } }, { $set: { holdExpiresAt: new Date() } });
  for (const [held, status] of [
    [inTime, 'paid'],
    [unpaid, 'expired'],
  ] as const)
    await waitUntil(async () => (await orderOf(held)).status === status, {
      deadlineMs: 20_000,
      what: `the order is ${status}`,
    });
  await payments.updateOne(
    { orderId: inTime.orderId },
    { $set: { dueAt: new Date() }, $inc: { revision: 1 } },
  );
  await ends(inTime, 'captured');
  await ends(unpaid, 'voided');
  expect([balanceOf(inTime), balanceOf(unpaid)]).toEqual([4_900, 0]);
});

test('a payment that is being processed lengthens its hold once, by two minutes', async () => {
  const held = await hold({ seconds: 10 });
  const { holdExpiresAt: before } = await orderOf(held);
  const { id } = standIn.confirm((await start(held)).body.clientSecret, 'processing');
  const { holdExpiresAt: after } = await waitUntil(
    async () => {
      const order = await orderOf(held);
      return order.holdExpiresAt === before ? null : order;
    },
    { deadlineMs: 10_000, what: 'the hold is lengthened' },
  );
  expect(Date.parse(after) - Date.parse(before)).toBe(lengthenedByMs);
  // As if the two minutes were over, and it is still being processed.
  const { orders, payments } = system.store.collections;
  await orders.updateOne({ _id: held.orderId }, { $set: { holdExpiresAt: new Date(before) } });
  await payments.updateOne({ orderId: held.orderId }, { $set: { dueAt: new Date() }, $inc: { revision: 1 } });
  await waitUntil(async () => ((await paymentOf(held))?.revision ?? 0) > 5, {
    deadlineMs: 20_000,
    what: 'the payment is looked at again',
  });
  expect((await orderOf(held)).holdExpiresAt).toBe(before);
  standIn.finish(id);
  await ends(held, 'captured');
  expect((await orderOf(held)).status).toBe('paid');
});

test('a cancelled order gives its money back once, also when it is cancelled while it is captured', async () => {
  const cancel = ({ orderId, token }: Held) => system.api('DELETE', `/api/orders/${orderId}`, { token });
  const [paid, raced] = [await hold(), await hold()];
  standIn.confirm((await start(paid)).body.clientSecret);
  await ends(paid, 'captured');
  expect((await cancel(paid)).status).toBe(200);
  expect((await ends(paid, 'refunded')).refunds).toMatchObject([{ amount: 4_900, state: 'succeeded' }]);

  standIn.confirm((await start(raced)).body.clientSecret);
  await waitUntil(async () => (await cancel(raced)).status === 200, {
    deadlineMs: 10_000,
    what: 'the order is paid',
    everyMs: 1,
  });
  await waitUntil(async () => (await paymentOf(raced))?.endedAt, {
    deadlineMs: 10_000,
    what: 'the money is back',
  });
  expect([balanceOf(paid), balanceOf(raced)]).toEqual([0, 0]);
});

const asStaff = (body?: unknown) => ({ token: system.adminToken, ...(body !== undefined && { body }) });

/** As a page does, it tries again after 503. */
const refund = (held: Held, body: object, headers?: Record<string, string>) =>
  waitUntil(
    async () => {
      const answer = await refundOnce(held, body, headers);
      return answer.status === 503 ? null : answer;
    },
    { deadlineMs: 30_000, what: 'the refund is answered' },
  );

const refundOnce = ({ orderId }: Held, body: object, headers?: Record<string, string>) =>
  system.api('POST', `/api/admin/orders/${orderId}/refunds`, {
    ...asStaff({ reason: 'It came broken', ...body }),
    ...(headers && { headers }),
  });

async function pay(held: Held): Promise<Held> {
  standIn.confirm((await start(held)).body.clientSecret);
  await ends(held, 'captured');
  return held;
}

test('staff give parts and then all of the money back, each once, and never more than was captured', async () => {
  const parts = await pay(await hold());
  expect((await refund(parts, { amount: 5_000 })).body).toMatchObject({ type: '/problems/not-refundable' });
  const key = { 'Idempotency-Key': 'the-first-part' };
  const same = await Promise.all(Array.from({ length: 100 }, () => refund(parts, { amount: 1_000 }, key)));
  expect(same.map(({ status }) => status)).toEqual(same.map(() => 200));
  expect(same[0]?.body).toMatchObject({
    order: { status: 'paid', refundedAmount: 1_000 },
    payments: [{ state: 'captured', capturedAmount: 4_900, refunds: [{ amount: 1_000 }] }],
  });
  expect((await refund(parts, { amount: 1_001 }, key)).status).toBe(422);
  const raced = await Promise.all(Array.from({ length: 100 }, () => refund(parts, { amount: 1_500 })));
  expect(raced.map(({ status }) => status).filter((status) => status === 200)).toHaveLength(2);
  await ends(parts, 'captured');
  expect(balanceOf(parts)).toBe(900);
  expect(await orderOf(parts)).toMatchObject({ status: 'paid', refundedAmount: 4_000 });

  const whole = await pay(await hold());
  for (const held of [parts, whole]) {
    const all = await Promise.all(Array.from({ length: held === whole ? 100 : 10 }, () => refund(held, {})));
    expect(all.map(({ status }) => status)).toEqual(all.map(() => 200));
    await ends(held, 'refunded');
    expect(balanceOf(held)).toBe(0);
    const order = await orderOf(held);
    expect(order).toMatchObject({
      status: 'refunded',
      refundedAmount: 4_900,
      cancelReason: 'It came broken',
    });
    const sale = await system.api('GET', `/api/sales/${held.saleId}`);
    expect(sale.body).toMatchObject({ stock: 4, unitsOnSale: 4 });
  }
  // With the amount that went back it is the same request again.
  expect((await refund(whole, { amount: 4_900 }, { 'Idempotency-Key': 'the-whole' })).status).toBe(200);
  expect((await refund(whole, { amount: 4_800 }, { 'Idempotency-Key': 'the-whole' })).status).toBe(409);
  const { providerId } = (await paymentOf(whole)) ?? {};
  expect(standIn.refunds.filter(({ payment_intent: of }) => of === providerId)).toHaveLength(1);
  const details = await system.api('GET', `/api/admin/orders/${parts.orderId}`, asStaff());
  const steps = details.body.steps.filter(({ type }: { type: string }) => type === 'order.refunded');
  expect(steps.map(({ amount }: { amount: number }) => amount)).toEqual([1_000, 1_500, 1_500, 900]);
  const log = await system.api('GET', `/api/admin/staff-log?subject=${parts.orderId}`, asStaff());
  expect(log.body.entries.map(({ action }: { action: string }) => action)).toEqual(
    Array(4).fill('order.refunded'),
  );
  expect(log.body.entries[0].after).toMatchObject({ status: 'refunded', reason: 'It came broken' });
  const csv = await (
    await fetch(`${system.url}/api/admin/sales/${parts.saleId}/orders.csv`, {
      headers: { Authorization: `Bearer ${system.adminToken}` },
    })
  ).text();
  expect(csv).toMatch(/refunded,[^\n]*49\.00,EUR,[^\n]*,49\.00\r?\n/);
  const report = await system.api('GET', `/api/admin/sales/${parts.saleId}/report`, asStaff());
  expect(report.body).toMatchObject({ refundedUnits: 1, refundedAmount: 4_900, units: 4 });
});

test('what cannot be refunded is refused with a reason', async () => {
  const held = await hold();
  expect((await refund(held, {})).body).toMatchObject({
    type: '/problems/not-refundable',
    detail: 'expected an order that was paid here, this one is held',
  });
  expect((await refund({ ...held, orderId: 'x'.repeat(22) }, {})).status).toBe(404);
  for (const body of [
    { amount: 0 },
    { amount: 1.5 },
    { amount: '1' },
    { reason: '' },
    { reason: 'payment_lost' },
    { reason: 'made_elsewhere' },
    { reason: 'order_not_held' },
  ])
    expect((await refund(held, body)).status, JSON.stringify(body)).toBe(400);
  const path = `/api/admin/orders/${held.orderId}/refunds`;
  const body = { reason: 'mine' };
  expect((await system.api('POST', path, { token: held.token, body })).status).toBe(403);
  expect((await system.api('POST', path, { token: system.tokenOf('viewer'), body })).status).toBe(403);
});

test('a refund that Stripe refuses is visible and tried again, and after its last refusal staff can press again', async () => {
  const held = await pay(await hold());
  standIn.fail('/refunds', 'refused', '500');
  expect((await refund(held, { amount: 900 })).status).toBe(200);
  const isRefused = async () => (await paymentOf(held))?.refunds[0]?.error;
  await waitUntil(isRefused, { deadlineMs: 10_000, what: 'the refusal is visible' });
  const path = `/api/admin/orders/${held.orderId}`;
  expect((await system.api('GET', path, asStaff())).body.payments[0].refunds[0]).toMatchObject({
    state: 'requested',
    error: expect.stringContaining('balance_insufficient'),
  });
  await ends(held, 'captured');
  expect(balanceOf(held)).toBe(4_000);

  standIn.fail('/refunds', ...Array.from({ length: 8 }, () => 'refused' as const));
  await refund(held, { amount: 1_000 });
  const { payments } = system.store.collections;
  await waitUntil(
    async () => {
      // Each attempt waits twice as long as the one before, and this test does not.
      await payments.updateOne(
        { orderId: held.orderId },
        { $set: { dueAt: new Date() }, $inc: { revision: 1 } },
      );
      return (await paymentOf(held))?.refunds[1]?.state === 'failed';
    },
    { deadlineMs: 20_000, what: 'the refund has failed' },
  );
  await waitUntil(async () => (await orderOf(held)).refundedAmount === 900, {
    deadlineMs: 10_000,
    what: 'the failed refund does not count',
  });
  expect((await refund(held, { amount: 1_000 })).status).toBe(200);
  await ends(held, 'captured');
  expect(balanceOf(held)).toBe(3_000);
});

test('a whole refund that banks return five times is asked for again by staff, and the log replays', async () => {
  const held = await pay(await hold());
  const key = { 'Idempotency-Key': 'all-of-it' };
  expect((await refund(held, {}, key)).status).toBe(200);
  for (let time = 1; time <= 5; time++) {
    await ends(held, 'refunded');
    standIn.changeRefund((await paymentOf(held))?.refunds.at(-1)?.providerId ?? '', 'failed');
    await waitUntil(
      async () => (await paymentOf(held))?.refunds.filter(({ state }) => state === 'failed').length === time,
      { deadlineMs: 10_000, what: 'the failure is taken in' },
    );
  }
  await waitUntil(async () => !(await orderOf(held)).refundedAmount, {
    deadlineMs: 10_000,
    what: 'the failed refund does not count',
  });
  // The same request again asks for nothing more; a new one does.
  expect((await refund(held, {}, key)).status).toBe(200);
  expect((await refund(held, { amount: 4_900 }, key)).status).toBe(200);
  expect((await refund(held, { amount: 4_800 }, key)).status).toBe(422);
  expect((await paymentOf(held))?.refunds).toHaveLength(5);
  expect((await refund(held, {})).status).toBe(200);
  await ends(held, 'refunded');
  await waitUntil(async () => (await orderOf(held)).refundedAmount === 4_900, {
    deadlineMs: 10_000,
    what: 'the refund counts',
  });
  for await (const { orders } of replay(system.store.collections, { saleId: held.saleId }))
    expect(orders.get(held.orderId)).toMatchObject({ status: 'refunded', refundedAmount: 4_900 });
});

test('what Stripe did before it answered with an error is done once, and what it refuses is tried again', async () => {
  const held = await hold();
  standIn.fail('/capture', '500');
  standIn.confirm((await start(held)).body.clientSecret);
  await ends(held, 'captured');
  expect(balanceOf(held)).toBe(4_900);

  const late = await hold();
  const { clientSecret } = (await start(late)).body;
  await setStatus(late.orderId, 'expired');
  standIn.fail('/refunds', 'refused', '500');
  standIn.confirm(clientSecret, 'automatic');
  await waitUntil(async () => (await paymentOf(late))?.refunds[0]?.error, {
    deadlineMs: 10_000,
    what: 'the refused refund is visible',
  });
  const { refunds } = await ends(late, 'refunded');
  expect(refunds).toMatchObject([{ amount: 4_900, state: 'succeeded', reason: 'order_not_held' }]);
  expect(balanceOf(late)).toBe(0);

  const away = await hold();
  standIn.fail('/payment_intents', '429');
  const answer = await start(away);
  expect([answer.status, answer.headers.get('retry-after')]).toEqual([503, '1']);
  expect((await start(away)).status).toBe(200);
});

test('fifty tabs and fifty webhooks of one order capture its price once', async () => {
  const held = await hold();
  const starts = await Promise.all(Array.from({ length: 50 }, () => start(held)));
  expect(starts.map(({ status }) => status)).toEqual(starts.map(() => 200));
  standIn.webhookUrl = null;
  standIn.confirm(starts[0]?.body.clientSecret);
  const [event] = eventsOf(held, 'payment_intent.amount_capturable_updated');
  const before = standIn.counts.get('POST /v1/payment_intents/:id/capture') ?? 0;
  await Promise.all(Array.from({ length: 50 }, () => standIn.post(event ?? {}, { url: webhookUrl })));
  await ends(held, 'captured');
  expect(balanceOf(held)).toBe(4_900);
  expect(standIn.counts.get('POST /v1/payment_intents/:id/capture')).toBeLessThanOrEqual(before + 4);
});

test('a server that dies before or after any step leaves nothing half', async () => {
  standIn.webhookUrl = null;
  const points = ['asking@1', 'asked@1', 'received@1', 'marking@1', 'marked@1', 'asking@3', 'asked@3'];
  const doomed = await Promise.all(
    points.map((point) => system.startServer({ FAILPOINTS: `${point}=kill` })),
  );
  const helds = await Promise.all(points.map(() => hold()));
  await Promise.all(
    helds.map(async (held, n) => {
      const { url } = doomed[n] as (typeof doomed)[number];
      // Any request may meet the end; the page and Stripe send theirs again, to another server.
      const first = await start(held, url).catch(() => start(held));
      await start(held, url).catch(() => {});
      standIn.confirm(first.body.clientSecret);
      const [event] = eventsOf(held, 'payment_intent.amount_capturable_updated');
      await standIn
        .post(event ?? {}, { url: `${url}/api/payments/stripe/webhooks` })
        .catch(() => standIn.post(event ?? {}, { url: webhookUrl }));
    }),
  );
  for (const held of helds) {
    await ends(held, 'captured');
    expect([balanceOf(held), (await orderOf(held)).status]).toEqual([4_900, 'paid']);
  }
  expect(await Promise.all(doomed.map(({ ended }) => ended))).toEqual(points.map(() => 'SIGKILL'));
  await Promise.all(doomed.map((server) => server.close()));
});

test('a worker that dies between two steps leaves them to another one, and the log replays', async () => {
  // A payment is looked at in the last 15 s of its hold: enough for another worker to lead before the hold expires.
  const helds = await Promise.all(Array.from({ length: 4 }, () => hold({ seconds: 25 })));
  standIn.webhookUrl = null;
  for (const held of helds) standIn.confirm((await start(held)).body.clientSecret);
  await setStatus(helds[3]?.orderId ?? '', 'expired');
  // The first worker ends, the second dies at its second question, and the third does what is left.
  const [first] = system.workers;
  const doomed = await system.startWorker({ FAILPOINTS: 'asked@2=kill' });
  await first?.close();
  await doomed.ended;
  await system.startWorker();
  for (const held of helds.slice(0, 3)) {
    await ends(held, 'captured');
    expect([balanceOf(held), (await orderOf(held)).status]).toEqual([4_900, 'paid']);
  }
  await ends(helds[3] as Held, 'voided');
  const { I5, I3 } = await system.audit();
  expect(I3.breaches).toBe(0);
  // The test wrote `held` and `expired` itself, without the log.
  const expired = I5.examples.filter((example) => !example.includes('the log says paid'));
  expect(expired).toEqual([]);
});

test('what is refunded in Stripe’s own pages is taken in, and all of it ends the order', async () => {
  const held = await pay(await hold());
  const { providerId } = (await paymentOf(held)) ?? {};
  standIn.refundElsewhere(providerId ?? '', 900);
  await waitUntil(async () => (await orderOf(held)).refundedAmount === 900, {
    deadlineMs: 20_000,
    what: 'the part is taken in',
  });
  standIn.refundElsewhere(providerId ?? '', 4_000);
  await ends(held, 'refunded');
  expect(await orderOf(held)).toMatchObject({ status: 'refunded', refundedAmount: 4_900 });
  expect((await paymentOf(held))?.refunds).toMatchObject([
    { amount: 900, reason: 'made_elsewhere', state: 'succeeded' },
    { amount: 4_000, reason: 'made_elsewhere', state: 'succeeded' },
  ]);
});

test('an order whose authorisation is gone before its capture is cancelled, and its units come back', async () => {
  const held = await hold();
  standIn.fail('/capture', 'refused');
  const { id } = standIn.confirm((await start(held)).body.clientSecret);
  await waitUntil(async () => (await orderOf(held)).status === 'paid', {
    deadlineMs: 10_000,
    what: 'the order is paid',
  });
  standIn.expire(id);
  await ends(held, 'voided');
  await waitUntil(async () => (await orderOf(held)).status === 'cancelled', {
    deadlineMs: 10_000,
    what: 'the order is cancelled',
  });
  expect(await orderOf(held)).toMatchObject({ cancelledBy: 'staff', cancelReason: 'payment_lost' });
  const sale = await system.api('GET', `/api/sales/${held.saleId}`);
  expect(sale.body).toMatchObject({ stock: 5, unitsOnSale: 5 });
});

test('a sale whose orders Stripe cannot charge is refused when it is made, mended and published', async () => {
  const { body: product } = await system.api('POST', '/api/products', asStaff({ name: 'A lamp' }));
  const window = { opensAt: new Date(Date.now() + 3_600_000), closesAt: new Date(Date.now() + 7_200_000) };
  const price = { amount: 5_124, currency: 'KWD' };
  const sale = { productId: product.id, price, stock: 5, ...window };
  const make = (body: object) => system.api('POST', '/api/sales', asStaff({ ...sale, ...body }));
  const refused = { status: 400, body: { errors: [{ field: 'price' }] } };
  expect(await make({ paymentWindowSeconds: 600 })).toMatchObject(refused);
  expect(await make({ paymentWindowSeconds: 600, draft: true })).toMatchObject(refused);
  expect((await make({})).status).toBe(201);
  const charged = { amount: 5_120, currency: 'KWD' };
  const { body: made } = await make({ price: charged, paymentWindowSeconds: 600, draft: true });
  const change = (body: object) => system.api('PATCH', `/api/sales/${made.id}`, asStaff(body));
  expect(await change({ price })).toMatchObject(refused);
  expect(await change({ limitPerBuyer: 100_000 })).toMatchObject({ status: 400 });
  // As a draft of the version before, which was not refused.
  await system.store.collections.drafts.updateOne(
    { _id: made.id },
    { $set: { 'sale.items.0.amount': 5_124 } },
  );
  const publish = () => system.api('POST', `/api/sales/${made.id}/publication`, asStaff());
  expect(await publish()).toMatchObject(refused);
  expect((await change({ price: charged })).status).toBe(200);
  expect((await publish()).status).toBe(200);
});

test('I7: orders, payments and what Stripe says are the same money, and a difference is a breach', async () => {
  const { payments } = system.store.collections;
  const { I7 } = await system.audit();
  // Orders of tests that nobody has paid are still held.
  expect(I7).toMatchObject({ breaches: 0, listed: standIn.intents.size });
  const balance = [...standIn.balances().values()].reduce((sum, amount) => sum + amount, 0);
  expect((I7.captured.EUR ?? 0) - (I7.refunded.EUR ?? 0)).toBe(balance);

  const paid = await payments.findOne({ state: 'captured', refunds: { $size: 0 } });
  await payments.updateOne({ _id: paid?._id ?? '' }, { $set: { capturedAmount: 4_800 } });
  const [stolen] = [...standIn.intents.values()].filter(({ status }) => status === 'canceled');
  Object.assign(stolen ?? {}, { status: 'succeeded', amount_received: 4_900 });
  // What was captured long ago is checked although a step of it is due, and what Stripe does not know is missed.
  const [late, lost] = await payments
    .find({ state: 'captured', _id: { $ne: paid?._id ?? '' } })
    .limit(2)
    .toArray();
  const longAgo = new Date(Date.now() - 7_200_000);
  expect([late, lost]).not.toContain(undefined);
  standIn.intents.delete(lost?.providerId ?? '');
  await system.store.collections.orders.updateOne(
    { _id: late?.orderId ?? '' },
    { $set: { status: 'expired', holdExpiresAt: longAgo } },
  );
  const dueAt = new Date(Date.now() + 3_600_000);
  const times = { createdAt: longAgo, authorisedAt: longAgo, capturedAt: longAgo };
  await payments.updateOne({ _id: late?._id ?? '' }, { $set: { ...times, dueAt, refunds: [] } });
  const ours = [
    `payment ${paid?._id}: 4800 captured, the order costs 4900`,
    `payment ${late?._id}: 4900 kept, the order is expired`,
  ];
  const found = (await system.audit()).I7;
  expect(found.examples.sort()).toEqual(
    [
      ...ours,
      `payment ${paid?._id}: stripe has 4900 captured and 0 refunded as ${paid?.providerId}`,
      `payment ${lost?._id}: stripe lacks the 4900 captured`,
      `payment ${stolen?.metadata.payment}: stripe has 4900 captured and 0 refunded as ${stolen?.id}`,
    ].sort(),
  );
  // A large sale is read in parts, and what looks wrong in it is read once more.
  const { collections, gate, queue } = system.store;
  const sizes = { ordersInSnapshot: 0, ordersInPartition: 2, batchSize: 2 };
  expect((await audit(collections, gate, queue, { sizes })).I7.examples.sort()).toEqual(ours.sort());
});
