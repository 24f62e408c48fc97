import fc from 'fast-check';
import { expect, test } from 'vitest';
import { decimalsOf, isCurrency } from '../../../public/shared/money.js';
import {
  afterFailure,
  apply,
  applyRefundReport,
  goingBackOf,
  newPayment,
  nextStep,
  type PaidOrder,
  pendingWithin,
  refundableOf,
  refundedOf,
  withoutRefund,
  withRefund,
} from '../../../sale/payment/payment.ts';
import type {
  PaymentReport,
  PaymentStage,
  RefundReport,
  RefundStage,
} from '../../../sale/payment/provider.ts';
import { amountOfStripe, stripeAmountOf } from '../../../sale/payment/stripe-amounts.ts';
import type { PaymentRecord } from '../../../store/payment-collections.ts';

const now = new Date('2026-11-27T18:00:00Z');
const price = { amount: 4_900, currency: 'EUR' };
const fresh = newPayment(
  { paymentId: 'order.1', orderId: 'order', price },
  { saleId: 'lamp', provider: 'stripe' },
  { now, dueAt: now },
);

function reportOf(stage: PaymentStage, more: Partial<PaymentReport> = {}): PaymentReport {
  const capturedAmount = stage === 'captured' ? price.amount : 0;
  const failure = stage === 'failed' ? 'card_declined' : null;
  return {
    paymentId: 'order.1',
    providerId: 'pi_1',
    stage,
    isProcessing: false,
    price,
    capturedAmount,
    refundedAmount: null,
    failure,
    ...more,
  };
}

const refundReport = (n: number, stage: RefundStage): RefundReport => ({
  refundId: `order.1-${n}`,
  providerId: `re_${n}`,
  amount: 1_000,
  stage,
});

/** What a history ends in, without the times and the failures of attempts, which depend on the order of the reports. */
const endOf = ({ state, capturedAmount, refunds, providerId }: PaymentRecord) => ({
  state,
  capturedAmount,
  providerId,
  refunds: refunds.map((refund) => `${refund.id} ${refund.state}`).sort(),
});

const after = (payment: PaymentRecord, reports: PaymentReport[]) =>
  reports.reduce((before, report) => apply(before, report, now), payment);

const stages = fc.constantFrom<PaymentStage>('started', 'failed', 'authorised', 'voided', 'captured');
const refundStages = fc.constantFrom<RefundStage>('pending', 'succeeded', 'failed');

test('reports in any order, any number of times, end in the same state', () => {
  const report = fc.record({
    stage: stages,
    refunds: fc.array(fc.record({ n: fc.constantFrom(1, 2), stage: refundStages }), { maxLength: 2 }),
  });
  const history = fc.array(report, { maxLength: 8 }).chain((reports) =>
    fc.record({
      reports: fc.constant(reports),
      shuffled: fc.shuffledSubarray(reports, { minLength: reports.length }),
      doubled: fc.subarray(reports),
    }),
  );
  fc.assert(
    fc.property(history, ({ reports, shuffled, doubled }) => {
      const captured = apply(fresh, reportOf('captured'), now);
      const refund = { amount: 1_000, reason: 'broken' };
      const once = withRefund(captured, refund, now) as PaymentRecord;
      for (const start of [fresh, withRefund(once, refund, now) as PaymentRecord]) {
        const toReport = ({ stage, refunds }: (typeof reports)[number]) =>
          reportOf(stage, { refunds: refunds.map(({ n, stage: of }) => refundReport(n, of)) });
        const [straight, mixed] = [reports, [...shuffled, ...doubled]].map((all) =>
          after(start, all.map(toReport)),
        );
        expect(endOf(mixed as PaymentRecord)).toEqual(endOf(straight as PaymentRecord));
      }
    }),
    { numRuns: 1_000 },
  );
});

