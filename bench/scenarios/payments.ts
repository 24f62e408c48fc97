import { openLog } from '../../runtime/observe/log.ts';
import { openProvider } from '../../sale/payment/open-provider.ts';
import { openPayments } from '../../sale/payment/payments.ts';
import { openOtherWriters } from '../../sale/settlement/other-writers.ts';
import { mintTokens, pressBuy, requireLoopback, startPressing } from '../load/closed-loop.ts';
import { sendAll } from '../load/send-all.ts';
import { authorisePayments, type Webhook } from '../measure/authorised-payments.ts';
import { measureExpiry } from '../measure/expiry.ts';
import { saveResult } from '../report/results.ts';
import { percentile, spreadOf } from '../report/statistics.ts';
import { figure, printTable, spread } from '../report/table.ts';
import { judge, printVerdicts } from '../report/targets.ts';
import { settlePlainly } from '../systems/plain/payments.ts';
import {
  auditTestbed,
  endBenchSale,
  type OwnTestbed,
  openOwnTestbed,
  waitUntilPaymentsEnd,
  waitUntilSettled,
} from '../systems/testbed.ts';

interface PaymentsOptions {
  rounds: number;
  /** Authorised payments that are settled in each part of a round. */
  payments: number;
  /** Webhooks in flight at once. */
  atOnce: number;
  /** Connections of the crowd that presses Buy at the same sale. */
  connections: number;
  /** Holds that end without a payment, 10,000 a minute. */
  expiries: number;
}

const whatOf = {
  alone: 'the shop, alone',
  beside: 'the shop, beside the crowd',
  grouped: 'one process, as the shop does it',
  plain: 'one process, a transaction for each',
};
type Kind = keyof typeof whatOf;

interface Settled {
  perSecond: number;
  /** Milliseconds from the webhook's arrival to the capture, sorted; for the plain way from its transaction. */
  ms: number[];
  /** Webhooks that were not answered 200, and payments that were not captured. */
  failed: number;
  /** The crowd's presses that were accepted meanwhile. */
  pressedPerSecond: number;
}

const buyersOfCrowd = 5_000;
const deadlineSeconds = 120;

/**
 * Settles authorised payments: marks the orders paid and captures the money; and lets holds expire.
 * @returns whether every payment was captured, the invariants hold and the targets were met.
 */
export async function payments(options: PaymentsOptions): Promise<boolean> {
  const { rounds, payments: count, atOnce, connections, expiries } = options;
  // Without the provider's own latency, which limits only how many payments are on their way at once.
  const env = { PAYMENT_PROVIDER: 'simulated', SIMULATED_LATENCY_MS: '0' };
  const testbed = await openOwnTestbed({ clients: atOnce + connections + 200, env });
  requireLoopback(testbed.url);
  try {
    const results: Record<Kind, Settled[]> = { alone: [], beside: [], grouped: [], plain: [] };
    const measureAll = async (kinds: Kind[]) => {
      // The first round is not counted, because it warms V8 up.
      for (let round = 0; round <= rounds; round++)
        for (const kind of kinds) {
          const settled = await measure(testbed, kind, { count, atOnce, connections });
          // It takes minutes, and a line each time shows how far it is.
          const name = round === 0 ? 'warm-up' : `round ${round} of ${rounds}`;
          console.log(`${name}: ${whatOf[kind]}, ${figure(settled.perSecond)} a second`);
          if (round > 0) results[kind].push(settled);
        }
    };
    await measureAll(['alone', 'beside']);
    console.log(`${expiries} holds end, 10,000 a minute`);
    const lags = await measureExpiry(testbed, expiries);
    const isWhole = await auditTestbed(testbed.system);
    await measureAll(['grouped', 'plain']);
    // The plain way writes no event log.
    const invariants = (await auditTestbed(testbed.system, { withLog: false })) && isWhole;

    const figures = (Object.keys(whatOf) as Kind[]).map((kind) => ({
      kind,
      perSecond: spreadOf(results[kind].map(({ perSecond }) => perSecond)),
      p50Ms: spreadOf(results[kind].map(({ ms }) => percentile(ms, 50))),
      p99Ms: spreadOf(results[kind].map(({ ms }) => percentile(ms, 99))),
      failed: results[kind].reduce((sum, { failed }) => sum + failed, 0),
    }));
    printTable(
      ['authorised → paid → captured', 'a second', 'p50 ms', 'p99 ms', 'failed'],
      figures.map(({ kind, perSecond, p50Ms, p99Ms, failed }) => [
        whatOf[kind],
        ...[perSecond, p50Ms, p99Ms].map(spread),
        String(failed),
      ]),
    );
    const pressed = spreadOf(results.beside.map(({ pressedPerSecond }) => pressedPerSecond));
    console.log(`${spread(pressed)} presses of the crowd were accepted a second`);
    const expiry = { p50Ms: percentile(lags, 50), p99Ms: percentile(lags, 99), maxMs: lags.at(-1) ?? 0 };
    console.log(
      `${expiries} holds expired, 10,000 a minute; from the deadline to the units in a tab: ` +
        `p50 ${figure(expiry.p50Ms)} ms, p99 ${figure(expiry.p99Ms)} ms, max ${figure(expiry.maxMs)} ms`,
    );
    const rates = (kind: Kind) => results[kind].map(({ perSecond }) => perSecond);
    const ratios = rates('grouped').map((rate, n) => rate / (rates('plain')[n] ?? Number.NaN));
    const verdicts = [
      judge('payments settled a second, alone', rates('alone'), 'at least', 2_000),
      judge('payments settled a second, beside the crowd', rates('beside'), 'at least', 2_000),
      judge('times the rate of a transaction for each', ratios, 'at least', 1),
      judge('deadline → units back, max ms', [expiry.maxMs], 'below', 1_000),
      judge('payments that failed', [figures.reduce((sum, { failed }) => sum + failed, 0)], 'below', 1),
      judge('broken invariants', [invariants ? 0 : 1], 'below', 1),
    ];
    printVerdicts(verdicts);
    console.log(`\nWritten to ${saveResult('payments', { options, figures, pressed, expiry, verdicts })}`);
    return verdicts.every(({ pass }) => pass);
  } finally {
    await testbed.close();
  }
}

