import { decimalsOf } from '../../public/shared/money.js';
import type { Money } from '../contract.ts';

/**
 * Stripe's amounts are integers in units of its own, which differ from our minor units (the decimals of the currency in
 * `Intl`) for some currencies:
 *
 * - `zeroDecimal` are counted in whole units. Among them is the ariary, MGA.
 * - ISK and UGX have no decimals, but are still sent with two, which must be 00: 5 ISK is 500.
 * - `threeDecimal` are counted in thousandths, of which the last digit must be 0: 5.124 KWD cannot be charged.
 * - HUF and TWD are charged with two decimals. Only payouts to the shop must be whole, and payouts are not made here.
 * - All others are counted in hundredths, also those that have no decimals in `Intl`, such as RSD.
 */
const zeroDecimal = new Set('BIF CLP DJF GNF JPY KMF KRW MGA PYG RWF VND VUV XAF XOF XPF'.split(' '));
const twoDecimalsOfZero = new Set(['ISK', 'UGX']);
const threeDecimal = new Set('BHD JOD KWD OMR TND'.split(' '));

function stripeDecimalsOf(currency: string): number {
  if (zeroDecimal.has(currency)) return 0;
  return threeDecimal.has(currency) ? 3 : 2;
}

/** The smallest amount, in Stripe's units, of which every charge is a multiple. */
function stripeStepOf(currency: string): bigint {
  if (twoDecimalsOfZero.has(currency)) return 100n;
  return threeDecimal.has(currency) ? 10n : 1n;
}

/** Stripe's own maximum: eight digits. */
const mostAmount = 99_999_999n;

/** @returns the amount in Stripe's units, or why Stripe cannot charge exactly that. Nothing is ever rounded. */
export function stripeAmountOf({ amount, currency }: Money): number | string {
  const shift = stripeDecimalsOf(currency) - decimalsOf(currency);
  const scale = 10n ** BigInt(Math.abs(shift));
  const step = stripeStepOf(currency);
  const ours = BigInt(amount);
  const theirs = shift >= 0 ? ours * scale : ours / scale;
  const isExact = shift >= 0 || ours % scale === 0n;
  if (!isExact || theirs % step !== 0n) {
    const multiple = shift >= 0 ? (step + scale - 1n) / scale : scale * step;
    return `Stripe charges ${currency} in multiples of ${multiple} minor units only`;
  }
  if (theirs > mostAmount) return `Stripe charges at most eight digits, this would be ${theirs}`;
  return Number(theirs);
}

/** @returns Stripe's amount in our minor units. @throws Error when it has a fraction of one. */
export function amountOfStripe(theirs: number, currency: string): number {
  const shift = stripeDecimalsOf(currency) - decimalsOf(currency);
  const scale = 10n ** BigInt(Math.abs(shift));
  const amount = BigInt(theirs);
  if (shift <= 0) return Number(amount * scale);
  if (amount % scale !== 0n) throw new Error(`Stripe's ${theirs} ${currency} is not a whole minor unit`);
  return Number(amount / scale);
}