test('a report that says nothing new changes nothing, and one of another payment is ignored', () => {
  fc.assert(
    fc.property(fc.array(stages, { maxLength: 6 }), stages, (history, stage) => {
      const payment = after(
        fresh,
        history.map((of) => reportOf(of)),
      );
      const once = apply(payment, reportOf(stage), now);
      expect(apply(once, reportOf(stage), new Date(now.getTime() + 1_000))).toBe(once);
      if (payment.providerId)
        expect(apply(payment, reportOf(stage, { providerId: 'pi_2' }), now)).toBe(payment);
    }),
  );
  const wrong = apply(fresh, reportOf('captured', { price: { amount: 4_899, currency: 'EUR' } }), now);
  expect(wrong).toMatchObject({ state: 'started', error: expect.stringContaining('4899 EUR') });
});

/** A provider and an order that behave, on which steps are taken until nothing is left to do. */
function settleAll(
  start: PaymentRecord,
  order: PaidOrder | null,
): { payment: PaymentRecord; taken: string[] } {
  let payment = start;
  const taken: string[] = [];
  let held = order;
  for (let n = 0; n < 20; n++) {
    const step = nextStep(payment, held, now);
    taken.push(step.do);
    switch (step.do) {
      case 'nothing':
      case 'wait':
      case 'look':
        return { payment, taken };
      case 'mark':
        held = { status: 'paid', paymentId: payment._id };
        break;
      case 'capture':
        payment = apply(payment, reportOf('captured'), now);
        break;
      case 'end':
        held = { status: 'cancelled', paymentId: payment._id };
        break;
      case 'count':
        held = { ...(held as PaidOrder), refundedAmount: goingBackOf(payment) };
        break;
      case 'void':
        payment = apply(payment, reportOf('voided'), now);
        break;
      case 'return':
        payment = withRefund(
          payment,
          { amount: step.amount, reason: 'order_not_held' },
          now,
        ) as PaymentRecord;
        break;
      case 'refund': {
        const { id, amount } = step.refund;
        const report = { refundId: id, providerId: `re_${id}`, amount, stage: 'succeeded' as const };
        payment = applyRefundReport(payment, report, now);
      }
    }
  }
  throw new Error(`no end: ${taken.join(', ')}`);
}

test('whatever is known of a payment and its order, the steps end with money exactly where the order is', () => {
  const order = fc.option(
    fc.record({
      status: fc.constantFrom<PaidOrder['status']>('held', 'paid', 'cancelled', 'expired', 'rejected'),
      paymentId: fc.constantFrom('order.1', 'order.2'),
      holdExpiresAt: fc.constant(new Date(now.getTime() + 600_000)),
    }),
  );
  fc.assert(
    fc.property(fc.array(stages, { maxLength: 5 }), order, (history, known) => {
      const start = after(
        fresh,
        history.map((stage) => reportOf(stage)),
      );
      const { payment, taken } = settleAll(start, known);
      const isPaid = (known?.status === 'paid' && known.paymentId === 'order.1') || taken.includes('mark');
      const keeps = payment.capturedAmount - refundedOf(payment, ['succeeded']);
      const isOpen = known?.status === 'held' && ['started', 'failed'].includes(payment.state);
      if (isPaid && payment.state !== 'voided' && !taken.includes('void')) expect(keeps).toBe(price.amount);
      else expect(keeps).toBe(0);
      expect(taken.at(-1)).toBe(isOpen ? 'wait' : 'nothing');
    }),
    { numRuns: 1_000 },
  );
});

test('refunds never exceed what was captured, whatever is asked and whatever fails', () => {
  const request = fc.record({ amount: fc.integer({ min: 1, max: 6_000 }), stage: fc.option(refundStages) });
  fc.assert(
    fc.property(fc.array(request, { maxLength: 20 }), (requests) => {
      let payment = apply(fresh, reportOf('captured'), now);
      for (const { amount, stage } of requests) {
        const next = withRefund(payment, { amount, reason: 'broken' }, now);
        expect(next === null).toBe(amount > refundableOf(payment));
        if (!next) continue;
        payment = next;
        const refundId = payment.refunds.at(-1)?.id ?? '';
        if (stage) payment = applyRefundReport(payment, { refundId, providerId: 're', amount, stage }, now);
        expect(refundedOf(payment, ['requested', 'pending', 'succeeded'])).toBeLessThanOrEqual(price.amount);
        expect(payment.state === 'refunded').toBe(refundedOf(payment, ['succeeded']) === price.amount);
      }
    }),
  );
});

