import { randomBytes } from 'node:crypto';
import { performance } from 'node:perf_hooks';
import { setTimeout as delay } from 'node:timers/promises';
import { nanoid } from 'nanoid';
import { deleteAccount } from '../accounts/account.ts';
import type { By } from '../accounts/staff-log.ts';
import { createUser } from '../accounts/user.ts';
import type { System } from '../commands/system.ts';
import type { RehearsalReport, RehearsalStep } from '../insight/contract.ts';
import { redisClock } from '../runtime/clock.ts';
import type { SaleSnapshot, SettledStatus } from '../sale/contract.ts';
import { findValues } from '../sale/draft.ts';
import { openProvider } from '../sale/payment/open-provider.ts';
import { newRehearsalId, noRehearsals } from '../sale/rehearsal.ts';
import { createSale, type NewSale } from '../sale/sale.ts';
import { changeSale, type SaleChange } from '../sale/sale-change.ts';
import { openTokens } from '../server/http/identity/tokens.ts';
import { type Client, openClient } from './client.ts';
import { playCrowd } from './crowd.ts';
import { rehearsalAddress, removeLeftovers } from './leftovers.ts';
import { openSampler } from './samples.ts';
import { faultOf, missedIn, verdictOf } from './verdict.ts';

export interface RehearsalOptions {
  system: Pick<System, 'collections' | 'gate' | 'config'>;
  url: string;
  saleId: string;
  buyers: number;
  withinSeconds: number;
  /** Whether it may take from buyers of a sale that is open, or opens soon. */
  besideOpenSales: boolean;
  by: By;
  /** Aborted when another rehearsal may have begun; then this one ends with an error. */
  signal: AbortSignal;
  report(line: string): void;
}

/** Shares of the buyers that are played one after another, until one crowd is too large. */
const shares = [1 / 8, 1 / 4, 1 / 2, 1];
/** Once a crowd was too large, one more is played between it and the last good one, if they are this far apart. */
const refinedAbove = 1.2;
/** Sign-ins of one address are limited, so a sample is enough to see how many the servers take a second. */
const signIns = 40;
const signInsAtOnce = 10;
/** Open connections for requests: as many as nginx gets from a few thousand phones at a time. */
const connections = 1_000;
/** A hold that is not paid ends soon after, so that nothing of a rehearsal stays held. */
const maxPaymentWindowSeconds = 120;
const tokenSeconds = 3_600;
const hourMs = 3_600_000;
/** Servers learn of a changed opening within this time. */
const openingMs = 1_500;
/** The clocks of Redis and of this process agree within less. */
const afterOpeningMs = 100;
const drawnWithinMs = 60_000;
const playedWithinMs = 15 * 60_000;
const soonMs = 15 * 60_000;

/**
 * Plays hidden copies of a sale against a running shop, with larger and larger crowds.
 * @throws Error, in one line, when it cannot be played.
 */
export async function rehearse(options: RehearsalOptions): Promise<RehearsalReport> {
  const { system, url, saleId, buyers, withinSeconds, report } = options;
  const { collections, config } = system;
  const { REHEARSAL_MAX_BUYERS: max } = config;
  if (buyers < 1 || buyers > max)
    throw new Error(`expected 1 to ${max} buyers, the bound that REHEARSAL_MAX_BUYERS sets, got ${buyers}`);
  if (config.CHALLENGE_DIFFICULTY_BITS > 0)
    throw new Error('Simulated buyers do no proof of work: set CHALLENGE_DIFFICULTY_BITS to 0 meanwhile.');
  const values = await findValues(collections, saleId);
  if (!values) throw new Error(`There is no sale or draft ${saleId}.`);
  const fault = faultOf(values);
  if (fault) throw new Error(fault);
  if (!options.besideOpenSales) await requireQuietShop(system);
  await removeLeftovers(system, options.by);
  const simulated = (await openProvider(config, collections)).simulated !== null;
  const mode = values.mode === 'draw' ? 'draw' : 'open';
  const client = openClient(url, connections);
  try {
    const hasSignIns = config.PASSWORD_ACCOUNTS === 'on';
    const signedIn = hasSignIns ? await measureSignIns(options, client) : noSignIns;
    const steps: RehearsalStep[] = [];
    let name = '';
    const play = async (crowd: number) => {
      const played = await playStep(options, { values, crowd, client, mode, simulated });
      name = played.copy.product.name;
      steps.push(played.step);
      const missed = missedIn(played.step).map(({ title }) => title);
      report(
        `${crowd} buyers: ${missed.length === 0 ? 'every target held' : `missed: ${missed.join(', ')}`}`,
      );
      return missed.length === 0;
    };
    let good = 0;
    for (const crowd of new Set(shares.map((share) => Math.ceil(buyers * share)))) {
      if (await play(crowd)) good = crowd;
      else {
        const between = Math.round((good + crowd) / 2);
        if (good > 0 && between > good && crowd / good > refinedAbove) await play(between);
        break;
      }
    }
    const measured = { buyers, steps: steps.sort((a, b) => a.buyers - b.buyers), signIns: signedIn };
    return {
      saleId,
      name,
      at: redisClock.now().toISOString(),
      url,
      withinSeconds,
      mode,
      ...measured,
      ...verdictOf(measured),
      notes: notesOf(values, { simulated, hasSignIns }),
    };
  } finally {
    client.close();
  }
}

