import { isIP } from 'node:net';
import { networkKeyOf } from '../../accounts/network.ts';
import { redisClock } from '../../runtime/clock.ts';
import type { Demands } from '../../sale/bots/demands.ts';
import { difficultyOf } from '../../sale/bots/difficulty.ts';
import { subjectOf } from '../../sale/bots/puzzles.ts';
import { placeIdOf } from '../../sale/places/place.ts';
import { rangeOf } from '../http/client-address.ts';
import type { Identity } from '../http/identity/tokens.ts';
import type { HttpRequest } from '../http/pipeline.ts';
import { isRefusal, type Refusal, refuse } from '../http/problems.ts';
import type { Shop } from '../shop.ts';

/** What people have to show before they sign up, buy, or take a place, and the refusals of those who do not. */

/** The refusals of `requirePlace`. */
export const placeDemands = [
  'email-not-verified',
  'proof-of-work-required',
  'captcha-required',
  'network-full',
] as const;

/** While the captcha's provider is away and the sale demands no work of its own: a second of a page's work. */
export const bitsWithoutCaptcha = 16;
const captchaRetrySeconds = '5';

export const notVerified = () =>
  refuse(
    'email-not-verified',
    'This sale is for confirmed addresses. Ask for a mail with a link, open it, and renew the session.',
  );

/** How hard a sale's puzzles are now; 0 when it has none. */
export function difficultyNow({ gate, puzzles }: Shop, { proofOfWork, opensAt }: Demands): number {
  if (!proofOfWork) return 0;
  const [now, until] = [redisClock.now(), puzzles.end()];
  return difficultyOf(proofOfWork, { opensAt, now, until, backlog: gate.countedElsewhere() });
}

/** @returns a refusal with a puzzle, unless the request has the answer to one. */
export function requireWork(
  { puzzles }: Pick<Shop, 'puzzles'>,
  name: 'work-required' | 'proof-of-work-required',
  subject: string,
  difficultyBits: number,
  request: HttpRequest,
  leastBits = 0,
): Refusal | null {
  const answer = request.header('proof-of-work');
  if (difficultyBits === 0 || puzzles.isAnswer(subject, answer, leastBits)) return null;
  const detail =
    'expected `Proof-Of-Work: <challenge>.<nonce>` whose SHA-256 begins with that many zero bits, before it expires';
  return refuse(name, detail, puzzles.give(subject, difficultyBits));
}

/** The work before a purchase, which the operator can demand in every sale. */
export function requirePurchaseWork(
  shop: Shop,
  saleId: string,
  personId: string,
  demands: Demands | null,
  request: HttpRequest,
): Refusal | null {
  const ofSale = demands && !demands.isRoom ? difficultyNow(shop, demands) : 0;
  const name = ofSale > 0 ? 'proof-of-work-required' : 'work-required';
  const bits = Math.max(ofSale, shop.difficultyBits);
  // The easier puzzle of a place in the same sale is not enough.
  return requireWork(shop, name, subjectOf(saleId, personId), bits, request, shop.difficultyBits);
}

/** @param about the sale's id, or `sign-up`. @returns a refusal; `away` when the provider is and the work has to do. */
export async function requireCaptcha(
  { captcha }: Pick<Shop, 'captcha'>,
  about: string,
  request: HttpRequest,
): Promise<Refusal | 'away' | null> {
  if (!captcha) return null;
  const { provider, siteKey } = captcha;
  const token = request.header('captcha-token') ?? '';
  const verdict = await captcha.verify(token, about, request.address);
  if (verdict === 'passed') return null;
  if (verdict === 'failed')
    return refuse('captcha-required', 'expected `Captcha-Token: <a new token of the provider’s form>`', {
      captcha: { provider, siteKey },
    });
  if (captcha.lastsOnWork) return 'away';
  const retry = { 'Retry-After': captchaRetrySeconds };
  return refuse('unavailable', 'The captcha cannot be checked right now. Try again.', {}, retry);
}

/** Counts a person towards their network, where the sale limits that. @returns a refusal, or the network, where there is a limit: then the press is to be ended. */
export async function takeNetwork(
  { networks, collections }: Pick<Shop, 'networks' | 'collections'>,
  saleId: string,
  personId: string,
  { networkLimit, closesAt }: Demands,
  request: HttpRequest,
): Promise<Refusal | { networkKey?: string }> {
  const { address } = request;
  if (!networkLimit || !isIP(address)) return {};
  const network = networkLimit.of === 'range' ? rangeOf(address) : request.network;
  const networkKey = await networkKeyOf(collections, network);
  const max = networkLimit.people;
  const taken = await networks.take({ saleId, personId, networkKey }, { max, closesAt });
  if (taken !== 'refused') return { networkKey };
  return refuse('network-full', `At most ${max} people from one network can take part in this sale`);
}

/**
 * What a sale demands of a person before a place or an entry.
 * @returns a refusal, or the network towards which the person counts: then the press is to be ended.
 */
export async function requirePlace(
  shop: Shop,
  saleId: string,
  { personId, emailVerified }: Identity,
  request: HttpRequest,
): Promise<Refusal | { networkKey?: string }> {
  const demands = await shop.demandsOf(saleId);
  if (!demands) return {};
  if (demands.requiresVerifiedEmail && !emailVerified) return notVerified();
  const work = (bits: number) =>
    requireWork(shop, 'proof-of-work-required', subjectOf(saleId, personId), bits, request);
  const bits = difficultyNow(shop, demands);
  const unsolved = work(bits);
  if (unsolved) return unsolved;
  if (demands.captcha && !shop.captcha)
    return refuse('unavailable', 'This sale demands a captcha, and this server has no CAPTCHA_PROVIDER');
  const captcha = demands.captcha ? await requireCaptcha(shop, saleId, request) : null;
  if (isRefusal(captcha)) return captcha;
  const instead = captcha === 'away' && bits === 0 ? work(bitsWithoutCaptcha) : null;
  if (instead) return instead;
  const network = await takeNetwork(shop, saleId, personId, demands, request);
  if (!isRefusal(network)) return network;
  // Others may have filled it before the person, who has a place, was counted.
  const has = {
    _id: placeIdOf(saleId, personId),
    state: { $in: ['waiting' as const, 'called' as const, 'inside' as const] },
  };
  return (await shop.collections.places.findOne(has)) ? {} : network;
}
