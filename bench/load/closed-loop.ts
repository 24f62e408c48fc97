import { nanoid } from 'nanoid';
import { openTokens } from '../../server/http/tokens.ts';
import { type Connection, openConnection, type Reply } from './connection.ts';

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
  /** To the last answer. */
  seconds: number;
}

export interface Crowd {
  url: string;
  /** One for each buyer, minted beforehand: signing in is not what is measured. */
  tokens: string[];
  /** One, or several at which the presses take turns. */
  saleId: string | string[];
  /** How often Buy is pressed; buyers take turns. */
  presses: number;
  connections: number;
  /** For how long it presses; absent, until all presses are made. */
  seconds?: number;
  /** Who has no answer by then gets none. */
  deadlineSeconds: number;
}

export function mintTokens(count: number, secret: string): string[] {
  const tokens = openTokens(secret, 3_600);
  return Array.from({ length: count }, () => tokens.issue({ id: `bench-${nanoid(12)}`, role: 'buyer' }));
}

/**
 * A crowd that waits for each answer before it presses again: as many presses are on their way as connections.
 * @param opened the connections of a crowd that came before, which stay open; absent, it comes over its own.
 */
export async function pressBuy(crowd: Crowd, opened?: ReturnType<typeof openPresses>): Promise<CrowdReport> {
  const { presses, seconds = Number.POSITIVE_INFINITY, deadlineSeconds } = crowd;
  const { connections, press } = opened ?? openPresses(crowd);
  const tally = openTally(presses);
  const endsAt = performance.now() + seconds * 1_000;
  let next = 0;

  function pressInTurns(connection: Connection, done: () => void): void {
    if (next >= presses || performance.now() >= endsAt) {
      done();
      return;
    }
    const pressedAt = performance.now();
    press(connection, next++, (reply) => {
      tally.count(reply, performance.now() - pressedAt);
      pressInTurns(connection, done);
    });
  }
  const late = setTimeout(() => {
    next = presses;
    for (const connection of connections) connection.close();
  }, deadlineSeconds * 1_000);
  await Promise.all(connections.map((one) => new Promise<void>((done) => pressInTurns(one, done))));
  clearTimeout(late);
  if (!opened) for (const connection of connections) connection.close();
  return tally.report();
}

/** @throws Error when the address is not this machine's own: a load test is not for other people's servers. */
export function requireLoopback(url: string): void {
  if (['127.0.0.1', 'localhost', '[::1]'].includes(new URL(url).hostname)) return;
  throw new Error(`A load goes to this machine only: expected a loopback address, got ${url}`);
}

/** Connections, and how to press Buy over one of them: the nth buyer does. */
export function openPresses({
  url,
  tokens,
  saleId,
  presses,
  connections,
}: Omit<Crowd, 'seconds' | 'deadlineSeconds'>) {
  requireLoopback(url);
  const address = new URL(url);
  const crowd = nanoid(8); // The same buyers may come again; their presses are new ones.
  let pressed = 0;
  const heads = [saleId].flat().map((id) => {
    return `POST /api/sales/${id}/purchases HTTP/1.1\r\nHost: ${address.host}`;
  });
  const body = 'Content-Type: application/json\r\nContent-Length: 14\r\n\r\n{"quantity":1}';
  return {
    connections: Array.from({ length: Math.min(connections, presses) }, () => openConnection(address)),
    press(connection: Connection, n: number, onReply: (reply: Reply | null) => void): void {
      const who = `Authorization: Bearer ${tokens[n % tokens.length]}\r\nIdempotency-Key: ${crowd}-${pressed++}`;
      connection.ask(`${heads[n % heads.length]}\r\n${who}\r\n${body}`, onReply);
    },
  };
}

/** Counts answers from now on. */
export function openTally(presses: number) {
  const startedAt = new Date();
  const began = performance.now();
  let lastAnswerAt = began;
  /** Read when the crowd has gone: the generator shares its cores with what it measures. */
  const receipts: string[] = [];
  const report: CrowdReport = {
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
    report(): CrowdReport {
      report.seconds = (lastAnswerAt - began) / 1_000;
      report.accepted = receipts.map((receipt) => JSON.parse(receipt).orderId);
      report.acceptedMs.sort((a, b) => a - b);
      report.refusedMs.sort((a, b) => a - b);
      return report;
    },
  };
}

/** What the problem says of itself: 503 can come from several places. */
function detailOf({ body }: Reply): string {
  return /"detail":"([^"]*)"/.exec(body)?.[1] ?? '';
}

function add(counts: Record<string, number>, name: string): void {
  counts[name] = (counts[name] ?? 0) + 1;
}
