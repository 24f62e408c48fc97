import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { nanoid } from 'nanoid';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { freePort } from '../../../ops/local/processes/port.mjs';
import { waitUntil } from '../../../ops/local/processes/process.mjs';
import {
  type FaultKind,
  type PaymentProvider,
  type PaymentReport,
  providerTimeoutMs,
} from '../../../sale/payment/provider.ts';
import { openStripe } from '../../../sale/payment/stripe.ts';
import { needs, pathOf } from '../../support/needs.ts';
import { openStripeStandIn, type StripeStandIn, webhookSecret } from '../../support/stripe-stand-in.ts';

let standIn: StripeStandIn;
let stripe: PaymentProvider;
const open = (apiUrl: string) =>
  openStripe({ secretKey: 'sk_test_123', webhookSecrets: ['whsec_of_before', webhookSecret], apiUrl });

beforeAll(async () => {
  standIn = await openStripeStandIn();
  stripe = await open(standIn.url);
});
afterAll(() => standIn.close());

const price = { amount: 4_900, currency: 'EUR' };
const requestOf = (amount = price) => {
  const orderId = nanoid(22);
  return { paymentId: `${orderId}.1`, orderId, price: amount, attempts: 0 };
};

async function startAt(provider: PaymentProvider, amount = price) {
  const request = requestOf(amount);
  const report = await provider.start(request);
  const there = { ...request, providerId: report.providerId };
  return { report, there, secret: report.handover?.clientSecret ?? '' };
}

async function authorise() {
  const started = await startAt(stripe);
  standIn.confirm(started.secret);
  return started.there;
}

const faultOf = (work: Promise<unknown>): Promise<FaultKind> =>
  work.then(
    () => Promise.reject(new Error('expected a fault')),
    (error) => error.kind,
  );

test('a payment is authorised by the buyer, captured and refunded in parts, each once', async () => {
  const { report, there, secret } = await startAt(stripe);
  expect(report).toMatchObject({ paymentId: there.paymentId, stage: 'started', price, capturedAmount: 0 });
  expect(standIn.intents.get(there.providerId)).toMatchObject({ capture_method: 'manual', currency: 'eur' });
  standIn.confirm(secret, 'declined');
  expect(await stripe.read(there)).toMatchObject({ stage: 'failed', failure: 'insufficient_funds' });
  standIn.confirm(secret);
  expect(await stripe.read(there)).toMatchObject({ stage: 'authorised', failure: null });

  const captures = await Promise.all([stripe.capture(there), stripe.capture(there)]);
  expect(captures).toMatchObject([{ stage: 'captured', capturedAmount: 4_900 }, { stage: 'captured' }]);
  for (const n of [1, 1, 2]) {
    const refund = { refundId: `${there.paymentId}-${n}`, amount: 1_000 };
    expect(await stripe.refund(there, { ...refund, refusals: 0 })).toMatchObject({
      ...refund,
      stage: 'succeeded',
    });
  }
  expect(await faultOf(stripe.refund(there, { refundId: 'too-much', amount: 3_000, refusals: 0 }))).toBe(
    'refused',
  );
  expect(await stripe.read(there)).toMatchObject({ refundedAmount: 2_000, refunds: [{}, {}] });
});

test('the same payment started many times at once is one intent, and one that is void cannot be captured', async () => {
  const request = requestOf();
  const reports = await Promise.allSettled(Array.from({ length: 20 }, () => stripe.start(request)));
  const ids = reports.flatMap((one) => (one.status === 'fulfilled' ? [one.value.providerId] : []));
  expect(new Set(ids).size).toBe(1);
  const there = { ...request, providerId: ids[0] as string };
  expect(await stripe.void(there)).toMatchObject({ stage: 'voided' });
  expect(await faultOf(stripe.capture(there))).toBe('refused');
});

test('what goes wrong is told apart: not done, refused, or unknown', async () => {
  standIn.fail('/payment_intents', '429');
  expect(await faultOf(stripe.start(requestOf()))).toBe('transient');
  const there = await authorise();
  standIn.fail('/capture', '500');
  expect(await faultOf(stripe.capture(there))).toBe('unknown');
  // The same key is answered with the same error, but the payment says what became of it.
  expect(await faultOf(stripe.capture(there))).toBe('unknown');
  expect(await stripe.read(there)).toMatchObject({ stage: 'captured' });
  standIn.fail('/refunds', 'refused');
  expect(await faultOf(stripe.refund(there, { refundId: `r-${nanoid()}`, amount: 1, refusals: 0 }))).toBe(
    'refused',
  );
  const other = await authorise();
  standIn.fail('/cancel', 'hang');
  const startedAt = performance.now();
  // The first attempt was done; the repetition under the same key says so.
  expect(await stripe.void(other)).toMatchObject({ stage: 'voided' });
  expect(performance.now() - startedAt).toBeLessThan(providerTimeoutMs);
  const away = await open(`http://127.0.0.1:${await freePort()}`);
  expect(await faultOf(away.start(requestOf()))).toBe('unknown');
});

