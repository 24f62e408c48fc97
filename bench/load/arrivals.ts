import { setTimeout as delay } from 'node:timers/promises';
import { type CrowdReport, openPresses, openTally } from './closed-loop.ts';
import type { Connection } from './connection.ts';

export interface Arrivals {
  url: string;
  tokens: string[];
  saleId: string;
  perSecond: number;
  seconds: number;
  /** At most so many presses are on their way; one that finds none free waits, and that counts as its own wait. */
  connections: number;
}

const patienceMs = 30_000;

/**
 * Buyers who come when they come, whether or not the shop keeps up: each wait is counted from when the buyer meant to
 * press, so that a slow moment shows in full. A crowd of waiting connections would just press less meanwhile.
 */
export async function pressAtRate({ perSecond, seconds, ...crowd }: Arrivals): Promise<CrowdReport> {
  const presses = Math.round(perSecond * seconds);
  const { connections, press } = openPresses({ ...crowd, presses });
  const tally = openTally(presses);
  const startedAt = performance.now();
  const meantAt = (n: number) => startedAt + (n * 1_000) / perSecond;
  let [next, answered] = [0, 0];
  const free: Connection[] = [...connections];

  function send(connection: Connection, n: number): void {
    press(connection, n, (reply) => {
      answered += 1;
      tally.count(reply, performance.now() - meantAt(n));
      // Whoever has waited longest goes next.
      if (next < presses && meantAt(next) <= performance.now()) send(connection, next++);
      else free.push(connection);
    });
  }
  while (next < presses) {
    while (next < presses && meantAt(next) <= performance.now()) {
      const connection = free.pop();
      if (!connection) break;
      send(connection, next++);
    }
    await delay(1);
  }
  for (
    const deadline = performance.now() + patienceMs;
    answered < presses && performance.now() < deadline;
  ) {
    await delay(10);
  }
  for (const connection of connections) connection.close();
  return tally.report();
}
