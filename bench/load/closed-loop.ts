import { nanoid } from 'nanoid';
import { openTokens } from '../../server/http/identity/tokens.ts';
import { type Connection, openConnection, type Reply } from './connection.ts';

/** How the presses of Buy of one load were answered, as the clients saw it. */
export interface LoadReport {
  presses: number;
  /** Order ids of the answers 202. */
  accepted: string[];
  /** Answers 409, by problem. */
  refused: Record<string, number>;
  /** Any other answer by its status, and presses without an answer. */
  failed: Record<string, number>;
  /** Milliseconds from press to answer, sorted. */
  acceptedMs: number[];
  refusedMs: number[];
  startedAt: Date;
  /** From the start to the last answer. */
  seconds: number;
}

export interface Load {
  url: string;
  /** One for each buyer, issued beforehand, because signing in is not measured. */
  tokens: string[];
  /** One sale, or several that the presses go to in turns. */
  saleId: string | string[];
  /** How often Buy is pressed; buyers take turns. */
  presses: number;
  connections: number;
  /** How long the load lasts; without it, until all presses are made. */
  seconds?: number;
  /** A press without an answer by then counts as failed. */
  deadlineSeconds: number;
}

export function mintTokens(count: number, secret: string): string[] {
  const tokens = openTokens(secret, 3_600);
  return Array.from({ length: count }, () => tokens.issue({ id: `bench-${nanoid(12)}`, role: 'buyer' }));
}

/**
 * A closed-loop load: each connection waits for its answer before it sends the next press.
 * @param opened connections of an earlier load, which stay open; without it, the load opens and closes its own.
 */
export async function pressBuy(
  load: Load,
  opened?: ReturnType<typeof openPurchaseClients>,
): Promise<LoadReport> {
  const { presses, seconds = Number.POSITIVE_INFINITY, deadlineSeconds } = load;
  const { connections, press } = opened ?? openPurchaseClients(load);
  const recorder = recordAnswers(presses);
  const endsAt = performance.now() + seconds * 1_000;
  let next = 0;

  function pressInTurns(connection: Connection, done: () => void): void {
    if (next >= presses || performance.now() >= endsAt) {
      done();
      return;
    }
    const pressedAt = performance.now();
    press(connection, next++, (reply) => {
      recorder.count(reply, performance.now() - pressedAt);
      pressInTurns(connection, done);
    });
  }
  const timeout = setTimeout(() => {
    next = presses;
    for (const connection of connections) connection.close();
  }, deadlineSeconds * 1_000);
  await Promise.all(connections.map((one) => new Promise<void>((done) => pressInTurns(one, done))));
  clearTimeout(timeout);
  if (!opened) for (const connection of connections) connection.close();
  return recorder.report();
}

/** Presses again and again, until the returned function is called. That one resolves with the accepted presses a second. */
export function startPressing(load: Load): () => Promise<number> {
  const began = performance.now();
  let [accepted, isOver] = [0, false];
  async function pressUntilOver(): Promise<void> {
    while (!isOver) accepted += (await pressBuy(load)).accepted.length;
  }
  const pressing = pressUntilOver();
  return async () => {
    isOver = true;
    await pressing;
    return (accepted / (performance.now() - began)) * 1_000;
  };
}

/** @throws Error when the address is not a loopback address: a load test must never reach other people's servers. */
export function requireLoopback(url: string): void {
  if (['127.0.0.1', 'localhost', '[::1]'].includes(new URL(url).hostname)) return;
  throw new Error(`Load tests run against this machine only: expected a loopback address, got ${url}`);
}

/** Opens connections. `press` sends the purchase of the nth buyer over one of them. */
export function openPurchaseClients({
  url,
  tokens,
  saleId,
  presses,
  connections,
}: Omit<Load, 'seconds' | 'deadlineSeconds'>) {
  requireLoopback(url);
  const address = new URL(url);
  const keyPrefix = nanoid(8); // A second run with the same buyers must not repeat the keys of the first.
  let pressed = 0;
  const heads = [saleId].flat().map((id) => {
    return `POST /api/sales/${id}/purchases HTTP/1.1\r\nHost: ${address.host}`;
  });
  const body = 'Content-Type: application/json\r\nContent-Length: 14\r\n\r\n{"quantity":1}';
  return {
    connections: Array.from({ length: Math.min(connections, presses) }, () => openConnection(address)),
    press(connection: Connection, n: number, onReply: (reply: Reply | null) => void): void {
      const headers = `Authorization: Bearer ${tokens[n % tokens.length]}\r\nIdempotency-Key: ${keyPrefix}-${pressed++}`;
      connection.ask(`${heads[n % heads.length]}\r\n${headers}\r\n${body}`, onReply);
    },
  };
}

/** Records answers and their latencies, from this call on. */
export function recordAnswers(presses: number) {
  const startedAt = new Date();
  const began = performance.now();
  let lastAnswerAt = began;
  /** Parsed after the load, because the generator shares its cores with the system it measures. */
  const receipts: string[] = [];
  const report: LoadReport = {
    presses,
    accepted: [],
    refused: {},
    failed: {},
    acceptedMs: [],
    refusedMs: [],
    startedAt,
    seconds: 0,
  };
  return {
    count(reply: Reply | null, ms: number): void {
      lastAnswerAt = performance.now();
      if (reply?.status === 202) {
        receipts.push(reply.body);
        report.acceptedMs.push(ms);
      } else if (reply?.status === 409) {
        add(report.refused, JSON.parse(reply.body).type.replace('/problems/', ''));
        report.refusedMs.push(ms);
      } else add(report.failed, reply ? `${reply.status} ${detailOf(reply)}` : 'no answer');
    },
    report(): LoadReport {
      report.seconds = (lastAnswerAt - began) / 1_000;
      report.accepted = receipts.map((receipt) => JSON.parse(receipt).orderId);
      report.acceptedMs.sort((a, b) => a - b);
      report.refusedMs.sort((a, b) => a - b);
      return report;
    },
  };
}

/** The problem's detail, which tells apart the places that a 503 can come from. */
function detailOf({ body }: Reply): string {
  return /"detail":"([^"]*)"/.exec(body)?.[1] ?? '';
}

function add(counts: Record<string, number>, name: string): void {
  counts[name] = (counts[name] ?? 0) + 1;
}
