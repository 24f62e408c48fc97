import { nanoid } from 'nanoid';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { eventsOf, readChanges } from '../../log/events.ts';
import type { EventBus } from '../../messages/bus.ts';
import { openBus } from '../../messages/open-bus.ts';
import { waitUntil } from '../../ops/local/processes/process.mjs';
import { openLog } from '../../runtime/observe/log.ts';
import type { Session } from '../../sale/contract.ts';
import { writeCallMail } from '../../subscribers/mail/call-mails.ts';
import { textsIn } from '../../subscribers/mail/layout.ts';
import { orderMailOf } from '../../subscribers/mail/notifications.ts';
import { startSystem, type TestSystem } from '../support/harness.ts';
import { type MailCatcher, openMailCatcher } from '../support/mail-catcher.ts';

let mailbox: MailCatcher;
let system: TestSystem;
/** The bus as another process opens it. */
let bus: EventBus;

beforeAll(async () => {
  mailbox = await openMailCatcher();
  system = await startSystem({
    servers: 1,
    nginx: false,
    env: {
      SMTP_URL: mailbox.url,
      MAIL_FROM: 'The shop <shop@example.com>',
      PUBLIC_URL: 'https://shop.example.com/',
      EVENT_RETRY_FIRST_MS: '10',
      ROOM_ANSWER_SECONDS: '12',
    },
  });
  bus = openBus(system.store.config, openLog(system.store.config, 'test'), () => false);
});
afterAll(async () => {
  await bus.close();
  await system.close();
  await mailbox.close();
});

async function buy(saleId: string, token: string): Promise<string> {
  const { body } = await system.buy(saleId, token);
  await system.settled(body.orderId, token);
  return body.orderId;
}

const mailTo = (email: string, subject: string) => mailbox.mailTo(email, subject);

test('a buyer gets a mail with the outcome of an order as text and HTML, with any product name escaped', async () => {
  const { token, email } = await system.signUp();
  const name = '<img src=x> & "Söhne"';
  const sale = await system.createSale({ name, stock: 2 });
  const orderId = await buy(sale.id, token);
  const paid = await mailTo(email, 'Yours');
  expect(paid).toMatchObject({
    subject: `Yours: 1 × ${name}`,
    from: { name: 'The shop', address: 'shop@example.com' },
  });
  expect(paid.text).toContain(`You got it: 1 × ${name}, for €49.00.`);
  expect(paid.text).toContain(`Order no. ${orderId.slice(0, 8)}`);
  expect(paid.html).toContain('1 × &lt;img src=x&gt; &amp; &quot;Söhne&quot;');
  expect(paid.html).not.toContain('<img');
  expect(paid.html).toContain('href="https://shop.example.com/orders"');

  await system.api('DELETE', `/api/orders/${orderId}`, { token });
  const cancelled = await mailTo(email, 'Cancelled');
  expect(cancelled.text).toContain(`Your order of 1 × ${name} is cancelled.`);
  // Its payment is made elsewhere, so the shop knows nothing of the money.
  expect(cancelled.text).not.toMatch(/goes back|charged/);

  const payer = await system.signUp();
  const paidOrderId = await buy(sale.id, payer.token);
  const paidWith = { $set: { paymentId: `${paidOrderId}.1` } };
  await system.store.collections.orders.updateOne({ _id: paidOrderId }, paidWith);
  await system.api('DELETE', `/api/orders/${paidOrderId}`, { token: payer.token });
  expect((await mailTo(payer.email, 'Cancelled')).text).toContain('€49.00 goes back to you');
});

test('a buyer who has not paid yet gets a mail about the hold, with its end, and one when it is over', async () => {
  const { token, email } = await system.signUp();
  const sale = await system.createSale({ stock: 2, paymentWindowSeconds: 8 });
  await buy(sale.id, token);
  const held = await mailTo(email, 'Pay now');
  expect(held.text).toMatch(/Pay €49\.00 until \w+day, .*UTC, or others get the chance/);
  const expired = await mailTo(email, 'Not paid in time');
  expect(expired.text).toContain('A payment that came too late goes back to you.');
});