test('amounts reach Stripe in its units and come back in ours', async () => {
  for (const [amount, currency, theirs] of [
    [5, 'ISK', 500],
    [500, 'JPY', 500],
    [5_120, 'KWD', 5_120],
  ] as const) {
    const { report, there } = await startAt(stripe, { amount, currency });
    expect(standIn.intents.get(there.providerId)?.amount).toBe(theirs);
    expect(report.price).toEqual({ amount, currency });
  }
  expect(stripe.faultOf({ amount: 5_124, currency: 'KWD' })).toMatch(/multiples of 10/);
  expect(await faultOf(stripe.start(requestOf({ amount: 5_124, currency: 'KWD' })))).toBe('refused');
});

test("Stripe's own list has all payments of the shop, over several pages", async () => {
  standIn.intents.set('pi_of_another_shop', {
    ...([...standIn.intents.values()][0] as StripeStandIn['intents'] extends Map<string, infer One>
      ? One
      : never),
    id: 'pi_of_another_shop',
    metadata: {},
  });
  const listed: PaymentReport[] = [];
  for await (const report of stripe.listSince(new Date(Date.now() - 60_000))) listed.push(report);
  expect(listed.map(({ providerId }) => providerId).sort()).toEqual(
    [...standIn.intents.keys()].filter((id) => id !== 'pi_of_another_shop').sort(),
  );
  expect(listed.some(({ refundedAmount }) => refundedAmount === 2_000)).toBe(true);
});

test('a webhook counts with a fresh signature over the very bytes, whichever secret made it', async () => {
  const there = await authorise();
  const event = standIn.events.at(-1);
  const received: { body: Buffer; signature: string }[] = [];
  const { createServer } = await import('node:http');
  const server = createServer(async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    received.push({ body: Buffer.concat(chunks), signature: String(request.headers['stripe-signature']) });
    response.end();
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const url = `http://127.0.0.1:${(server.address() as { port: number }).port}`;
  const aDayAgo = new Date(Date.now() - 86_400_000);
  await standIn.post(event as object, { url });
  await standIn.post(event as object, { url, secret: 'whsec_of_before' });
  await standIn.post(event as object, { url, secret: 'whsec_of_a_stranger' });
  await standIn.post(event as object, { url, at: aDayAgo });
  server.close();
  const verified = received.map(({ body, signature }) => stripe.verifyWebhook(body, () => signature));
  const message = {
    paymentId: there.paymentId,
    report: { stage: 'authorised', providerId: there.providerId },
  };
  expect(verified).toMatchObject([message, message, null, null]);
  const [{ body, signature }] = received as [(typeof received)[number]];
  expect(stripe.verifyWebhook(Buffer.concat([body, Buffer.from(' ')]), () => signature)).toBeNull();
  expect(stripe.verifyWebhook(body, () => undefined)).toBeNull();
});

test('requests and answers have the shapes of Stripe’s own specification', needs('stripe-mock'), async () => {
  const port = await freePort();
  const mock = spawn(pathOf('stripe-mock') ?? '', ['-http-addr', `127.0.0.1:${port}`], {
    stdio: 'ignore',
  });
  try {
    const url = `http://127.0.0.1:${port}`;
    await waitUntil(() => fetch(url).then(Boolean, () => false), {
      deadlineMs: 20_000,
      what: 'stripe-mock starts',
    });
    const provider = await open(url);
    const { there, report } = await startAt(provider);
    expect(report).toMatchObject({
      price,
      handover: { clientSecret: expect.any(String) },
    });
    expect(await provider.read(there)).toMatchObject({ providerId: expect.stringMatching(/^pi_/) });
    expect(await provider.capture(there)).toMatchObject({ providerId: expect.stringMatching(/^pi_/) });
    expect(await provider.void(there)).toMatchObject({ providerId: expect.stringMatching(/^pi_/) });
    const refund = { refundId: 'a-refund', amount: 100, refusals: 0 };
    expect(await provider.refund(there, refund)).toMatchObject({ refundId: 'a-refund' });
    for await (const listed of provider.listSince(new Date())) expect(listed.providerId).toMatch(/^pi_/);
  } finally {
    mock.kill();
  }
});
