import { hash } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { nanoid } from 'nanoid';
import { waitUntil } from '../../ops/local/processes/process.mjs';
import type { Puzzle, SaleMode } from '../../sale/contract.ts';
import type { NewSale } from '../../sale/sale.ts';
import { openTokens } from '../../server/http/identity/tokens.ts';
import { saveResult } from '../report/results.ts';
import { printTable } from '../report/table.ts';
import { judge, printVerdicts } from '../report/targets.ts';
import {
  auditTestbed,
  endBenchSale,
  moveBenchSale,
  type OwnTestbed,
  openBenchSale,
  openOwnTestbed,
  waitUntilSettled,
} from '../systems/testbed.ts';

export interface FairnessOptions {
  /** People and bots; each has a network of its own. */
  clients: number;
  botPercent: number;
  accountsPerBot: number;
  stock: number;
  bits: number;
  /** With the limit for each network: how many people. */
  people: number;
}

/** One account, of which a bot has many. */
interface Account {
  id: string;
  token: string;
  /** The number of the bot; null for a person. */
  bot: number | null;
  address: string;
  /** When it presses after the opening. */
  reactionMs: number;
}

const botReactionMs = 10;
/** People press some hundred milliseconds after the opening, and some a few seconds: log-normal. */
const [medianReactionMs, spreadOfReactions] = [600, 0.5];
const atOnce = 100;
const deadlineMs = 60_000;
const minuteMs = 60_000;

const limits = ['none', 'network', 'verified'] as const;
type Limit = (typeof limits)[number];

/** Reactions at even steps of their distribution, so that every round has the same people. */
function reactionOf(rank: number): number {
  // The inverse of the logistic distribution, which is close to that of the normal one.
  const score = Math.log(rank / (1 - rank)) * 0.5513;
  return medianReactionMs * Math.exp(spreadOfReactions * score);
}

/** A bot has verified the address of one of its accounts, because it has one mailbox; people have theirs. */
function makeAccounts({ clients, botPercent, accountsPerBot }: FairnessOptions, secret: string): Account[] {
  const tokens = openTokens(secret, 3_600);
  const bots = Math.round((clients * botPercent) / 100);
  return Array.from({ length: clients }, (_, n) => {
    const isBot = n < bots;
    return Array.from({ length: isBot ? accountsPerBot : 1 }, (_, nth): Account => {
      const id = `fairness-${nanoid(12)}`;
      return {
        id,
        token: tokens.issue({ id, role: 'buyer', emailVerified: nth === 0 }),
        bot: isBot ? n : null,
        address: `10.${n >> 16}.${(n >> 8) & 255}.${n & 255}`,
        reactionMs: isBot ? botReactionMs : reactionOf((n - bots + 0.5) / (clients - bots)),
      };
    });
  }).flat();
}

/** @returns the CPU time that it took, in ms. */
function solve({ challenge, difficultyBits }: Puzzle): { answer: string; ms: number } {
  const startedAt = performance.now();
  for (let nonce = 0; ; nonce++) {
    const answer = `${challenge}.${nonce.toString(36)}`;
    if (hash('sha256', answer, 'buffer').readUInt32BE() >>> (32 - difficultyBits) === 0)
      return { answer, ms: performance.now() - startedAt };
  }
}

async function inTurns<Value>(values: Value[], act: (value: Value) => Promise<unknown>): Promise<void> {
  const rest = [...values];
  const workers = Array.from({ length: atOnce }, async () => {
    for (let value = rest.shift(); value !== undefined; value = rest.shift()) await act(value);
  });
  await Promise.all(workers);
}

interface Round {
  mode: SaleMode;
  withWork: boolean;
  limit: Limit;
  /** Of the units that were sold, in percent. */
  botPercent: number;
  /** The most units that one bot got. */
  mostOfOneBot: number;
  /** What the puzzles of all its accounts took one bot, in ms. */
  workOfBotMs: number;
}

