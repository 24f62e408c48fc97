import { setTimeout as delay } from 'node:timers/promises';
import { type LoadReport, openPurchaseClients, recordAnswers } from './closed-loop.ts';
import type { Connection } from './connection.ts';

export interface OpenLoopLoad {
  url: string;
  tokens: string[];
  saleId: string;
  perSecond: number;
  seconds: number;
  /** At most so many requests are in flight. One that finds no free connection waits, and its latency includes that wait. */
  connections: number;
}

const lastAnswersWithinMs = 30_000;

/**
 * An open-loop load: buyers arrive at a fixed rate whether or not the shop keeps up. Latency is counted from the intended
 * send time, since a closed loop sends less while the shop is slow and hides the slowness (coordinated omission).
 */
export async function pressAtRate({ perSecond, seconds, ...load }: OpenLoopLoad): Promise<LoadReport> {
  const presses = Math.round(perSecond * seconds);
  const { connections, press } = openPurchaseClients({ ...load, presses });
  const recorder = recordAnswers(presses);
  const startedAt = performance.now();
  const intendedAt = (n: number) => startedAt + (n * 1_000) / perSecond;
  let [next, answered] = [0, 0];
  const free: Connection[] = [...connections];

  function send(connection: Connection, n: number): void {
    press(connection, n, (reply) => {
      answered += 1;
      recorder.count(reply, performance.now() - intendedAt(n));
      // The buyer who has waited longest goes next.
      if (next < presses && intendedAt(next) <= performance.now()) send(connection, next++);
      else free.push(connection);
    });
  }
  while (next < presses) {
    while (next < presses && intendedAt(next) <= performance.now()) {
      const connection = free.pop();
      if (!connection) break;
      send(connection, next++);
    }
    await delay(1);
  }
  for (
    const deadline = performance.now() + lastAnswersWithinMs;
    answered < presses && performance.now() < deadline;
  ) {
    await delay(10);
  }
  for (const connection of connections) connection.close();
  return recorder.report();
}