const captured = apply(fresh, reportOf('captured'), now);
const paid: PaidOrder = { status: 'paid', paymentId: 'order.1' };

test('a refund made elsewhere is taken in once, and ours that it leaves no money for ends', () => {
  const elsewhere = { refundId: 're_x', providerId: 're_x', amount: 1_000, stage: 'succeeded' as const };
  const seen = apply(captured, reportOf('captured', { refunds: [elsewhere] }), now);
  expect(seen.refunds).toMatchObject([{ id: 're_x', amount: 1_000, reason: 'made_elsewhere' }]);
  expect(apply(seen, reportOf('captured', { refunds: [elsewhere] }), now)).toBe(seen);
  expect(refundableOf(seen)).toBe(3_900);
  expect(nextStep(seen, paid, now)).toEqual({ do: 'count' });
  expect(nextStep(seen, { ...paid, refundedAmount: 1_000 }, now)).toEqual({ do: 'nothing' });

  const asked = withRefund(captured, { amount: 4_900, reason: 'x' }, now) as PaymentRecord;
  const both = apply(asked, reportOf('captured', { refunds: [elsewhere] }), now);
  const ended = withoutRefund(both, 'order.1-1', now);
  expect(ended.refunds.map(({ state }) => state)).toEqual(['failed', 'succeeded']);
  expect(nextStep(ended, { status: 'cancelled', paymentId: 'order.1' }, now)).toMatchObject({
    do: 'return',
    amount: 3_900,
  });
  const all = { ...elsewhere, amount: 4_900 };
  const gone = apply(captured, reportOf('captured', { refunds: [all] }), now);
  expect(gone.state).toBe('refunded');
  expect(nextStep(gone, paid, now)).toEqual({ do: 'end', as: 'refunded' });
});

test('what went back so far covers the oldest pending refunds, and none in part', () => {
  const refunds = [1_000, 500, 2_000].map((amount, n) => {
    const state = n === 0 ? ('succeeded' as const) : ('pending' as const);
    const untried = { attempts: 0, refusals: 0, providerId: null, error: null, requestedAt: now };
    return { id: `r-${n}`, amount, reason: 'x', state, ...untried };
  });
  const covered = (wentBack: number) => pendingWithin({ refunds }, wentBack).map(({ id }) => id);
  expect([1_000, 1_499, 1_500, 3_499, 3_500, Number.POSITIVE_INFINITY].map(covered)).toEqual([
    [],
    [],
    ['r-1'],
    ['r-1'],
    ['r-1', 'r-2'],
    ['r-1', 'r-2'],
  ]);
});

test('an order that was paid with an authorisation that is gone ends, and no other', () => {
  const voided = apply(apply(fresh, reportOf('authorised'), now), reportOf('voided'), now);
  expect(nextStep(voided, paid, now)).toEqual({ do: 'end', as: 'payment_lost' });
  for (const order of [null, { ...paid, paymentId: 'order.2' }, { status: 'expired' as const }])
    expect(nextStep(voided, order, now)).toEqual({ do: 'nothing' });
});

test('a refund fails after eight refusals, and then staff can ask for another', () => {
  let payment = withRefund(captured, { amount: 1_000, reason: 'x' }, now) as PaymentRecord;
  const counted = { ...paid, refundedAmount: 1_000 };
  for (let n = 0; n < 8; n++) {
    expect(nextStep(payment, counted, now)).toMatchObject({ do: 'refund' });
    const unanswered = { refundId: 'order.1-1', isRefused: false, error: 'answered 500' };
    payment = afterFailure(payment, unanswered);
    payment = afterFailure(payment, { ...unanswered, isRefused: true, error: 'the balance is too low' });
  }
  expect(payment.refunds).toMatchObject([{ state: 'failed', error: 'the balance is too low' }]);
  expect(nextStep(payment, counted, now)).toEqual({ do: 'count' });
  expect(nextStep(payment, { ...paid, refundedAmount: 0 }, now)).toEqual({ do: 'nothing' });
  expect(withRefund(payment, { amount: 4_900, reason: 'x' }, now)?.refunds).toHaveLength(2);
});