/** Of a shop that has none of its own. */
const noSignIns = { ...openSampler().part(), perSecond: 0 };

function notesOf(
  { paymentWindowSeconds, drawBeacon }: NewSale,
  { simulated, hasSignIns }: { simulated: boolean; hasSignIns: boolean },
): string[] {
  const notes = [
    hasSignIns
      ? `${signIns} sign-ins were played; the other buyers came signed in.`
      : 'No sign-ins were played, because buyers sign in at the identity provider; all came signed in.',
  ];
  if (drawBeacon)
    notes.push('The copies were drawn at once, without the public random number for which the draw waits.');
  if (paymentWindowSeconds)
    notes.push(
      simulated
        ? 'Payments were played with the simulated provider.'
        : 'Orders were held but not paid, because the shop has a real payment provider.',
    );
  return notes;
}

/** @throws Error when a crowd would take from buyers who are there now or soon. */
async function requireQuietShop({ collections }: RehearsalOptions['system']): Promise<void> {
  const now = redisClock.now();
  const soon = new Date(now.getTime() + soonMs);
  const busy = { ...noRehearsals, opensAt: { $lt: soon }, closesAt: { $gt: now }, calledOffAt: null };
  const sale = await collections.sales.findOne(busy, { projection: { _id: 1 } });
  if (sale)
    throw new Error(
      `The sale ${sale._id} is open or opens within 15 minutes, and its buyers would feel the rehearsal. ` +
        'Say --beside-open-sales to rehearse nevertheless.',
    );
}

/** How many can sign in a second: one account signs in again and again, since the password's hash is all of the work. */
async function measureSignIns(
  { system: { collections, config }, by }: RehearsalOptions,
  client: Client,
): Promise<RehearsalReport['signIns']> {
  const account = {
    email: rehearsalAddress(nanoid(12).toLowerCase()),
    password: randomBytes(18).toString('base64url'),
    name: 'Rehearsal',
  };
  const made = await createUser(collections, account, { bcryptCost: config.BCRYPT_COST });
  if (made === 'email_taken') throw new Error('The account of the rehearsal exists already; try again.');
  const sampler = openSampler();
  try {
    const since = performance.now();
    const { email, password } = account;
    const signInOften = async () => {
      for (let n = 0; n < signIns / signInsAtOnce; n++) {
        const began = performance.now();
        const { status } = await client.ask('POST', '/api/sessions', { body: { email, password } });
        const isDone = status === 200 || status === 201;
        sampler.add(performance.now() - began, isDone ? null : `answer ${status}`);
      }
    };
    await Promise.all(Array.from({ length: signInsAtOnce }, signInOften));
    const perSecond = (signIns / (performance.now() - since)) * 1_000;
    return { ...sampler.part(), perSecond: Math.round(perSecond * 10) / 10 };
  } finally {
    await deleteAccount(collections, made.user.id, by);
  }
}

interface StepOptions {
  values: NewSale;
  crowd: number;
  client: Client;
  mode: 'open' | 'draw';
  simulated: boolean;
}