test('who entered a draw gets a mail with the number drawn, and who is offered units one at once', async () => {
  const { product, price, opensAt, closesAt } = await system.createSale();
  const people = await Promise.all([system.signUp(), system.signUp()]);
  const drawAt = new Date(Date.now() + 1_800_000);
  const sale = { productId: product.id, price, stock: 1, opensAt, closesAt, mode: 'draw', drawAt };
  const { body } = await system.api('POST', '/api/sales', {
    token: system.adminToken,
    body: { ...sale, paymentWindowSeconds: 600 },
  });
  for (const { token } of people)
    expect(
      (await system.api('POST', `/api/sales/${body.id}/entries`, { token, body: { quantity: 1 } })).status,
    ).toBe(200);
  const { sales, orders } = system.store.collections;
  await sales.updateOne({ _id: body.id }, { $set: { drawAt: new Date() } });
  const mails = await Promise.all(people.map(({ email }) => mailTo(email, 'The draw is made')));
  const numbers = mails.map(({ text }) => Number(/You have number (\d) of 2\./.exec(text ?? '')?.[1]));
  expect(numbers.toSorted()).toEqual([1, 2]);
  for (const { text } of mails) expect(text).toContain(`https://shop.example.com/draws/${body.id}`);
  const turn = await mailTo(people[numbers.indexOf(1)]?.email ?? '', 'It is your turn');
  const order = await orders.findOne({ saleId: body.id });
  expect(turn.text).toMatch(/it is your turn: we are holding 1 × .* Pay €49\.00 until \w+day/);
  expect(turn.text).toContain(`https://shop.example.com/orders/${order?._id}`);
});

test('who is called into a waiting room and does not come at once gets one mail about it', async () => {
  const { product, price, closesAt } = await system.createSale();
  const [away, there] = [await system.signUp(), await system.signUp()];
  const opensAt = new Date(Date.now() + 1_800_000);
  const { body: sale } = await system.api('POST', '/api/sales', {
    token: system.adminToken,
    body: { productId: product.id, price, stock: 2, opensAt, closesAt, mode: 'room' },
  });
  const { users, mails, places } = system.store.collections;
  await users.updateOne({ email: away.email }, { $set: { language: 'de' } });
  for (const { token } of [away, there])
    expect((await system.api('POST', `/api/sales/${sale.id}/places`, { token })).status).toBe(200);
  await system.changeSale(sale.id, { opensAt: new Date(Date.now() + 1_200) });
  const enter = async ({ token }: Session) =>
    (await system.api('POST', `/api/sales/${sale.id}/places/mine/pass`, { token })).status;
  await waitUntil(async () => (await enter(there)) === 200, {
    deadlineMs: 30_000,
    everyMs: 50,
    what: 'no call',
  });
  const { text, subject } = await mailTo(away.email, 'Komm jetzt herein');
  expect(subject).toContain(product.name);
  expect(text).toMatch(/Komm bis \d\d:\d\d:\d\d UTC herein/);
  expect(text).toContain(`https://shop.example.com/sales/${sale.id}`);

  // Its text follows the place at the time of sending; nothing is sent when the call or the sale is over.
  const place = await places.findOne({ saleId: sale.id, state: 'called' });
  const number = place?.calls?.at(-1)?.number ?? 0;
  const ofPlace = { _id: place?._id ?? '' };
  const shop = {
    name: 'Shop',
    from: 'shop@example.com',
    url: 'https://shop.example.com',
    timeZone: 'UTC',
  } as const;
  const written = async () =>
    (await writeCallMail(system.store.collections, 'id', { placeId: ofPlace._id, number }, shop))?.text;
  await places.updateOne(ofPlace, { $set: { missed: true } });
  expect(await written()).toContain('wieder an der Reihe');
  const answerBy = place?.calls?.at(-1)?.answerBy as Date;
  await places.updateOne(
    ofPlace,
    { $set: { 'calls.$[last].answerBy': new Date(0) } },
    { arrayFilters: [{ 'last.number': number }] },
  );
  expect(await written()).toBeUndefined();
  await places.updateOne(
    ofPlace,
    { $set: { 'calls.$[last].answerBy': answerBy }, $unset: { missed: 1 } },
    { arrayFilters: [{ 'last.number': number }] },
  );
  await system.store.collections.sales.updateOne({ _id: sale.id }, { $set: { calledOffAt: new Date() } });
  expect(await written()).toBeUndefined();
  await system.store.collections.sales.updateOne({ _id: sale.id }, { $unset: { calledOffAt: 1 } });

  // Staff can send one again by its id.
  const failed = { _id: `call:${ofPlace._id}:99`, call: { placeId: ofPlace._id, number: 99 } };
  const tried = { state: 'failed' as const, attempts: 1, unanswered: 0, dueAt: new Date(), answer: null };
  await mails.insertOne({ ...failed, ...tried, createdAt: new Date() });
  const resend = `/api/admin/mails/${failed._id}/resend`;
  expect((await system.api('POST', resend, { token: system.adminToken })).status).toBe(202);
  await mails.deleteOne({ _id: failed._id });

  expect(await enter(away)).toBe(200);
  const calls = (await places.find({ saleId: sale.id }).toArray()).flatMap((place) => place.calls ?? []);
  expect(calls.map(({ mailed }) => mailed === true).sort()).toEqual([false, true]);
  expect(await mails.countDocuments({ _id: { $regex: `^call:${sale.id}` } })).toBe(1);
});