async function measure(
  testbed: OwnTestbed,
  kind: Kind,
  { count, atOnce, connections }: { count: number; atOnce: number; connections: number },
): Promise<Settled> {
  const { system, url, secret } = testbed;
  // Beside the crowd: more than it can buy, so that purchases are being settled all the time.
  const stock = kind === 'beside' ? 1_000_000 : count;
  const { saleId, webhooks } = await authorisePayments(testbed, { count, stock });
  const tokens = mintTokens(buyersOfCrowd, secret);
  const crowd = { url, tokens, saleId, presses: 2_000, connections, deadlineSeconds };
  if (kind === 'beside') await pressBuy(crowd);
  const stopPressing = kind === 'beside' ? startPressing(crowd) : null;
  const startedAt = Date.now();
  const refused = await settle(testbed, kind, webhooks, atOnce);
  await waitUntilPaymentsEnd(system, deadlineSeconds);
  const pressedPerSecond = (await stopPressing?.()) ?? 0;
  await waitUntilSettled(system, deadlineSeconds);
  const captured = await system.collections.payments.find({ saleId, state: 'captured' }).toArray();
  await endBenchSale(system, saleId);
  const times = captured.map(({ authorisedAt, capturedAt }) => [Number(authorisedAt), Number(capturedAt)]);
  const endedAt = times.reduce((latest, [, at = 0]) => Math.max(latest, at), 0);
  return {
    perSecond: (captured.length / (endedAt - startedAt)) * 1_000,
    ms: times.map(([from = 0, to = 0]) => to - from).sort((a, b) => a - b),
    failed: refused + count - captured.length,
    pressedPerSecond,
  };
}

/** Settles the payments of these webhooks. @returns how many of them were refused. */
async function settle({ system, url }: OwnTestbed, kind: Kind, webhooks: Webhook[], atOnce: number) {
  const { config, collections, redis } = system;
  if (kind === 'alone' || kind === 'beside') {
    const requests = webhooks.map((webhook) => requestOf(url, webhook));
    return (await sendAll(url, requests, atOnce)).failed;
  }
  const { simulated } = await openProvider(config, collections);
  if (!simulated) throw new Error('expected the simulated provider');
  if (kind === 'plain') {
    await settlePlainly(collections, simulated, webhooks, atOnce);
    return 0;
  }
  const payments = openPayments({
    collections,
    provider: simulated,
    announce: () => {},
    otherWriters: openOtherWriters(redis),
    cancel: () => Promise.reject(new Error('expected no cancellation')),
    stepMs: config.PAYMENT_STEP_MS,
    log: openLog(config, 'bench'),
  });
  let next = 0;
  const receiveInTurns = async () => {
    for (let webhook = webhooks[next++]; webhook; webhook = webhooks[next++]) {
      const { body, headers } = webhook;
      await payments.receive(Buffer.from(body), (name) => headers[name]);
    }
  };
  await Promise.all(Array.from({ length: atOnce }, receiveInTurns));
  await payments.drained();
  return 0;
}

function requestOf(url: string, { body, headers }: Webhook): string {
  return [
    'POST /api/payments/simulated/webhooks HTTP/1.1',
    `Host: ${new URL(url).host}`,
    ...Object.entries(headers).map(([name, value]) => `${name}: ${value}`),
    'Content-Type: application/json',
    `Content-Length: ${body.length}\r\n\r\n${body}`,
  ].join('\r\n');
}
