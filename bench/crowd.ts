import autocannon from 'autocannon';
import { nanoid } from 'nanoid';
import { openTokens } from '../server/auth.ts';

/** What a crowd's presses of Buy came to, as the crowd saw it. */
export interface CrowdReport {
  presses: number;
  /** Order ids of the answers 202. */
  accepted: string[];
  /** Answers 409, by problem. */
  refused: Record<string, number>;
  /** Any other answer, by status, and presses that got none. */
  failed: Record<string, number>;
  /** Milliseconds from press to answer, sorted. */
  acceptedMs: number[];
  refusedMs: number[];
  startedAt: Date;
  seconds: number;
}

export interface Crowd {
  url: string;
  /** One for each buyer, minted beforehand: signing in is not what is measured. */
  tokens: string[];
  saleId: string;
  /** How often Buy is pressed; buyers take turns. */
  presses: number;
  connections: number;
  deadlineSeconds: number;
}

export function mintTokens(count: number, secret: string): string[] {
  const tokens = openTokens(secret, 3_600);
  return Array.from({ length: count }, () => tokens.issue({ id: `bench-${nanoid(12)}`, role: 'buyer' }));
}

/** @throws Error when the address is not this machine's own: a load test is not for other people's servers. */
export async function pressBuy({
  url,
  tokens,
  saleId,
  presses,
  connections,
  deadlineSeconds,
}: Crowd): Promise<CrowdReport> {
  if (!['127.0.0.1', 'localhost', '[::1]'].includes(new URL(url).hostname)) {
    throw new Error(`A load goes to this machine only: expected a loopback address, got ${url}`);
  }
  const report: CrowdReport = {
    presses,
    accepted: [],
    refused: {},
    failed: {},
    acceptedMs: [],
    refusedMs: [],
    startedAt: new Date(),
    seconds: 0,
  };
  const requests = [pressOf(saleId, tokens, (status, body) => count(report, status, body))];
  const options = {
    url,
    connections: Math.min(connections, presses),
    amount: presses,
    timeout: deadlineSeconds,
    requests,
  };
  const firstPressAt = performance.now();
  let lastAnswerAt = firstPressAt; // Its own clock ticks once a second.
  const { errors } = await new Promise<autocannon.Result>((resolve, reject) => {
    const load = autocannon(options, (error, result) => (error ? reject(error) : resolve(result)));
    load.on('response', (_client, status, _bytes, ms) => {
      lastAnswerAt = performance.now();
      if (status === 202) report.acceptedMs.push(ms);
      else if (status === 409) report.refusedMs.push(ms);
    });
    const late = setTimeout(() => load.stop(), deadlineSeconds * 1_000);
    load.on('done', () => clearTimeout(late));
  });
  report.seconds = (lastAnswerAt - firstPressAt) / 1_000;
  if (errors > 0) report.failed['no answer'] = errors;
  report.acceptedMs.sort((a, b) => a - b);
  report.refusedMs.sort((a, b) => a - b);
  return report;
}

function pressOf(
  saleId: string,
  tokens: string[],
  onResponse: (status: number, body: string) => void,
): autocannon.Request {
  let pressed = 0;
  return {
    method: 'POST',
    path: `/api/sales/${saleId}/purchases`,
    body: '{"quantity":1}',
    setupRequest(request) {
      request.headers = {
        'content-type': 'application/json',
        authorization: `Bearer ${tokens[pressed % tokens.length]}`,
        'idempotency-key': `press-${pressed}`,
      };
      pressed += 1;
      return request;
    },
    onResponse,
  };
}

function count(report: CrowdReport, status: number, body: string): void {
  if (status === 202) report.accepted.push(JSON.parse(body).orderId);
  else if (status === 409) add(report.refused, JSON.parse(body).type.replace('/problems/', ''));
  else add(report.failed, String(status));
}

function add(counts: Record<string, number>, name: string): void {
  counts[name] = (counts[name] ?? 0) + 1;
}

/** @param sorted milliseconds. @returns NaN when there are none. */
export function percentile(sorted: number[], percent: number): number {
  if (sorted.length === 0) return Number.NaN;
  return sorted[Math.min(sorted.length - 1, Math.floor((sorted.length * percent) / 100))] as number;
}

export const sum = (counts: Record<string, number>) => Object.values(counts).reduce((a, b) => a + b, 0);
