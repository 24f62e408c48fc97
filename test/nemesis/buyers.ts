import { setTimeout as delay } from 'node:timers/promises';
import type { Order, OrderStatus } from '../../sale/contract.ts';
import { simulatedCards } from '../../sale/payment/simulated.ts';
import { openTokens } from '../../server/http/identity/tokens.ts';
import { between, chooseFrom, openRandom } from './random.ts';

/** A purchase as its buyer saw it, with times in ms since the run began. */
export interface SeenPurchase {
  saleId: string;
  buyerId: string;
  key: string;
  quantity: number;
  pressedAt: number;
  /** When the buyer knew what became of it; null when that was never answered. */
  knownAt: number | null;
  /** Null when no answer accepted it. */
  orderId: string | null;
  /** Of the waiting room; empty where there is none. */
  pass: string;
  /** Whether the shop refused it, as sold out or for another reason. */
  refused: 'sold_out' | 'other' | null;
  /** Whether it was accepted, lost, and refused when it was sent again. */
  refusedAfterAccepted: boolean;
  /** Each status that the buyer was told, in order. */
  statuses: OrderStatus[];
  /** When the buyer asked to cancel, and when that was confirmed. */
  cancelAskedAt: number | null;
  cancelledAt: number | null;
}

/** A place on a waiting list or in a waiting room that the shop confirmed. */
interface SeenPlace {
  saleId: string;
  buyerId: string;
}

export interface Crowd {
  purchases: SeenPurchase[];
  places: SeenPlace[];
  /** How often each status was answered; 0 stands for no answer. */
  answers: Map<number, number>;
  /** Ends the pressing, and waits for each buyer's last step. */
  stop(): Promise<void>;
  /**
   * Asks for every order whose outcome its buyer does not know, and sends purchases again that the shop does not know, as an
   * open page does.
   * @returns how many are still unknown.
   */
  resolveUnknown(): Promise<number>;
}

interface Answer {
  status: number;
  // biome-ignore lint/suspicious/noExplicitAny: each caller knows what it asked for.
  body: any;
}

/** A sale, and how people come to its units: they press, wait for those that come back, or are called out of a waiting room. */
export interface Stage {
  saleId: string;
  /** Units on sale at the beginning. */
  stock: number;
  kind: 'pressed' | 'waiting-list' | 'room';
}

/** Neither a failure nor an answer that was lost. */
const isDecided = (status: number) => status >= 200 && status < 500;

const requestMs = 8_000;
const betweenTriesMs = 200;
/** How long a buyer tries one step before leaving it. */
const patienceMs = 20_000;