async function playStep(
  { system, url, buyers: all, withinSeconds, by, signal }: RehearsalOptions,
  { values, crowd, client, mode, simulated }: StepOptions,
): Promise<{ step: RehearsalStep; copy: SaleSnapshot }> {
  const { collections, gate, config } = system;
  const id = newRehearsalId();
  const copy = await createSale(collections, copyOf(values, crowd / all, mode), by, id);
  if ('noProduct' in copy) throw new Error('A product of the sale was deleted.');
  const { items, unitsOnSale: stock } = copy;
  /** When the draw is made, or would be, in Unix ms; 0 until the copy opens. */
  let drawAt = 0;
  const change = async (to: Pick<SaleChange, 'opensAt' | 'drawAt' | 'closesAt' | 'calledOff'>) => {
    const changed = await changeSale(collections, id, to, by);
    if (typeof changed === 'string') throw new Error(`The copy of the sale cannot be changed: ${changed}`);
    await gate.sync(changed);
  };
  try {
    const { status } = await client.ask('GET', `/api/sales/${id}`);
    if (status !== 200)
      throw new Error(`${url} is not this shop, or does not answer: it answered ${status} for the copy.`);
    const tokens = openTokens(config.JWT_SECRET, tokenSeconds);
    const buyers = Array.from({ length: crowd }, () => {
      const buyer = { id: newRehearsalId(), role: 'buyer', emailVerified: true } as const;
      return { id: buyer.id, token: tokens.issue(buyer) };
    });
    const played = await playCrowd({
      ...{ client, url, saleId: id, mode, buyers, withinSeconds, signal },
      itemIds: items.map(({ id }) => id),
      pays: simulated && copy.paymentWindowSeconds > 0,
      async begin() {
        const opensAt = new Date(redisClock.now().getTime() + openingMs);
        drawAt = opensAt.getTime() + 2 * withinSeconds * 1_000;
        // A copy whose rehearsal is killed ends by itself.
        const closesAt = new Date(drawAt + playedWithinMs);
        await change({ opensAt, closesAt, ...(mode === 'draw' && { drawAt: new Date(drawAt) }) });
        await delay(opensAt.getTime() + afterOpeningMs - redisClock.now().getTime());
      },
      async drawn() {
        await delay(Math.max(0, drawAt - redisClock.now().getTime()));
        for (const since = performance.now(); performance.now() - since < drawnWithinMs; await delay(100)) {
          const orders = await collections.orders.find({ saleId: id, status: { $in: won } }).toArray();
          if (orders.length === 0) continue;
          const held = orders.filter(({ status }) => status === 'held');
          return {
            tookMs: performance.now() - since,
            orders: held.map(({ _id: orderId, buyerId }) => ({ orderId, buyerId })),
          };
        }
        return null;
      },
    });
    return { step: { buyers: crowd, stock, ...played }, copy };
  } finally {
    const now = redisClock.now();
    const canEnd = mode === 'draw' ? drawAt > 0 && drawAt < now.getTime() : drawAt > 0;
    await change(canEnd ? { closesAt: now } : { calledOff: true });
  }
}

/** Of orders that winners have; those of a sale without a payment window are paid at once. */
const won: SettledStatus[] = ['held', 'paid'];

/** The sale with as many units for each buyer as it has for all, and not open yet. */
function copyOf(values: NewSale, share: number, mode: 'open' | 'draw'): NewSale {
  const now = redisClock.now().getTime();
  const { requiresVerifiedEmail: _, waitingList: __, mode: ___, drawAt: ____, ...kept } = values;
  const { drawBeacon: _____, phases: _phases, site: _site, ...played } = kept;
  // Simulated buyers solve no puzzles, and come from one network.
  const { proofOfWork: _work, networkLimit: _limit, captcha: _captcha, ...others } = played;
  return {
    ...others,
    items: values.items.map((item) => ({ ...item, stock: Math.max(1, Math.round(item.stock * share)) })),
    paymentWindowSeconds: Math.min(values.paymentWindowSeconds ?? 0, maxPaymentWindowSeconds),
    opensAt: new Date(now + hourMs),
    ...(mode === 'draw' && { mode, drawAt: new Date(now + 2 * hourMs) }),
    closesAt: new Date(now + 3 * hourMs),
  };
}