async function playRound(
  { system, url }: OwnTestbed,
  accounts: Account[],
  options: FairnessOptions,
  { mode, withWork, limit }: Pick<Round, 'mode' | 'withWork' | 'limit'>,
): Promise<Round> {
  const { stock, bits, people } = options;
  const { orders, places } = system.collections;
  const terms: Partial<NewSale> = {
    mode,
    ...(withWork && { proofOfWork: { bits } }),
    ...(limit === 'network' && { networkLimit: { people, of: 'address' } }),
    ...(limit === 'verified' && { requiresVerifiedEmail: true }),
    ...(mode === 'draw' && { drawAt: new Date(Date.now() + 45 * minuteMs) }),
  };
  const opensAt = new Date(Date.now() + 30 * minuteMs);
  const name = `Bench: fairness, ${mode}`;
  const saleId = await openBenchSale(system, { name, stock, limitPerBuyer: 1, opensAt, ...terms });
  const answers = new Map<string, string>();
  async function ask<Body>(
    { id, token, address }: Account,
    method: string,
    to: string,
    pass?: string,
  ): Promise<Body | null> {
    const answer = answers.get(id);
    const response = await fetch(`${url}/api/sales/${saleId}/${to}`, {
      method,
      headers: {
        Authorization: `Bearer ${token}`,
        'X-Forwarded-For': address,
        ...(answer && { 'Proof-Of-Work': answer }),
        ...(pass && { 'Room-Pass': pass }),
        ...(/purchases|entries/.test(to) && { 'Content-Type': 'application/json' }),
      },
      ...(/purchases|entries/.test(to) && { body: '{"quantity":1}' }),
    });
    if (response.status >= 500) throw new Error(`${method} ${to} was answered ${response.status}`);
    const body = await response.json();
    return response.ok ? (body as Body) : null;
  }

  let workOfBotMs = 0;
  if (withWork) {
    await inTurns(accounts, async (account) => {
      const puzzle = await ask<Puzzle>(account, 'GET', 'puzzle');
      if (!puzzle) throw new Error('there is no puzzle');
      const { answer, ms } = solve(puzzle);
      answers.set(account.id, answer);
      if (account.bot === 0) workOfBotMs += ms;
    });
  }
  const sold = () => orders.countDocuments({ saleId, reason: null });
  const isSoldOut = async () => (await sold()) >= stock;
  const waiting = { deadlineMs, everyMs: 50, what: 'not everything is sold' };
  if (mode === 'open') {
    const openingAt = Date.now() + 1_500;
    await moveBenchSale(system, saleId, { opensAt: new Date(openingAt) });
    const pressing = accounts.map(async (account) => {
      await delay(openingAt + account.reactionMs - Date.now());
      await ask(account, 'POST', 'purchases');
    });
    await Promise.all(pressing);
    await waitUntilSettled(system, 60);
  } else if (mode === 'draw') {
    await moveBenchSale(system, saleId, { opensAt: new Date() });
    await inTurns(accounts, (account) => ask(account, 'POST', 'entries'));
    await system.collections.sales.updateOne({ _id: saleId }, { $set: { drawAt: new Date() } });
    await waitUntil(isSoldOut, waiting);
  } else {
    await inTurns(accounts, (account) => ask(account, 'POST', 'places'));
    await moveBenchSale(system, saleId, { opensAt: new Date(Date.now() + 500) });
    const byId = new Map(accounts.map((account) => [account.id, account]));
    await waitUntil(async () => {
      const called = await places.find({ saleId, state: 'called' }).toArray();
      await inTurns(called, async ({ personId }) => {
        const account = byId.get(personId) as Account;
        const answer = await ask<{ pass: string }>(account, 'POST', 'places/mine/pass');
        if (answer) await ask(account, 'POST', 'purchases', answer.pass);
      });
      return await isSoldOut();
    }, waiting);
  }
  const buyers = await orders.find({ saleId, reason: null }).toArray();
  const botOf = new Map(accounts.map(({ id, bot }) => [id, bot]));
  const ofBots = new Map<number, number>();
  for (const { buyerId } of buyers) {
    const bot = botOf.get(buyerId) ?? null;
    if (bot !== null) ofBots.set(bot, (ofBots.get(bot) ?? 0) + 1);
  }
  await endBenchSale(system, saleId);
  const units = [...ofBots.values()];
  const botPercent = (100 * units.reduce((sum, count) => sum + count, 0)) / buyers.length;
  return { mode, withWork, limit, botPercent, mostOfOneBot: Math.max(0, ...units), workOfBotMs };
}

/** What share of the units bots get from people, in each mode and with each demand. @returns whether all limits held. */
export async function fairness(options: FairnessOptions): Promise<boolean> {
  const env = { LIMIT_FACTOR: '0', TRUST_PROXY_HOPS: '1' };
  const testbed = await openOwnTestbed({ nginx: false, env });
  try {
    const accounts = makeAccounts(options, testbed.secret);
    const rounds: Round[] = [];
    for (const mode of ['open', 'room', 'draw'] as const)
      for (const withWork of [false, true])
        for (const limit of limits)
          rounds.push(await playRound(testbed, accounts, options, { mode, withWork, limit }));
    const ok = await auditTestbed(testbed.system);

    const shareIn = (mode: SaleMode, withWork: boolean, limit: Limit) => {
      const round = rounds.find(
        (one) => one.mode === mode && one.withWork === withWork && one.limit === limit,
      );
      return `${Math.round(round?.botPercent ?? Number.NaN)}%`;
    };
    const { clients, botPercent, accountsPerBot, stock, bits, people } = options;
    console.log(
      `${botPercent}% of ${clients} clients are bots with ${accountsPerBot} accounts each; their share of ${stock} units:`,
    );
    printTable(
      ['', 'open', 'room', 'draw'],
      limits.flatMap((limit) =>
        [false, true].map((withWork) => [
          `${limitInWords(limit, people)}${withWork ? `, proof of work of ${bits} bits` : ''}`,
          ...(['open', 'room', 'draw'] as const).map((mode) => shareIn(mode, withWork, limit)),
        ]),
      ),
    );
    const works = rounds.filter(({ withWork }) => withWork).map(({ workOfBotMs }) => workOfBotMs);
    console.log(
      `The puzzles of its ${accountsPerBot} accounts took a bot ${Math.round(Math.max(...works))} ms at most.`,
    );
    const mostWith = (wanted: Limit) =>
      Math.max(...rounds.filter(({ limit }) => limit === wanted).map(({ mostOfOneBot }) => mostOfOneBot));
    const verdicts = [
      judge('units of one bot with a limit for its network', [mostWith('network')], 'below', people + 1),
      judge('units of one bot with one verified address', [mostWith('verified')], 'below', 2),
      judge('broken invariants', [ok ? 0 : 1], 'below', 1),
    ];
    printVerdicts(verdicts);
    console.log(`\nWritten to ${saveResult('fairness', { options, rounds, verdicts })}`);
    return verdicts.every(({ pass }) => pass);
  } finally {
    await testbed.close();
  }
}

function limitInWords(limit: Limit, people: number): string {
  if (limit === 'network') return `${people} people from one network`;
  return limit === 'verified' ? 'verified addresses' : 'no limit but the person’s';
}
