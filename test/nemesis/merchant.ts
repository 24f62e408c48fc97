import { setTimeout as delay } from 'node:timers/promises';
import type { SaleSnapshot } from '../../sale/contract.ts';
import { openTokens } from '../../server/http/identity/tokens.ts';
import type { Stage } from './buyers.ts';

/** Units that were put on sale at some time between `call` and `return`, in ms since the run began. */
export interface AddedUnits {
  saleId: string;
  units: number;
  call: number;
  return: number;
}

/** Somebody of the shop, who insists on each change with the same Idempotency-Key. */
export interface Merchant {
  /** Sends a change until it succeeds. @throws Error when it does not within two minutes. */
  insist<Body>(method: string, path: string, body: object): Promise<Body>;
  added: AddedUnits[];
  /** Puts units on sale wherever none are left, so that there is something to buy during all of the run, and again a sell-out. */
  startAdding(stages: Stage[]): void;
  /** Waits until what was begun has succeeded. */
  stop(): Promise<void>;
}

const lookEveryMs = 2_000;
const requestMs = 8_000;
const betweenTriesMs = 500;
const patienceMs = 120_000;
const unitsAtOnce = 20;

export function openMerchant(urls: string[], jwtSecret: string, now: () => number): Merchant {
  const token = openTokens(jwtSecret, 24 * 3_600).issue({ id: 'merchant', role: 'admin' });
  const stopping = new AbortController();
  const added: AddedUnits[] = [];
  let requests = 0;
  let adding: Promise<void>[] = [];

  async function ask<Body>(method: string, path: string, key: string, body?: object): Promise<Body> {
    requests += 1;
    const answer = await fetch((urls[requests % urls.length] ?? '') + path, {
      method,
      headers: {
        ...{ Authorization: `Bearer ${token}`, 'Idempotency-Key': key },
        ...(body && { 'Content-Type': 'application/json' }),
      },
      ...(body && { body: JSON.stringify(body) }),
      signal: AbortSignal.timeout(requestMs),
    });
    if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${await answer.text()}`);
    return (await answer.json()) as Body;
  }

  async function insist<Body>(method: string, path: string, body: object): Promise<Body> {
    const key = `merchant-${requests}`;
    const deadline = now() + patienceMs;
    for (;;) {
      try {
        return await ask<Body>(method, path, key, body);
      } catch (error) {
        if (now() > deadline) throw error;
      }
      await delay(betweenTriesMs);
    }
  }

  async function keepOnSale({ saleId }: Stage): Promise<void> {
    const path = `/api/sales/${saleId}`;
    while (!stopping.signal.aborted) {
      const sale = await ask<SaleSnapshot>('GET', path, '').catch(() => null);
      if (sale?.stock === 0) {
        const call = now();
        await insist('PATCH', path, { addStock: unitsAtOnce });
        added.push({ saleId, units: unitsAtOnce, call, return: now() });
      }
      await delay(lookEveryMs, undefined, { signal: stopping.signal }).catch(() => {});
    }
  }

  return {
    insist,
    added,
    startAdding(stages) {
      adding = stages.map(keepOnSale);
      for (const work of adding) work.catch(() => {}); // stop() rejects with the error.
    },
    async stop() {
      stopping.abort();
      await Promise.all(adding);
    },
  };
}