/** Buyers who press, pay, cancel, wait and join a room, at any server, and write down what they were told. */
export function startCrowd({
  urls,
  jwtSecret,
  stages,
  seed,
  buyers,
  now,
}: {
  urls: string[];
  jwtSecret: string;
  stages: Stage[];
  seed: number;
  buyers: number;
  /** Milliseconds since the run began. */
  now: () => number;
}): Crowd {
  const tokens = openTokens(jwtSecret, 24 * 3_600);
  const crowd: Crowd = { purchases: [], places: [], answers: new Map(), stop, resolveUnknown };
  let isStopped = false;

  async function ask(
    method: string,
    path: string,
    buyerId: string,
    body?: object,
    more: Record<string, string> = {},
  ): Promise<Answer> {
    const url = urls[(crowd.purchases.length + Math.floor(now() / 50)) % urls.length] ?? '';
    const answer = await fetch(url + path, {
      method,
      headers: {
        Authorization: `Bearer ${tokens.issue({ id: buyerId, role: 'buyer' })}`,
        ...(body && { 'Content-Type': 'application/json' }),
        ...more,
      },
      ...(body && { body: JSON.stringify(body) }),
      signal: AbortSignal.timeout(requestMs),
    })
      .then(async (response) => ({
        status: response.status,
        body: JSON.parse((await response.text()) || '{}'),
      }))
      .catch(() => ({ status: 0, body: {} }));
    crowd.answers.set(answer.status, (crowd.answers.get(answer.status) ?? 0) + 1);
    return answer;
  }

  /** Tries until the shop gives one of its final answers. @returns null when it gave none in time. */
  async function insist(
    isFinal: (status: number) => boolean,
    once: () => Promise<Answer>,
  ): Promise<Answer | null> {
    const deadline = now() + patienceMs;
    do {
      const answer = await once();
      if (isFinal(answer.status)) return answer;
      await delay(betweenTriesMs);
    } while (!isStopped && now() < deadline);
    return null;
  }

  const send = ({ saleId, buyerId, key, quantity, pass }: SeenPurchase) =>
    ask(
      ...(['POST', `/api/sales/${saleId}/purchases`, buyerId, { quantity }] as const),
      ...[{ 'Idempotency-Key': key, ...(pass && { 'Room-Pass': pass }) }],
    );

  function take(purchase: SeenPurchase, { status, body }: Answer): void {
    if (status === 202) {
      purchase.orderId = body.orderId;
      purchase.pass = body.pass ?? purchase.pass;
    }
    if (status !== 409) return;
    if (purchase.orderId !== null) {
      purchase.refusedAfterAccepted = true;
      return;
    }
    purchase.refused = /sold-out/.test(body.type) ? 'sold_out' : 'other';
    purchase.knownAt = now();
  }

  /** Reads the order; a purchase that the shop does not know is sent again. @returns its status; null when it is not known. */
  async function look(purchase: SeenPurchase): Promise<OrderStatus | null> {
    const { status, body } = await ask('GET', `/api/orders/${purchase.orderId}`, purchase.buyerId);
    if (status === 404) take(purchase, await send(purchase));
    if (status !== 200) return null;
    const order: Order = body;
    if (purchase.statuses.at(-1) !== order.status) purchase.statuses.push(order.status);
    if (order.status !== 'queued') purchase.knownAt ??= now();
    return order.status;
  }

  async function buy({ saleId }: Stage, buyerId: string, random: () => number, pass = ''): Promise<void> {
    const purchase: SeenPurchase = {
      saleId,
      buyerId,
      key: `key-${crowd.purchases.length}-${seed}`,
      quantity: between(random, 1, 2),
      pressedAt: now(),
      knownAt: null,
      orderId: null,
      pass,
      refused: null,
      refusedAfterAccepted: false,
      statuses: [],
      cancelAskedAt: null,
      cancelledAt: null,
    };
    crowd.purchases.push(purchase);
    const answer = await insist(isDecided, () => send(purchase));
    if (answer) take(purchase, answer);
    if (!purchase.orderId) return;
    const isSettled = async () => ({
      status: Number(!['queued', null].includes(await look(purchase))),
      body: {},
    });
    if ((await insist((settled) => settled === 1, isSettled)) === null) return;
    if (purchase.statuses.at(-1) === 'held' && random() < 0.7) await pay(purchase, random);
    if (random() < 0.7) await cancel(purchase);
  }

  async function pay({ orderId, buyerId }: SeenPurchase, random: () => number): Promise<void> {
    const card = chooseFrom(random, simulatedCards);
    const started = await insist(
      (status) => status === 200 || status === 409,
      () => ask('POST', `/api/orders/${orderId}/payments`, buyerId, {}),
    );
    const clientSecret = started?.body.clientSecret;
    if (!clientSecret) return;
    await insist(
      (status) => status === 200,
      () => ask('POST', '/api/payments/simulated/confirmations', buyerId, { clientSecret, card }),
    );
  }

  async function cancel(purchase: SeenPurchase): Promise<void> {
    purchase.cancelAskedAt = now();
    const isAnswered = (status: number) => status === 200 || status === 409;
    const answer = await insist(isAnswered, () =>
      ask('DELETE', `/api/orders/${purchase.orderId}`, purchase.buyerId),
    );
    if (answer?.status === 200) purchase.cancelledAt = now();
  }

  async function join({ saleId }: Stage, buyerId: string): Promise<void> {
    const { status } = await ask('POST', `/api/sales/${saleId}/waiting-list`, buyerId, { quantity: 1 });
    if (status === 200) crowd.places.push({ saleId, buyerId });
  }

  /** @returns a pass; null when the buyer was not called in time. */
  async function enterRoom({ saleId }: Stage, buyerId: string): Promise<string | null> {
    const places = `/api/sales/${saleId}/places`;
    const joined = await insist(isDecided, () => ask('POST', places, buyerId));
    if (joined?.status !== 200) return null;
    crowd.places.push({ saleId, buyerId });
    const isCalled = async () => {
      const { body } = await ask('GET', `${places}/mine`, buyerId);
      return { status: Number(['called', 'inside'].includes(body.state)), body };
    };
    if ((await insist((called) => called === 1, isCalled)) === null) return null;
    const entered = await insist(isDecided, () => ask('POST', `${places}/mine/pass`, buyerId));
    return entered?.status === 200 ? entered.body.pass : null;
  }

  async function act(number: number): Promise<void> {
    const random = openRandom(seed + number);
    for (let step = 0; !isStopped; step++) {
      const stage = chooseFrom(random, stages);
      // Each person's limit ends their purchases, and then others come.
      const buyerId = `buyer-${number}-${Math.floor(step / 20)}`;
      if (stage.kind === 'waiting-list' && random() < 0.3) await join(stage, buyerId);
      else if (stage.kind !== 'room') await buy(stage, buyerId, random);
      else {
        const pass = await enterRoom(stage, buyerId);
        if (pass !== null) await buy(stage, buyerId, random, pass);
      }
      await delay(between(random, 0, 50));
    }
  }
  const acting = Promise.all(Array.from({ length: buyers }, (_, number) => act(number)));
  acting.catch(() => {}); // stop() rejects with the error.

  async function stop(): Promise<void> {
    isStopped = true;
    await acting;
  }

  async function resolveUnknown(): Promise<number> {
    const isOpen = ({ refused, refusedAfterAccepted, statuses }: SeenPurchase) =>
      refused === null && !refusedAfterAccepted && ['queued', undefined].includes(statuses.at(-1));
    for (const purchase of crowd.purchases.filter(isOpen)) {
      if (purchase.orderId === null) take(purchase, await send(purchase));
      else await look(purchase);
    }
    return crowd.purchases.filter(isOpen).length;
  }
  return crowd;
}