test('a mail contains no user name, since anybody can sign up with a foreign address', async () => {
  const email = `${nanoid().toLowerCase()}@example.com`;
  const account = { email, password: 'correct horse', name: 'You won! Visit evil.example' };
  const { body } = await system.api<Session>('POST', '/api/users', { body: account });
  const sale = await system.createSale({ stock: 2 });
  await buy(sale.id, body.token);
  const mail = await mailTo(email, 'Yours');
  expect(mail.to).toEqual([{ name: '', address: email }]);
  expect(JSON.stringify(mail)).not.toContain('evil.example');
});

test('the mail of a rejected order contains its reason', async () => {
  const sale = await system.createSale({ stock: 0 });
  await system.changeSale(sale.id, { addStock: 1 });
  await buy(sale.id, system.buyerToken());
  const { token, email } = await system.signUp();
  await system.store.redis.hset(system.store.gate.keyOf(sale.id), 'left', 100);
  await buy(sale.id, token);
  expect((await mailTo(email, 'Not this time')).text).toContain('Others were quicker: none was left');
});

test('redelivered events send one mail, under one id', async () => {
  const { token, email } = await system.signUp();
  const sale = await system.createSale({ stock: 2 });
  const orderId = await buy(sale.id, token);
  const first = await mailTo(email, 'Yours');
  expect(first.messageId).toMatch(/^<[0-9a-f]{32}@example\.com>$/);

  // As the relay does after a crash.
  const again = (await readChanges(system.store.collections, sale.id).toArray()).flatMap(eventsOf);
  await waitUntil(() => bus.publish(again).then(() => true), { deadlineMs: 5_000, what: 'it publishes' });
  await system.api('DELETE', `/api/orders/${orderId}`, { token });
  await mailTo(email, 'Cancelled');
  const isAboutOrder = ({ to, mail }: (typeof mailbox.posts)[number]) =>
    to === email && !mail.subject?.startsWith('Confirm your address');
  expect(mailbox.posts.filter(isAboutOrder)).toHaveLength(2);

  // As after a crash between sending the mail and marking it as sent.
  await system.store.collections.mails.updateMany({}, { $unset: { sentAt: 1 } });
  await bus.publish(again);
  const mailsToBuyer = () =>
    mailbox.posts.filter(({ to, mail }) => to === email && mail.subject === first.subject);
  await waitUntil(() => mailsToBuyer().length === 2, { deadlineMs: 20_000, what: 'the mail is sent again' });
  expect(new Set(mailsToBuyer().map(({ mail }) => mail.messageId)).size).toBe(1);
});

test('a deleted account gets no mail', async () => {
  const [gone, stays] = [await system.signUp(), await system.signUp()];
  const sale = await system.createSale({ stock: 2 });
  expect((await system.api('DELETE', '/api/account', { token: gone.token })).status).toBe(204);
  // The token is still valid, but its account is deleted.
  await buy(sale.id, system.buyerToken(gone.user.id));
  await buy(sale.id, stays.token);
  await mailTo(stays.email, 'Yours');
  // The mail that asks to confirm the address may have gone before.
  const about = mailbox.posts.filter(({ to }) => to === gone.email).map(({ mail }) => mail.subject);
  expect(about.filter((subject) => subject?.startsWith('Yours'))).toEqual([]);
});

test('mails wait for an unavailable mail server, and none is lost', async () => {
  await mailbox.close();
  const { token, email } = await system.signUp();
  const sale = await system.createSale({ stock: 2 });
  await buy(sale.id, token);
  const { mails } = system.store.collections;
  const waits = {
    _id: { $regex: `^${sale.id}` },
    state: 'waiting' as const,
    answer: 'ESOCKET',
    attempts: 0,
  };
  await waitUntil(() => mails.findOne(waits), { deadlineMs: 20_000, what: 'it tries to send one' });
  await mailbox.open();
  await mailTo(email, 'Yours');
  expect((await bus.listDeadLetters('notifications', 10)).total).toBe(0);
});

test('a permanently refused mail is kept with the server’s answer, and the next mail is sent', async () => {
  const [first, second] = [await system.signUp(), await system.signUp()];
  const unwanted = await system.createSale({ name: 'unwanted', stock: 2 });
  const wanted = await system.createSale({ stock: 2 });
  const orderId = await buy(unwanted.id, first.token);
  await buy(wanted.id, second.token);
  await mailTo(second.email, 'Yours');
  const list = await waitUntil(
    async () => {
      const { body } = await system.api('GET', '/api/admin/mails', { token: system.adminToken });
      return body.counts.failed > 0 ? body : null;
    },
    { deadlineMs: 20_000, what: 'a failed mail' },
  );
  expect(list.mails).toMatchObject([
    { type: 'order.paid', orderId, state: 'failed', attempts: 1, answer: '550 at DATA' },
  ]);
  expect(list.more).toBe(false);
  expect(JSON.stringify(list)).not.toContain(first.email);
  expect((await bus.listDeadLetters('notifications', 10)).total).toBe(0);
});