test('a second attempt that is processed lengthens the hold, also after the first one was refused', () => {
  const holdExpiresAt = new Date(now.getTime() + 10_000);
  const refused = apply(fresh, reportOf('failed'), now);
  const second = apply(refused, reportOf('started', { isProcessing: true }), now);
  expect(second).toMatchObject({ state: 'failed', isProcessing: true });
  expect(nextStep(second, { status: 'held', holdExpiresAt }, now)).toEqual({ do: 'lengthen' });
  expect(apply(second, reportOf('failed'), now).isProcessing).toBe(false);
});

test('a payment is looked at before its hold ends, and a pending refund ever less often', () => {
  const holdExpiresAt = new Date(now.getTime() + 60_000);
  const held: PaidOrder = { status: 'held', holdExpiresAt };
  const started = apply(fresh, reportOf('started'), now);
  expect(nextStep(started, held, now)).toEqual({ do: 'wait', until: new Date(now.getTime() + 45_000) });
  expect(nextStep(started, held, new Date(now.getTime() + 50_000))).toEqual({ do: 'look' });
  expect(nextStep(started, { status: 'expired' }, now)).toEqual({ do: 'void' });
});

test('a payment that is being processed is looked at every five seconds, since its webhook may be lost', () => {
  const held = { status: 'held', holdExpiresAt: new Date(now.getTime() + 120_000) } as PaidOrder;
  const in5s = new Date(now.getTime() + 5_000);
  const processing = apply({ ...fresh, dueAt: in5s }, reportOf('started', { isProcessing: true }), now);
  expect(nextStep(processing, held, now)).toEqual({ do: 'wait', until: in5s });
  expect(nextStep(processing, held, in5s)).toEqual({ do: 'look' });
  const beforeTheEnd = { ...held, holdExpiresAt: new Date(now.getTime() + 17_000) };
  expect(nextStep(processing, beforeTheEnd, now)).toEqual({
    do: 'wait',
    until: new Date(now.getTime() + 2_000),
  });
});

test('Stripe gets each currency to the unit, or a reason why it cannot', () => {
  const to = (amount: number, currency: string) => stripeAmountOf({ amount, currency });
  expect(to(1_000, 'EUR')).toBe(1_000);
  expect(to(500, 'JPY')).toBe(500);
  expect(to(5, 'ISK')).toBe(500);
  expect(to(5, 'UGX')).toBe(500);
  expect(to(5_120, 'KWD')).toBe(5_120);
  expect(to(5_124, 'KWD')).toBe('Stripe charges KWD in multiples of 10 minor units only');
  expect(to(100_000_000, 'EUR')).toMatch(/at most eight digits/);
  // Our minor units of these have no decimals or two, by the data of Intl; Stripe charges hundredths.
  for (const currency of ['HUF', 'TWD']) expect(to(10 ** decimalsOf(currency), currency)).toBe(100);
  expect(to(10 ** decimalsOf('MGA'), 'MGA')).toBe(1);

  const currencies = Intl.supportedValuesOf('currency').filter(isCurrency);
  const money = fc.record({
    amount: fc.integer({ min: 0, max: 100_000_000 }),
    currency: fc.constantFrom(...currencies),
  });
  fc.assert(
    fc.property(money, ({ amount, currency }) => {
      const theirs = to(amount, currency);
      if (typeof theirs === 'number') expect(amountOfStripe(theirs, currency)).toBe(amount);
      else expect(theirs).toMatch(/multiples of [1-9]\d*0 minor units|eight digits/);
    }),
    { numRuns: 2_000 },
  );
});
