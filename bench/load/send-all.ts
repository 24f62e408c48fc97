import { openConnection, type Reply } from './connection.ts';

/** How requests of one kind were answered. */
export interface Answers {
  /** Answers that were not 200. */
  failed: number;
  /** Latencies, sorted. */
  ms: number[];
  perSecond: number;
}

/** Sends all requests, so many at once. */
export async function sendAll(url: string, requests: string[], atOnce: number): Promise<Answers> {
  const began = performance.now();
  const answers: Answers = { failed: 0, ms: [], perSecond: 0 };
  let next = 0;
  async function sendInTurns(): Promise<void> {
    const connection = openConnection(new URL(url));
    while (next < requests.length) {
      const request = requests[next++] as string;
      const sentAt = performance.now();
      const reply = await new Promise<Reply | null>((resolve) => connection.ask(request, resolve));
      answers.ms.push(performance.now() - sentAt);
      if (reply?.status !== 200) answers.failed += 1;
    }
    connection.close();
  }
  await Promise.all(Array.from({ length: atOnce }, sendInTurns));
  answers.perSecond = (requests.length / (performance.now() - began)) * 1_000;
  answers.ms.sort((a, b) => a - b);
  return answers;
}