test('an amount is formatted by its currency and the language', () => {
  const text = (amount: number, currency: string, language: 'en' | 'de' = 'en') =>
    orderMailOf(
      { kind: 'paid', lines: [{ name: 'A lamp', quantity: 2, amount: 2 * amount }], currency },
      textsIn(language),
    ).paragraphs.join('\n');
  expect(text(4_900, 'EUR')).toContain('for €98.00.');
  expect(text(4_900, 'JPY')).toContain('for ¥9,800.');
  expect(text(4_900, 'EUR', 'de')).toContain('für 98,00\u00a0€.');
  expect(text(0, 'EUR')).toBe('You got it: 2 × A lamp.');
});

test('the texts are true in every case, in every language', () => {
  const lines = [{ name: 'A shirt, M', quantity: 3, amount: 6_000 }];
  const said = (news: object, language: 'en' | 'de' | 'fr' = 'en') =>
    orderMailOf({ kind: 'rejected', lines, currency: 'EUR', ...news }, textsIn(language)).paragraphs.join(
      '\n',
    );
  expect(said({ reason: 'sold_out', left: 1 })).toContain(
    'You asked for 3, and when your turn came only 1 was left.',
  );
  expect(said({ reason: 'sold_out', left: 2 })).toContain('only 2 were left.');
  expect(said({ reason: 'sold_out', left: 0 })).toContain('none was left');
  expect(said({ reason: 'sold_out' })).toContain('fewer units were left than you asked for');
  expect(said({ reason: 'sold_out', left: 1 }, 'de')).toContain('war nur noch 1 übrig');
  expect(said({ reason: 'sold_out', left: 1 }, 'fr')).toContain('il n’en restait que 1');
  const cancelled = { kind: 'cancelled' };
  const isCancelled = 'Your order of 3 × A shirt, M is cancelled.';
  expect(said(cancelled)).toBe(isCancelled);
  expect(said({ ...cancelled, money: 'goes_back' })).toBe(`${isCancelled}\n€60.00 goes back to you.`);
  expect(said({ ...cancelled, money: 'not_charged' })).toBe(`${isCancelled}\nYou have not been charged.`);
  expect(said({ ...cancelled, cancelReason: 'called_off' })).toContain('The sale was called off');
  expect(said({ ...cancelled, cancelReason: 'Damaged in the stock' })).toContain(
    'The reason: Damaged in the stock',
  );
  const lost = { ...cancelled, cancelReason: 'payment_lost', money: 'not_charged' };
  expect(said(lost)).toBe(
    'Your payment for 3 × A shirt, M could not be taken after all, so your order is cancelled.\nYou have not been charged.',
  );
  expect(said({ ...cancelled, money: 'goes_back', refundedAmount: 1_000 })).toContain('€50.00 goes back');
  const refunded = { kind: 'refunded', refundAmount: 1_000, refundReason: 'A scratch' };
  expect(said(refunded)).toBe(
    'The shop gives you €10.00 of your order of 3 × A shirt, M back.\nThe reason: A scratch',
  );
  expect(said({ ...refunded, isWhole: true }, 'de')).toContain('du bekommst 10,00\u00a0€ zurück');
  expect(said({ kind: 'held', payUntil: 'Friday at 6:00 PM UTC' })).toContain(
    'Pay €60.00 until Friday at 6:00 PM UTC',
  );
  expect(said({ kind: 'turn', payUntil: 'Freitag um 18:00 UTC' }, 'de')).toContain(
    'bist jetzt an der Reihe: Wir halten 3 × A shirt, M für dich zurück. Zahle 60,00\u00a0€ bis Freitag',
  );
  expect(said({ kind: 'expired' }, 'fr')).toContain('n’a pas été payée à temps');
  const two = [
    ...lines,
    { name: 'A cap', quantity: 1, amount: 1_500 },
    { name: 'A mug', quantity: 1, amount: 0 },
  ];
  const paid = orderMailOf({ kind: 'paid', lines: two, currency: 'EUR' }, textsIn('en'));
  expect(paid).toEqual({
    subject: 'Yours: 3 × A shirt, M, 1 × A cap, …',
    paragraphs: [
      'You got it: 3 × A shirt, M, 1 × A cap, 1 × A mug, for €75.00.',
      '3 × A shirt, M: €60.00',
      '1 × A cap: €15.00',
      '1 × A mug: €0.00',
    ],
  });
});
